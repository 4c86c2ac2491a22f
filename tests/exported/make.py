"""Writes a file of `unprompt index export` again, as three other tools do it.

    unprompt index build tests/exported/prompts.jsonl --out small.idx
    unprompt index export small.idx --out small.parquet
    python tests/exported/make.py small.parquet      # pandas 3.1.1, pyarrow 26.0.1, duckdb 2.0.1, polars 2.1.0

Lists of a fixed size become lists of any size (pandas, DuckDB), and lists of 64-bit offsets (Polars).
"""

import sys
from pathlib import Path

import duckdb
import pandas
import polars

source, here = sys.argv[1], Path(__file__).parent
pandas.read_parquet(source).to_parquet(here / "pandas.parquet", compression="zstd")
target = here / "duckdb.parquet"
duckdb.sql(f"copy (from read_parquet('{source}')) to '{target}' (format parquet, codec 'zstd')")
polars.read_parquet(source).write_parquet(here / "polars.parquet")

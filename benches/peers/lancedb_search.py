"""Text searches in LanceDB, on the prompts and vectors of an index of ours: what benches/load.py measures of us.

    unprompt index export INDEX export.parquet
    unprompt serve INDEX --bind 127.0.0.1:8080 &     # makes the vectors of the queries
    pip install lancedb pyarrow
    python benches/peers/lancedb_search.py export.parquet prompts.txt --server http://127.0.0.1:8080

In this process, without HTTP, and with the vectors of the queries given: what a server around it would add comes on top.
Keywords by its inverted index (BM25, stemmed), meaning by IVF_HNSW_SQ in one partition, both fused by reciprocal rank.
"""

import argparse
import concurrent.futures
import json
import random
import statistics
import tempfile
import time
import urllib.request

import lancedb
import pyarrow.parquet
from lancedb.rerankers import RRFReranker

K = 10


def embed(server, texts):
    vectors = []
    for start in range(0, len(texts), 200):
        body = json.dumps({"texts": texts[start : start + 200]}).encode()
        request = urllib.request.Request(f"{server}/v1/embed", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            vectors += json.load(answer)["embeddings"]
    return vectors


def measure(search, queries, threads, seconds):
    took, end = [], time.perf_counter() + seconds

    def work(seed):
        pick = random.Random(seed)
        while time.perf_counter() < end:
            start = time.perf_counter()
            search(*pick.choice(queries))
            took.append(time.perf_counter() - start)

    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    whole = time.perf_counter() - start
    cuts = statistics.quantiles(took, n=100)
    return {"per_second": round(len(took) / whole, 1), "p50_ms": round(cuts[49] * 1e3, 2), "p99_ms": round(cuts[98] * 1e3, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export")
    parser.add_argument("prompts")
    parser.add_argument("--server", required=True)
    parser.add_argument("--seconds", type=float, default=8)
    args = parser.parse_args()
    rows = pyarrow.parquet.read_table(args.export)
    with open(args.prompts, encoding="utf-8") as file:
        texts = [line.strip()[:500] for line in file if line.strip()]
    texts = random.Random(1).sample(texts, min(1000, len(texts)))
    queries = list(zip(texts, embed(args.server, texts)))
    with tempfile.TemporaryDirectory() as folder:
        table = lancedb.connect(folder).create_table("prompts", rows)
        table.create_fts_index("prompt")
        table.create_index(
            metric="dot", index_type="IVF_HNSW_SQ", num_partitions=1, vector_column_name="vector", m=16, ef_construction=200
        )
        reranker = RRFReranker()
        searches = {
            "keyword": lambda text, _: table.search(text, query_type="fts").limit(K).to_arrow(),
            "vector": lambda _, vector: table.search(vector).distance_type("dot").ef(64).limit(K).to_arrow(),
            "hybrid": lambda text, vector: table.search(query_type="hybrid")
            .text(text)
            .vector(vector)
            .rerank(reranker)
            .limit(K)
            .to_arrow(),
        }
        for name, search in searches.items():
            search(*queries[0])
            for threads in [1, 8]:
                row = {"lancedb": lancedb.__version__, "mode": name, "clients": threads}
                print(json.dumps({**row, **measure(search, queries, threads, args.seconds)}), flush=True)


if __name__ == "__main__":
    main()

"""The table of benches/graph.rs for hnswlib, from the same files.

    pip install numpy hnswlib
    python benches/peers/hnswlib_race.py --vectors base.f32 --queries query.f32 --dim 384

hnswlib is compiled for the machine at hand by its setup.py. Its "ip" is one minus the dot product, so
nothing is normalised again. One query thread, as there.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time

import hnswlib
import numpy

K = 10
EFS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384]
RUNS = 5


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def exact(vectors, queries):
    """The K best rows of each query, in chunks of queries that fit in memory."""
    best = []
    for start in range(0, len(queries), 100):
        scores = queries[start : start + 100] @ vectors.T
        best.extend(numpy.argpartition(-scores, K - 1, axis=1)[:, :K].tolist())
    return [set(rows) for rows in best]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", required=True)
    parser.add_argument("--queries", required=True)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--m", type=int, default=16)
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    vectors = numpy.fromfile(args.vectors, dtype="<f4").reshape(-1, args.dim)
    queries = numpy.fromfile(args.queries, dtype="<f4").reshape(-1, args.dim)

    index = hnswlib.Index("ip", args.dim)
    index.init_index(len(vectors), M=args.m, ef_construction=args.ef_construction)
    start, cpu = time.perf_counter(), cpu_seconds()
    index.add_items(vectors, num_threads=args.threads)
    wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(vectors)} vectors of {args.dim}, m {args.m}, "
        f"ef_construction {args.ef_construction}, {args.threads} threads"
    )
    print(f"graph: {wall:.1f} s, {cpu:.1f} CPU s; peak memory {peak:.0f} MB, numpy's vectors included")

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "index")
        index.save_index(path)
        print(f"vectors and graph {os.path.getsize(path)} bytes")
        opens = []
        for _ in range(RUNS):
            start = time.perf_counter()
            hnswlib.Index("ip", args.dim).load_index(path)
            opens.append(time.perf_counter() - start)
    print(f"open: {statistics.median(opens) * 1e3:.2f} ms")

    truth = exact(vectors, queries)
    print(f"ef  recall@{K}  queries/s")
    for ef in EFS:
        index.set_ef(ef)
        found, _ = index.knn_query(queries, k=K, num_threads=1)
        common = sum(len(best & set(rows)) for best, rows in zip(truth, found.tolist()))
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            index.knn_query(queries, k=K, num_threads=1)
            times.append(time.perf_counter() - start)
        rate = len(queries) / statistics.median(times)
        print(f"{ef:<3} {common / (len(queries) * K):.4f}     {rate:>8.0f}")


if __name__ == "__main__":
    main()

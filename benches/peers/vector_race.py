"""The table of benches/graph.rs for other libraries, from the same files.

    pip install numpy hnswlib faiss-cpu usearch scalable-vs
    python benches/peers/vector_race.py --engine hnswlib --vectors base.f32 --queries query.f32 --dim 384

All have the links of ours: M 16, so 32 on the lowest layer, and degree 32 where there is only one layer. The
queries are given as one array and answered by one thread, so that Python costs nothing a query. Vectors are of
length 1: the dot product is the cosine, and nothing is normalised again. `--index FOLDER` keeps what is built, and
builds nothing where it is already: so engines can be measured by turns on a machine whose pace changes.
"""

import argparse
import math
import os
import pathlib
import resource
import statistics
import tempfile
import time

import numpy

K = 10
EFS = [10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
RECALLS = [0.95, 0.99]
RUNS = 5


class Hnswlib:
    """Compiled by its setup.py for the machine at hand."""

    def __init__(self, args):
        import hnswlib

        self.args = args
        self.new = lambda: hnswlib.Index("ip", args.dim)

    def build(self, vectors):
        self.index = self.new()
        self.index.init_index(len(vectors), M=self.args.m, ef_construction=self.args.ef_construction)
        self.index.add_items(vectors, num_threads=self.args.threads)

    def save(self, folder):
        self.index.save_index(str(folder / "index"))

    def open(self, folder):
        self.index = self.new()
        self.index.load_index(str(folder / "index"))

    def set_ef(self, ef):
        self.index.set_ef(ef)

    def search(self, queries):
        return self.index.knn_query(queries, k=K, num_threads=1)[0]


class Faiss:
    """IndexHNSWFlat, mapped."""

    def __init__(self, args):
        import faiss

        self.args, self.faiss = args, faiss

    def build(self, vectors):
        self.faiss.omp_set_num_threads(self.args.threads)
        self.index = self.faiss.IndexHNSWFlat(self.args.dim, self.args.m, self.faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = self.args.ef_construction
        self.index.add(vectors)
        self.faiss.omp_set_num_threads(1)

    def save(self, folder):
        self.faiss.write_index(self.index, str(folder / "index"))

    def open(self, folder):
        self.index = self.faiss.read_index(str(folder / "index"), self.faiss.IO_FLAG_MMAP_IFC)

    def set_ef(self, ef):
        self.index.hnsw.efSearch = ef

    def search(self, queries):
        return self.index.search(queries, K)[1]


class Usearch:
    """Mapped (`view`). Numbers of 8 bits go with its cosine only."""

    def __init__(self, args):
        from usearch.index import Index

        kind = args.engine.removeprefix("usearch-")
        metric = "cos" if kind == "i8" else "ip"
        self.args = args
        self.new = lambda: Index(
            ndim=args.dim,
            metric=metric,
            dtype=kind,
            connectivity=args.m,
            expansion_add=args.ef_construction,
        )

    def build(self, vectors):
        self.index = self.new()
        self.index.add(numpy.arange(len(vectors)), vectors, threads=self.args.threads)

    def save(self, folder):
        self.index.save(str(folder / "index"))

    def open(self, folder):
        self.index = self.new()
        self.index.view(str(folder / "index"))

    def set_ef(self, ef):
        self.index.expansion_search = ef

    def search(self, queries):
        return self.index.search(queries, K, threads=1).keys


class Svs:
    """Intel's library: a Vamana graph over rows as they are, in LVQ (`lvq4x8`: 4 bits to walk by, 8 more to rank
    by), or in LeanVec (fewer dimensions to walk by). The last two run on Intel's processors only."""

    def __init__(self, args):
        import svs

        self.args, self.svs = args, svs
        self.kind = args.engine.removeprefix("svs-")

    def build(self, vectors):
        svs = self.svs
        parameters = svs.VamanaBuildParameters(
            alpha=self.args.alpha,
            graph_max_degree=2 * self.args.m,
            window_size=self.args.ef_construction,
        )
        with tempfile.TemporaryDirectory() as folder:
            self.index = svs.Vamana.build(
                parameters, self.data(vectors, folder), svs.DistanceType.MIP, num_threads=self.args.threads
            )
        self.index.num_threads = 1

    def data(self, vectors, folder):
        """What is built from: an array, or a file that is compressed as it is read."""
        svs = self.svs
        if self.kind in ("f32", "f16"):
            return vectors.astype(numpy.float16) if self.kind == "f16" else vectors
        path = os.path.join(folder, "rows.fvecs")
        svs.write_vecs(vectors, path)
        rows = svs.VectorDataLoader(path, svs.DataType.float32, dims=self.args.dim)
        if self.kind == "leanvec":
            return svs.LeanVecLoader(
                rows,
                self.args.lean_dim,
                primary_kind=svs.LeanVecKind.lvq8,
                secondary_kind=svs.LeanVecKind.lvq8,
            )
        bits = self.kind.removeprefix("lvq").split("x")
        return svs.LVQLoader(rows, primary=int(bits[0]), residual=int(bits[1]) if len(bits) > 1 else 0)

    def save(self, folder):
        self.index.save(*(str(folder / part) for part in ("config", "graph", "data")))

    def open(self, folder):
        svs, data = self.svs, str(folder / "data")
        if self.kind in ("f32", "f16"):
            kinds = {"f32": svs.DataType.float32, "f16": svs.DataType.float16}
            rows = svs.VectorDataLoader(data, kinds[self.kind], dims=self.args.dim)
        elif self.kind == "leanvec":
            rows = svs.LeanVecLoader(data)
        else:
            rows = svs.LVQLoader(data)
        graph = svs.GraphLoader(str(folder / "graph"))
        self.index = svs.Vamana(str(folder / "config"), graph, rows, svs.DistanceType.MIP, num_threads=1)

    def set_ef(self, ef):
        self.index.search_window_size = ef

    def search(self, queries):
        return self.index.search(queries, K)[0]


ENGINES = {
    "hnswlib": Hnswlib,
    "faiss": Faiss,
    "usearch-f32": Usearch,
    "usearch-i8": Usearch,
    "svs-f32": Svs,
    "svs-f16": Svs,
    "svs-lvq8": Svs,
    "svs-lvq4x4": Svs,
    "svs-lvq4x8": Svs,
    "svs-leanvec": Svs,
}


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def exact(vectors, queries):
    """The K best rows of each query, in chunks of queries that fit in memory."""
    best = []
    for start in range(0, len(queries), 100):
        scores = queries[start : start + 100] @ vectors.T
        best.extend(numpy.argpartition(-scores, K - 1, axis=1)[:, :K].tolist())
    return [set(rows) for rows in best]


def rate_at(table, recall):
    """Queries a second at a recall between two of the table, whose logarithm is taken to be linear there."""
    for (low, fast), (high, slow) in zip(table, table[1:]):
        if low < recall <= high:
            share = (recall - low) / (high - low)
            return math.exp((1 - share) * math.log(fast) + share * math.log(slow))
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--vectors", required=True)
    parser.add_argument("--queries", required=True)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--m", type=int, default=16)
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--alpha", type=float, default=0.95, help="of Vamana; SVS's own for dot products")
    parser.add_argument("--lean-dim", type=int, default=160, help="of LeanVec")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--index", help="folder to keep what is built in")
    args = parser.parse_args()
    vectors = numpy.fromfile(args.vectors, dtype="<f4").reshape(-1, args.dim)
    queries = numpy.fromfile(args.queries, dtype="<f4").reshape(-1, args.dim)

    engine = ENGINES[args.engine](args)
    print(
        f"{args.engine}: {len(vectors)} vectors of {args.dim}, m {args.m}, "
        f"ef_construction {args.ef_construction}, {args.threads} threads"
    )
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(args.index or folder)
        if not folder.exists() or not any(folder.iterdir()):
            folder.mkdir(exist_ok=True)
            cpu = cpu_seconds()
            wall = seconds(lambda: engine.build(vectors))
            print(f"graph: {wall:.1f} s, {cpu_seconds() - cpu:.1f} CPU s")
            engine.save(folder)
        print(f"vectors and graph {sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())} bytes")
        opens = [seconds(lambda: engine.open(folder)) for _ in range(RUNS)]
        print(f"open: {statistics.median(opens) * 1e3:.2f} ms")

        truth = exact(vectors, queries)
        table = []
        print(f"ef  recall@{K}  queries/s")
        for ef in EFS:
            engine.set_ef(ef)
            found = engine.search(queries).tolist()
            common = sum(len(best & set(rows)) for best, rows in zip(truth, found))
            recall = common / (len(queries) * K)
            rate = len(queries) / statistics.median(seconds(lambda: engine.search(queries)) for _ in range(RUNS))
            table.append((recall, rate))
            print(f"{ef:<3} {recall:.4f}     {rate:>8.0f}", flush=True)
    for recall in RECALLS:
        rate = rate_at(table, recall)
        print(f"at recall@{K} {recall}: {f'{rate:.0f} queries/s' if rate else 'never'}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Latency of `reverse`: of a server with 1, 2 and 8 images at once, stage by stage, and of the command line.

    unprompt demo --no-serve --dir demo
    benches/reverse.py demo/index-5000 demo/images --out OUT         # OUT/reverse.jsonl

Clients are threads that send the next image of the folder when the last one is answered; what the files say of their
prompts is not asked for. The command line is started anew for every image, with its files in the system's cache.
"""

import argparse
import concurrent.futures
import http.client
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import time

from load import Server

CLIENTS = [1, 2, 8]
STARTS = 11


def quantile(values, share):
    return round(sorted(values)[round(share * (len(values) - 1))], 1)


def client(address, images, until):
    """The seconds of each answer, and what the server says it took."""
    connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"))
    answers = []
    for image in images:
        start = time.perf_counter()
        if start > until:
            return answers
        connection.request("POST", "/v1/reverse?metadata=false", image, {"Content-Type": "image/png"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"{response.status}: {body[:200]}")
        answers.append((1e3 * (time.perf_counter() - start), json.loads(body)["took_ms"]))


def served(server, images, clients, seconds):
    until = time.perf_counter() + seconds
    starts = [images[number * len(images) // clients :] + images for number in range(clients)]
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        runs = [pool.submit(client, server.address, itertools.cycle(start), until) for start in starts]
        answers = [answer for run in runs for answer in run.result()]
    times = [ms for ms, _ in answers]
    return {
        "clients": clients,
        "per_second": round(len(answers) / seconds, 1),
        "p50_ms": quantile(times, 0.5),
        "p99_ms": quantile(times, 0.99),
        "p50_of_stages_ms": {
            stage: quantile([took[stage] for _, took in answers], 0.5) for stage in answers[0][1]
        },
        "peak_mib": server.memory("VmHWM"),
    }


def started(args, paths):
    """The command line, once for each of some images."""
    times = []
    for path in itertools.islice(itertools.cycle(paths), STARTS):
        start = time.perf_counter()
        command = [args.unprompt, "reverse", args.index, path, "--no-metadata", "-q", "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(1e3 * (time.perf_counter() - start))
    # The first start reads the files.
    return {"command line": {"median_ms": quantile(times[1:], 0.5), "worst_ms": round(max(times[1:]), 1)}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    parser.add_argument("images", help="folder of PNG files")
    parser.add_argument("--out", required=True, help="folder of the results")
    parser.add_argument("--seconds", type=int, default=20, help="of each run")
    parser.add_argument("--unprompt", default="target/release/unprompt")
    parser.add_argument("serve", nargs="*", help="what else `serve` is given, after `--`")
    args = parser.parse_args()
    paths = sorted(pathlib.Path(args.images).rglob("*.png"))
    images = [path.read_bytes() for path in paths]
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "reverse.jsonl"), "w", encoding="utf-8") as out:

        def tell(row):
            print(json.dumps(row), file=out, flush=True)
            print(json.dumps(row), flush=True)

        tell(started(args, paths))
        with Server(args, args.serve) as server:
            served(server, images, 2, 3)
            for clients in CLIENTS:
                tell(served(server, images, clients, args.seconds))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Load on a server over loopback: throughput, latency and memory by clients, with batching and without; and a soak.

    cargo install oha --locked
    benches/load.py INDEX IMAGE PROMPTS --out OUT              # the table, OUT/load.jsonl
    benches/load.py INDEX IMAGE PROMPTS --out OUT --soak 600   # ten minutes, OUT/soak.jsonl

INDEX is any index, IMAGE an image to reverse, PROMPTS a file of texts to search for, one a line. Clients send the next
request when the last one is answered, refused ones after a pause of no length: with more clients than the queue has
room for (256), what is measured is overload. Latencies are those of answers with status 200 alone. The clients run on
the same machine, and take their part of it.
"""

import argparse
import concurrent.futures
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

CLIENTS = [1, 8, 64, 512]
SETTINGS = {
    "as they are": [],
    "no batching": ["--batch-size", "1"],
    "no reconstruction": ["--reconstruct-ms", "0"],
    "neither": ["--batch-size", "1", "--reconstruct-ms", "0"],
}


class Server:
    """The program on a port of its own."""

    def __init__(self, args, settings):
        command = [args.unprompt, "serve", args.index, "--bind", "127.0.0.1:0", "-q", *settings]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        if not self.address.startswith("http://"):
            sys.exit("the server has not started")

    def memory(self, what="VmRSS"):
        """Of the process, in MiB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith(what))
        return round(int(line.split()[1]) / 1024, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def routes(args, address, folder):
    """What oha is to send, by a name for it."""
    with open(args.prompts, encoding="utf-8") as file:
        prompts = [line.strip()[:500] for line in file if line.strip()]
    prompts = random.Random(1).sample(prompts, min(1000, len(prompts)))
    named = {}
    for mode in ["keyword", "hybrid"]:
        urls = os.path.join(folder, mode)
        with open(urls, "w", encoding="utf-8") as file:
            for prompt in prompts:
                query = urllib.parse.urlencode({"q": prompt, "mode": mode})
                print(f"{address}v1/search?{query}", file=file)
        named[f"search, {mode}"] = ["--urls-from-file", urls]
    body = ["-m", "POST", "-T", "image/png", "-D", args.image]
    named["reverse"] = [*body, f"{address}v1/reverse?metadata=false"]
    return named


def load(args, request, clients, seconds):
    """One run of oha."""
    command = [args.oha, "--no-tui", "--output-format", "json", "--stats-success-breakdown"]
    command += ["-z", f"{seconds}s", "-c", str(clients), "-t", "60s", *request]
    report = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    statuses = report["statusCodeDistribution"]
    latency = report.get("latencyPercentilesSuccessful") or report["latencyPercentiles"]
    answered = statuses.get("200", 0)
    ms = {p: round(latency[p] * 1e3, 2) if latency[p] else None for p in ["p50", "p99"]}
    return {
        "clients": clients,
        "per_second": round(answered / report["summary"]["total"], 1),
        "p50_ms": ms["p50"],
        "p99_ms": ms["p99"],
        "statuses": statuses,
        "errors": report["errorDistribution"],
    }


def table(args, folder, out):
    for name, settings in SETTINGS.items():
        with Server(args, settings) as server:
            for route, request in routes(args, server.address, folder).items():
                # Nothing is put together for a text.
                if "--reconstruct-ms" in settings and route != "reverse":
                    continue
                load(args, request, 8, 2)
                for clients in CLIENTS:
                    row = load(args, request, clients, args.seconds)
                    row = {"route": route, "settings": name, **row, "rss_mib": server.memory()}
                    print(json.dumps(row), file=out, flush=True)
            print(json.dumps({"settings": name, "peak_mib": server.memory("VmHWM")}), file=out, flush=True)


def soak(args, folder, out):
    """All routes at once for a long time."""
    with Server(args, []) as server:
        requests = routes(args, server.address, folder)
        with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
            runs = {route: pool.submit(load, args, request, 8, args.soak) for route, request in requests.items()}
            start = time.monotonic()
            while not all(run.done() for run in runs.values()):
                row = {"seconds": round(time.monotonic() - start), "rss_mib": server.memory()}
                print(json.dumps(row), file=out, flush=True)
                time.sleep(15)
        for route, run in runs.items():
            print(json.dumps({"route": route, **run.result()}), file=out, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    parser.add_argument("image")
    parser.add_argument("prompts")
    parser.add_argument("--out", required=True, help="folder of the results")
    parser.add_argument("--seconds", type=int, default=8, help="of each run")
    parser.add_argument("--soak", type=int, help="seconds of all routes at once, instead of the table")
    parser.add_argument("--unprompt", default="target/release/unprompt")
    parser.add_argument("--oha", default="oha")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        name = "soak.jsonl" if args.soak else "load.jsonl"
        with open(os.path.join(args.out, name), "w", encoding="utf-8") as out:
            (soak if args.soak else table)(args, folder, out)


if __name__ == "__main__":
    main()

"""How many prompts a second do others embed with all-MiniLM-L6-v2, and how near do they stay to the reference?

    pip install torch transformers sentence-transformers onnx onnxscript onnxruntime
    python benches/peers/embedding_race.py prompts.txt --model DIR [--count 1500] [--ours ours.f32]

DIR is the model's folder, where `unprompt models pull` has put it. On all cores: ONNX Runtime in single precision and
in dynamic int8 (as it is by default, and with a scale a channel), one session of one thread a core, with batches of
prompts of like lengths; torch in single precision and in bfloat16 alike, and sentence-transformers as it is. Prompts a
second are medians of 5 passes over the prompts that benches/benches/embed.rs takes; cosines are to
sentence-transformers in single precision. recall@10: of the ten prompts nearest to each of 500 by the reference, the
share that the other's embeddings of prompts and queries find. --ours adds what `embed` has written with --out.

    python benches/peers/embedding_race.py prompts.txt --model DIR --alternate target/release/deps/embed-HASH

takes that bench and ONNX Runtime by turns instead, for a machine whose pace changes, and gives ratios of each round.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import threading
import time

import numpy
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import AutoModel

RUNS = 5
CORES = os.cpu_count()
MAX_TOKENS = 256


def rate(count, call):
    call()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return count / statistics.median(times)


def batches(texts, tokenizer, size):
    """Token numbers and mask of prompts of like lengths, with their places."""
    encoded = [it.ids for it in tokenizer.encode_batch(texts)]
    order = sorted(range(len(texts)), key=lambda place: len(encoded[place]))
    for start in range(0, len(order), size):
        places = order[start : start + size]
        longest = max(len(encoded[place]) for place in places)
        ids = numpy.zeros((len(places), longest), dtype=numpy.int64)
        mask = numpy.zeros_like(ids)
        for row, place in enumerate(places):
            ids[row, : len(encoded[place])] = encoded[place]
            mask[row, : len(encoded[place])] = 1
        yield places, ids, mask


def pooled(states, mask):
    mean = (states * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
    return mean / numpy.linalg.norm(mean, axis=1, keepdims=True)


def by_threads(texts, tokenizer, size, workers):
    """Embeds with one worker a core, which take batches in turn; tokenising is part of it."""
    out = numpy.zeros((len(texts), 384), dtype=numpy.float32)
    todo = iter(list(batches(texts, tokenizer, size)))
    lock = threading.Lock()

    def work(run):
        while True:
            with lock:
                batch = next(todo, None)
            if batch is None:
                return
            places, ids, mask = batch
            out[places] = pooled(run(ids, mask), mask)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


class Inner(torch.nn.Module):
    """What ONNX is to compute: states of tokens."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        kinds = torch.zeros_like(input_ids)
        return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=kinds).last_hidden_state


def export(model, path):
    example = (torch.ones(2, 9, dtype=torch.int64), torch.ones(2, 9, dtype=torch.int64))
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Inner(model).eval(), example, path, input_names=["input_ids", "attention_mask"], output_names=["states"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "states": axes}, dynamo=False, opset_version=17,
    )


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    run = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: run.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def torch_worker(model, precision):
    def run(ids, mask):
        with torch.inference_mode(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
            states = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
        return states.float().numpy()

    return run


def nearest(vectors, queries, k=11):
    found = []
    for start in range(0, len(queries), 100):
        scores = vectors[queries[start : start + 100]] @ vectors.T
        found += [set(row) for row in numpy.argpartition(-scores, k - 1, axis=1)[:, :k].tolist()]
    return found


def report(name, speed, found, reference):
    cosines = (found * reference).sum(1)
    queries = list(range(0, len(reference), max(1, len(reference) // 500)))[:500]
    truth, own = nearest(reference, queries), nearest(found, queries)
    # Every prompt finds itself, which does not count.
    recall = sum(len(a & b) - 1 for a, b in zip(truth, own)) / (10 * len(queries))
    speed = f"{speed:.0f}" if speed else "-"
    print(f"| {name} | {speed} | {cosines.mean():.6f} | {cosines.min():.6f} | {recall:.4f} |", flush=True)


def alternate(args, texts, tokenizer, engines):
    """Rounds of ours and of each of the engines, with the batches that suit them best on most machines."""
    workers = {name: [session(path) for _ in range(CORES)] for name, path in engines}
    ratios = {name: [] for name in workers}
    command = [args.alternate, "--prompts", args.prompts, "--count", str(args.count), "--precision", "mixed"]
    for _ in range(args.rounds):
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        ours = float(re.search(r"([0-9]+) prompts/s", told)[1])
        print(f"unprompt, mixed precision: {ours:.0f}", flush=True)
        for name, sessions in workers.items():
            theirs = rate(len(texts), lambda: by_threads(texts, tokenizer, 8, sessions))
            ratios[name].append(ours / theirs)
            print(f"  {name}: {theirs:.0f}, ratio {ours / theirs:.2f}", flush=True)
    for name, ratios in ratios.items():
        print(f"{name}: median ratio {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompts")
    parser.add_argument("--model", required=True)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--ours", nargs="*", default=[])
    parser.add_argument("--alternate", help="the program of benches/benches/embed.rs")
    parser.add_argument("--rounds", type=int, default=5, help="with --alternate")
    args = parser.parse_args()
    texts = pathlib.Path(args.prompts).read_text().splitlines()[: args.count]
    tokenizer = Tokenizer.from_file(str(pathlib.Path(args.model) / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    tokens = sum(len(it.ids) for it in tokenizer.encode_batch(texts))
    print(f"{len(texts)} prompts, {tokens / len(texts):.1f} tokens on average, {CORES} cores")
    print(f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}")
    model = AutoModel.from_pretrained(args.model, attn_implementation="eager").eval()
    with tempfile.TemporaryDirectory() as folder:
        single, tensor, channel = (os.path.join(folder, f"{it}.onnx") for it in ["single", "tensor", "channel"])
        export(model, single)
        quantize_dynamic(single, tensor, weight_type=QuantType.QInt8)
        quantize_dynamic(single, channel, weight_type=QuantType.QInt8, per_channel=True)
        engines = [("f32", single), ("int8", tensor), ("int8, a scale a channel", channel)]
        engines = [(f"ONNX Runtime {name}", path) for name, path in engines]
        if args.alternate:
            return alternate(args, texts, tokenizer, engines)
        whole = SentenceTransformer(args.model, device="cpu")
        whole.max_seq_length = MAX_TOKENS
        reference = whole.encode(texts, normalize_embeddings=True)
        print("| engine | prompts/s | mean cosine | worst cosine | recall@10 |\n| --- | --- | --- | --- | --- |")
        for path in args.ours:
            report(path, None, numpy.fromfile(path, dtype="<f4").reshape(-1, 384), reference)
        report("sentence-transformers", rate(len(texts), lambda: whole.encode(texts)), reference, reference)
        for name, path in engines:
            workers = [session(path) for _ in range(CORES)]
            for size in [8, 32]:
                call = lambda: by_threads(texts, tokenizer, size, workers)
                report(f"{name}, batches of {size}", rate(len(texts), call), call(), reference)
    model = AutoModel.from_pretrained(args.model).eval()
    for precision in [torch.float32, torch.bfloat16]:
        torch.set_num_threads(1)
        workers = [torch_worker(model, precision)] * CORES
        for size in [8, 32]:
            call = lambda: by_threads(texts, tokenizer, size, workers)
            report(f"{precision}, one thread a core, batches of {size}", rate(len(texts), call), call(), reference)


if __name__ == "__main__":
    main()

"""The table of encoders from the lines that benches/encoders.sh writes, as Markdown.

    python3 benches/encoders.py OUT/seed-*.jsonl

Means over seeds, with the standard deviation over them where there are several.
"""

import json
import pathlib
import statistics
import sys

VARIANTS = ["regression", "vocabulary", "curriculum"]


def over_seeds(values):
    mean = statistics.mean(values)
    spread = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean:.4f}{spread}"


def read(paths):
    """Lines by encoder and variant; an ensemble has none."""
    lines = {}
    for path in paths:
        for line in pathlib.Path(path).read_text().splitlines():
            figures = json.loads(line)
            encoder, _, *variant = pathlib.Path(figures["model"]).name.split("-")
            lines.setdefault((encoder, *variant), []).append(figures)
    return lines


def row(*cells):
    print("| " + " | ".join(cells) + " |")


def head(*cells):
    row(*cells)
    row(*["---"] * len(cells))


def main():
    lines = read(sys.argv[1:])
    encoders = sorted({encoder for encoder, *_ in lines} - {"ensemble"})

    def of(key, figure):
        return over_seeds([figure(line) for line in lines[key]])

    print("Mean cosine of the predicted embedding\n")
    head("encoder", *VARIANTS)
    for encoder in encoders:
        row(encoder, *[of((encoder, it), lambda line: line["mean_cosine"]) for it in VARIANTS])
    row("ensemble", of(("ensemble",), lambda line: line["mean_cosine"]), "", "")

    print("\nMean over seeds of the gain, each seed by itself\n")
    head("encoder", "vocabulary over regression", "curriculum over vocabulary")
    for encoder in encoders:
        gains = []
        for before, after in zip(VARIANTS, VARIANTS[1:]):
            pairs = zip(lines[encoder, before], lines[encoder, after])
            gains.append([b["mean_cosine"] - a["mean_cosine"] for a, b in pairs])
        row(encoder, *map(over_seeds, gains))

    print("\nThe ten nearest training images by predicted embedding, mean embedding of their prompts\n")
    head("encoder", *VARIANTS)
    for encoder in encoders:
        row(encoder, *[of((encoder, it), lambda line: line["encoder_neighbours"]) for it in VARIANTS])

    print("\nMicro F1 of words, traced / untraced\n")
    head("encoder", *VARIANTS[1:])

    def f1(key):
        kinds = ["traced", "untraced"]
        return " / ".join(of(key, lambda line: line["words_f1"][kind]) for kind in kinds)

    for encoder in encoders:
        row(encoder, *[f1((encoder, it)) for it in VARIANTS[1:]])
    row("ensemble", f1(("ensemble",)), "")

    print("\nAttributes of the nearest meaning that are right, and the way from mean to ceiling\n")
    ensemble = lines["ensemble",]
    names = [name for name, _ in ensemble[0]["attributes"]]
    head("", *names, "of the way")
    for key in [*((encoder, "curriculum") for encoder in encoders), ("ensemble",)]:
        shares = [of(key, lambda line: dict(line["attributes"])[name]) for name in names]
        way = of(
            key,
            lambda line: (line["mean_cosine"] - line["mean_embedding"])
            / (line["ceiling"] - line["mean_embedding"]),
        )
        row(key[0], *shares, way)
    # A single draw of test images: no spread.
    of_truth = dict(ensemble[0]["attributes_of_truth"])
    row("the true embedding", *[f"{of_truth[name]:.4f}" for name in names], "")

    one = ensemble[0]
    print(
        f"\n{one['images']} test images; mean embedding {one['mean_embedding']:.4f}, nearest of "
        f"{one['known_images']} training images in raw pixels {one['pixel_neighbour']:.4f}, "
        f"ceiling {one['ceiling']:.4f}"
    )


if __name__ == "__main__":
    main()

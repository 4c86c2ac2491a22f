"""A copy of a data set whose prompts say less of their images: label noise, of which real prompts have much.

    python3 benches/label_noise.py DATA OUT [--mislabelled SHARE] [--modifiers FILE] [--seed N]

DATA is a folder of `unprompt dataset`; images stay as they are. In each part of the training side a SHARE of
the images, drawn by the seed, hand their prompts round among themselves. All prompts, those of validation and
test as well, get four to eight pieces at their end that stand between commas in the prompts of FILE, one prompt
a line: pieces of one to five words that have none in common with DATA's own prompts, but for short ones.

The copy has no `metadata.parquet`, which would tell the true prompts. What `unprompt evaluate` compares with is
of this copy, too, but for the ceiling, which knows DATA's own wordings only.
"""

import argparse
import json
import pathlib
import random
import re
import zipfile

SIDES = ["train", "validation", "test"]


def words(text):
    """The words that tell pieces from prompts."""
    return {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3}


def parts(side):
    return sorted((side / "images").glob("part-*.zip"))


def records_name(part):
    return part.with_suffix(".json").name


def read_prompts(part):
    with zipfile.ZipFile(part) as archive:
        return [record["p"] for record in json.loads(archive.read(records_name(part))).values()]


def read_modifiers(path, taken):
    """The pieces of prompts that have no word of `taken`, as often as they occur."""
    pieces = [" ".join(piece.split()) for line in path.read_text().splitlines() for piece in line.split(",")]
    fit = [piece for piece in pieces if 1 <= len(piece.split()) <= 5 and not words(piece) & taken]
    if not fit:
        raise SystemExit(f"{path} has no piece between commas that could be added")
    return fit


def mislabel(records, share, rng):
    """Hands a share of the prompts round."""
    moved = rng.sample(sorted(records), round(share * len(records)))
    prompts = [records[name]["p"] for name in moved]
    for name, prompt in zip(moved, prompts[1:] + prompts[:1]):
        records[name]["p"] = prompt


def rewrite(source, target, change):
    """Writes the part `source` to `target` with its records changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == records_name(source):
                records = json.loads(content)
                change(records)
                content = json.dumps(records)
            new.writestr(entry, content)


def main():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("data", type=pathlib.Path)
    arguments.add_argument("out", type=pathlib.Path)
    arguments.add_argument("--mislabelled", type=float, default=0.0, metavar="SHARE")
    arguments.add_argument("--modifiers", type=pathlib.Path, metavar="FILE")
    arguments.add_argument("--seed", type=int, default=1)
    args = arguments.parse_args()

    for side in SIDES:
        if not parts(args.data / side):
            raise SystemExit(f"{args.data / side} has no images/part-*.zip: make DATA with unprompt dataset")
    if args.out.exists():
        raise SystemExit(f"{args.out} is there already")
    modifiers = []
    if args.modifiers:
        everything = (prompt for side in SIDES for part in parts(args.data / side) for prompt in read_prompts(part))
        modifiers = read_modifiers(args.modifiers, set().union(*map(words, everything)))
    for side in SIDES:
        images = args.out / side / "images"
        images.mkdir(parents=True)
        for part in parts(args.data / side):
            rng = random.Random(f"{args.seed} {side} {part.name}")

            def change(records):
                if side == "train":
                    mislabel(records, args.mislabelled, rng)
                for name in sorted(records) if modifiers else []:
                    added = rng.sample(modifiers, rng.randint(4, 8))
                    records[name]["p"] = ", ".join([records[name]["p"], *added])

            rewrite(part, images / part.name, change)
    manifest = json.loads((args.data / "dataset.json").read_text())
    manifest["label_noise"] = {
        "mislabelled": args.mislabelled,
        "modifiers": args.modifiers and args.modifiers.name,
        "seed": args.seed,
    }
    (args.out / "dataset.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""A copy of a data set in which a share of the training prompts belongs to other images: label noise.

    python3 benches/mislabel.py DATA OUT SHARE [SEED]

DATA is a folder of `unprompt dataset`. In each part a SHARE of the images, drawn by SEED, hand their
prompts round among themselves; images, validation and test are the same files. The training side has no
`metadata.parquet`, which would tell the true prompts. Its mean embedding and the neighbours among its
images, which `unprompt evaluate` compares with, are those of the wrong prompts, too.
"""

import json
import pathlib
import random
import shutil
import sys
import zipfile


def mislabel(source, target, share, seed):
    """Writes the part `source` to `target` with some prompts at other images."""
    rng = random.Random(f"{seed} {source.name}")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == source.with_suffix(".json").name:
                records = json.loads(content)
                moved = rng.sample(sorted(records), round(share * len(records)))
                prompts = [records[name]["p"] for name in moved]
                for name, prompt in zip(moved, prompts[1:] + prompts[:1]):
                    records[name]["p"] = prompt
                content = json.dumps(records)
            new.writestr(entry, content)


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    data, out = map(pathlib.Path, sys.argv[1:3])
    share, seed = float(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 1
    parts = sorted((data / "train" / "images").glob("part-*.zip"))
    if not parts:
        sys.exit(f"{data} has no train/images/part-*.zip: make it with unprompt dataset")
    if out.exists():
        sys.exit(f"{out} is there already")
    images = out / "train" / "images"
    images.mkdir(parents=True)
    for part in parts:
        mislabel(part, images / part.name, share, seed)
    for side in ["validation", "test"]:
        shutil.copytree(data / side, out / side)
    manifest = json.loads((data / "dataset.json").read_text())
    manifest["mislabelled"] = {"share": share, "seed": seed}
    (out / "dataset.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Two folders as DiffusionDB is downloaded, train and validation, of images that are as hard to read: PNG of 512 x 512, half
a megabyte each.

    benches/parts.py OUT [--train 3200] [--validation 256]

Smooth colours with noise, and twelve words by chance.
"""

import argparse
import io
import json
import random
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 512
IMAGES_A_PART = 1000


def png(number: int) -> bytes:
    """The image of this number."""
    chance = np.random.default_rng(number)
    coarse = Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = smooth + chance.integers(-6, 7, smooth.shape, dtype=np.int16)
    out = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


WORDS = """
    ancient bright calm castle city cloud crowd crystal dark desert dragon dream dusk empty fire flower forest fox garden
    giant glass golden green harbour horse house ice island king lake lamp light lonely machine marble mist moon mountain
    night ocean old owl palace pink quiet rain red river robot ruin sea shadow ship silver sky small snow star stone storm
    street summer temple tower tree valley warm water white wild wind winter wizard wolf wooden
""".split()


def prompt(number: int) -> str:
    """The prompt of the image of this number."""
    return " ".join(random.Random(number).sample(WORDS, 12))


def write(pool: ProcessPoolExecutor, folder: Path, numbers: range) -> None:
    """Writes the parts of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(numbers), IMAGES_A_PART):
        own = numbers[start : start + IMAGES_A_PART]
        part = f"part-{start // IMAGES_A_PART + 1:06}"
        entries = {
            f"{number:08}.png": {"p": prompt(number), "se": number, "c": 7.0, "st": 50, "sa": "k_lms"} for number in own
        }
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as out:
            for name, image in zip(entries, pool.map(png, own, chunksize=16), strict=True):
                out.writestr(name, image)
            out.writestr(f"{part}.json", json.dumps(entries))


def main() -> None:
    """Writes both folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=3200)
    parser.add_argument("--validation", type=int, default=256)
    arguments = parser.parse_args()
    count = arguments.train + arguments.validation
    with ProcessPoolExecutor() as pool:
        write(pool, arguments.out / "train/images", range(arguments.train))
        write(pool, arguments.out / "validation/images", range(arguments.train, count))


if __name__ == "__main__":
    main()

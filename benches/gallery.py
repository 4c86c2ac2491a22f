#!/usr/bin/env python3
"""How fast a folder of images becomes an index: whole commands, from files in memory.

    benches/gallery.py [--files 1000] [--unprompt target/release/unprompt]

Makes PNG files of 1 MB of noise, each with one of ten prompts as AUTOMATIC1111 writes them, and times `index build`,
`index add` with nothing changed, and `read`, the median of five runs. Ten prompts, so that embedding them takes no time
to speak of; opening the sentence encoder is in every time but that of `read`.
"""

import argparse
import os
import random
import shutil
import statistics
import struct
import subprocess
import tempfile
import time
import zlib

SIDE = 592
SUBJECTS = ["fox", "owl", "castle", "robot", "ship", "forest", "city", "wizard", "cat", "mountain"]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(number):
    rows = random.Random(number)
    lines = b"".join(b"\0" + rows.randbytes(3 * SIDE) for _ in range(SIDE))
    text = f"a {SUBJECTS[number % 10]} at dusk\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: {number}, Size: 512x512"
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)),
            chunk(b"tEXt", b"parameters\0" + text.encode("latin-1")),
            chunk(b"IDAT", zlib.compress(lines, 0)),
            chunk(b"IEND", b""),
        ]
    )


def timed(command, clean=None):
    times = []
    for _ in range(5):
        if clean is not None:
            shutil.rmtree(clean, ignore_errors=True)
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--unprompt", default="target/release/unprompt")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gallery, index = os.path.join(folder, "gallery"), os.path.join(folder, "index")
        os.mkdir(gallery)
        for number in range(args.files):
            with open(os.path.join(gallery, f"{number:05}.png"), "wb") as file:
                file.write(png(number))
        build = [args.unprompt, "index", "build", "-q", gallery, "--out", index]
        # The first run brings the files into memory.
        subprocess.run([args.unprompt, "read", gallery], check=True, stdout=subprocess.DEVNULL)
        for name, command, clean in [
            ("index build", build, index),
            ("index add, unchanged", [args.unprompt, "index", "add", "-q", index, gallery], None),
            ("read", [args.unprompt, "read", gallery], None),
        ]:
            seconds = timed(command, clean)
            print(f"{name}: {seconds:.2f} s, {args.files / seconds:.0f} files a second")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes many distinct prompts out of real ones: a corpus of the size of DiffusionDB from a few files.

    benches/corpus.py PROMPTS.txt... --count 1800000 --out corpus.txt [--held-out 1000 --queries queries.txt]

The real prompts come first, in their order, without repetitions. Each further one recombines them: the first phrase of
one prompt, then of others the phrases that stand at the same place, as many as a third one has; phrases are what
commas separate. So prompts keep their lengths, and words about their frequencies. Prompts are shuffled, and those
held out are the last of the same shuffle. The seed is fixed: equal files give equal corpora.
"""

import argparse
import random

SEED = 42


def distinct(paths):
    prompts = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if text := " ".join(line.split()):
                    prompts.setdefault(text)
    return list(prompts)


def recombined(prompts, rng):
    """One prompt after the other, without end."""
    split = [[phrase.strip() for phrase in prompt.split(",") if phrase.strip()] for prompt in prompts]
    lengths = [len(phrases) for phrases in split]
    places = [[phrases[place] for phrases in split if len(phrases) > place] for place in range(max(lengths))]
    while True:
        length = rng.choice(lengths)
        parts = [rng.choice(place) for place in places[:length]]
        # Of a phrase that comes twice, the first stays.
        yield ", ".join(dict.fromkeys(parts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompts", nargs="+", help="text files, a prompt a line")
    parser.add_argument("--count", type=int, required=True, help="distinct prompts")
    parser.add_argument("--out", required=True)
    parser.add_argument("--held-out", type=int, default=0, help="further ones, which are not in the corpus")
    parser.add_argument("--queries", help="where those go")
    args = parser.parse_args()
    if bool(args.held_out) != bool(args.queries):
        parser.error("--held-out and --queries go together")
    rng = random.Random(SEED)
    real = distinct(args.prompts)
    if not real:
        parser.error("there are no prompts in these files")
    wanted = args.count + args.held_out
    corpus = dict.fromkeys(real[:wanted])
    stale = 0
    for prompt in recombined(real, rng):
        if len(corpus) == wanted:
            break
        stale = stale + 1 if prompt in corpus else 0
        if stale > 100_000:
            parser.error(f"these files make no more than {len(corpus)} distinct prompts")
        corpus.setdefault(prompt)
    corpus = list(corpus)
    rng.shuffle(corpus)
    for path, part in [(args.out, corpus[: args.count]), (args.queries, corpus[args.count :])]:
        if path:
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{prompt}\n" for prompt in part)
    print(f"{len(real)} real prompts, {args.count} in {args.out}, {args.held_out} held out, seed {SEED}")


if __name__ == "__main__":
    main()

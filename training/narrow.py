#!/usr/bin/env python3
"""What narrower products and caches cost in phone errors, against fp32 on the same clips.

    narrow.py --split dev                    # speechocean762; devcv: Common Voice

Every choice streams the same clips through the C engine (chunks of 160 ms, decoded as a session gets it)
at the depths given. The table has each one's phone error rate, how much it differs from the first
choice's (relative), and the interval that holds 95 % of that difference when clips are drawn anew, 2000
times, with replacement. docs/performance.md has the results (--into).
"""

import argparse
import datetime
import os

import numpy as np

from capi import Engine
from corpus import dev_clips
from evaluate import model_sha
from phones import edits
from report import insert, rows

HERE = os.path.dirname(os.path.abspath(__file__))
CHOICES = ("fp32/fp32", "fp32/fp16", "fp32/bf16", "fp32/int8", "int8/fp16", "int8/int8")
CHUNK, GROUP, DRAWS = 8, 32, 2000


def errors(engine, clips, depths):
    """[clips, depths] edits"""
    counts = []
    for (_, align), out in engine.hear(clips, max(depths), CHUNK, GROUP):
        ref = [p for p, _, _ in align if p]
        counts.append([edits(ref, [p[0] for p in engine.decode(out[d])]) for d in depths])
    return np.array(counts)


def described(mine, first, phones, draws):
    """A cell a depth."""
    per, change = mine.sum(0) / phones.sum(), mine.sum(0) / first.sum(0) - 1
    drawn = mine[draws].sum(1) / first[draws].sum(1) - 1
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return [f"{100 * p:.2f} %, {100 * c:+.2f} % [{100 * a:+.2f}, {100 * b:+.2f}]"
            for p, c, a, b in zip(per, change, low, high)]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--speech", default=os.path.join(HERE, "../../shared/speech"))
    ap.add_argument("--split", default="dev")
    ap.add_argument("--every", type=int, default=1, help="one clip of so many")
    ap.add_argument("--depths", type=int, nargs="*", default=(3, 6, 12))
    ap.add_argument("--model", help="default: the built-in one")
    ap.add_argument("--lib")
    ap.add_argument("--into", help="a document with markers for the table")
    ap.add_argument("choices", nargs="*", default=CHOICES, metavar="PRECISION/CACHE")
    a = ap.parse_args()
    clips = sorted(dev_clips(a.speech, split=a.split)[::a.every], key=lambda c: os.path.getsize(c[0]))
    phones = np.array([sum(1 for p, _, _ in align if p) for _, align in clips])
    draws = np.random.default_rng(1).integers(0, len(clips), (DRAWS, len(clips)))
    head = (f"`training/narrow.py --split {a.split} --every {a.every}`, {datetime.date.today()}, model "
            f"{model_sha(a.model)}: {len(clips)} clips, {phones.sum()} phones.")
    lines, first, worst = [], None, (0.0, "none makes more errors than the first")
    for choice in a.choices:
        precision, cache = choice.split("/")
        engine = Engine(model=a.model, lib=a.lib, precision=precision, cache=cache)
        mine = errors(engine, clips, a.depths)
        first = mine if first is None else first
        change = 100 * (mine.sum(0) / first.sum(0) - 1)
        at = int(change.argmax())
        worst = max(worst, (float(change[at]), f"`{choice}` at depth {a.depths[at]}, {change[at]:+.2f} %"))
        lines.append([choice, *described(mine, first, phones, draws)])
        print(*lines[-1], flush=True)
        engine.close()
    if a.into:
        table = rows(["products/caches", *(f"depth {d}" for d in a.depths)], lines)
        insert(a.into, f"narrow.py {a.split}", f"{head}\n\n{table}\n\nWorst: {worst[1]}.")


if __name__ == "__main__":
    main()

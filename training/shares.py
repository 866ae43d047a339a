#!/usr/bin/env python3
"""Which mean of weights is the best on all development sets? One line for each judged candidate.

    average.py --out MEAN A.pt B.pt && export.py --checkpoint MEAN/last.pt --decoder D.npz --out MEAN/m.safetensors
    judge.py --model MEAN/m.safetensors --out MEAN/judged --depths 3 6 12 --chunks 16 --limit 130 --precisions fp32 --conditions clean
    shares.py --into README.md "A and B"=MEAN/judged.json ...

PER with the language model at every depth that was judged, 320 ms, fp32; of the deepest also argmax in brackets, and how many of
argmax's runs are one frame long.
"""

import argparse
import datetime
import json

import numpy as np

from judge import COUNTS
from references import FROZEN
from report import insert, rows


def cells(path):
    """{set: {depth: {count of COUNTS: sum over all speakers}}}"""
    with open(path) as f:
        judged = json.load(f)["cells"]
    return {s: {d: dict(zip(COUNTS, np.sum(list(c["speakers"].values()), 0))) for d, c in judged[f"{s}|clean|320|fp32"].items()}
            for s in FROZEN}


def line(name, found):
    out = [name]
    for by_depth in found.values():
        deepest = max(by_depth, key=int)
        for d, c in by_depth.items():
            per = f"{100 * c['on'] / c['phones']:.1f}"
            out.append(f"{per} ({100 * c['argmax'] / c['phones']:.0f}; {100 * c['short'] / c['runs']:.0f})" if d == deepest else per)
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("candidates", nargs="+", help="NAME=judged.json")
    ap.add_argument("--into", help="a document with markers")
    ap.add_argument("--name", default="", help="of a further table there: of the markers")
    a = ap.parse_args()
    found = {name: cells(path) for name, path in (c.rsplit("=", 1) for c in a.candidates)}
    depths = [(s, d) for s, by in next(iter(found.values())).items() for d in by]
    text = f"`shares.py`, {datetime.date.today()}.\n\n" + rows(["mean of", *(f"{s}, depth {d}" for s, d in depths)],
                                                            [line(n, f) for n, f in found.items()])
    if a.into:
        insert(a.into, f"shares.py {a.name}".strip(), text)
    else:
        print(text)


if __name__ == "__main__":
    main()

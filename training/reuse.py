#!/usr/bin/env python3
"""What attention maps that layers share save (arXiv 2305.11685): bytes of a stream, arithmetic, streams a core.

    reuse.py --into ../docs/performance.md
    reuse.py --add-to ../models/shoal-programs.safetensors      # no table: that file gets those programs

The shipped weights with further programs in which two or three layers have one map, the first of them making it. What
that costs in errors is asked by compare.py. Speed is measured by turns on speech, CPU time, the median of the rounds;
arithmetic is that of shoald --explain.
"""

import argparse
import datetime
import os
import tempfile

import numpy as np

from convert import with_programs
from crowd import Crowd, by_turns, explained, whole
from evaluate import BUILT_IN, model_sha
from report import insert, rows
from verify import minute

HERE = os.path.dirname(os.path.abspath(__file__))
MAPS = {"base": 1, "two-a-map": 2, "three-a-map": 3}


def sharing(name, each):
    """A change of a configuration: the first program again, a map for each `each` layers."""
    def change(config):
        layers = [{k: v for k, v in {**l, **({"op": "reuse", "source": i - i % each} if i % each else {})}.items()
                   if not (k == "attn" and i % each)} for i, l in enumerate(config["programs"][0]["layers"])]
        config["programs"].append({"name": name, "layers": layers})
    return change


def measured(a, path):
    pcm, costs, lines = minute(a.speech), {p: whole(steps) for p, steps in explained(a.shoald, path).items()}, []
    flops, memory = costs["base"]
    for precision in ("fp32", "int8"):
        for streams in (1, 32):
            found = np.array(by_turns([Crowd(a.lib, path, precision, pcm, streams, p) for p in MAPS], a.rounds, a.seconds))
            for i, (name, each) in enumerate(MAPS.items()):
                gain = 100 * (found[:, i] / found[:, 0] - 1)
                lines.append([precision, streams, each, f"{costs[name][1]:,}", f"{100 * (costs[name][1] / memory - 1):+.1f}",
                              f"{100 * (flops / costs[name][0] - 1):+.1f}", f"{np.median(found[:, i]):.1f}",
                              "" if i == 0 else f"{np.median(gain):+.1f} ({gain.min():+.1f}..{gain.max():+.1f})"])
                print(*lines[-1], flush=True)
    return rows(["products", "streams", "layers a map", "bytes of a stream", "%", "predicted by arithmetic, %", "streams a core",
                 "measured, %"], lines)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--rounds", type=int, default=7)
    ap.add_argument("--seconds", type=float, default=1.0, help="CPU time of a turn")
    ap.add_argument("--lib")
    ap.add_argument("--shoald", default=os.path.join(HERE, "../build/daemon/shoald"))
    ap.add_argument("--add-to", metavar="FILE", help="write the programs into this model file instead")
    ap.add_argument("--into", help="a document with markers")
    a = ap.parse_args()
    programs = [sharing(n, each) for n, each in MAPS.items() if each > 1]
    if a.add_to:
        with_programs(a.add_to, a.add_to, programs)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        with_programs(BUILT_IN, path, programs)
        table = measured(a, path)
    text = (f"`training/reuse.py`, {datetime.date.today()}, model {model_sha(None)}: depth 12, chunks of 160 ms, left context 64 "
            f"frames, caches as `auto` has them.\n\n{table}")
    if a.into:
        insert(a.into, "reuse.py", text)
    else:
        print(text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How much posteriors are smoothed (engine/phones/smooth.c), chosen for a model and written into its file.

    smoothing.py --model ../models/shoal-base.safetensors --out /tmp/smoothed.safetensors
    smoothing.py --model MODEL --out SMOOTHED --limit 130 --into README.md

`stay` and `scale` are those of a grid with the fewest errors of argmax, repeats merged, in the mean of the three
development sets and of DEPTHS, over every other speaker of each set; `temperature` is then the one under which the
aligner's labels of their frames are the likeliest. The table says what that is worth on the speakers left. Chunk 320 ms,
C engine.
"""

import argparse
import datetime
import itertools
import os
import time

import numpy as np

from capi import Engine
from breakdown import frame_labels
from convert import with_programs
from corpus import halves
from evaluate import model_sha
from judge import calibration, gap, sets, short_runs
from phones import collapse, edits
from report import insert, rows

DEPTHS = (3, 6, 12)
CHUNK = 16                              # frames of 20 ms
STAYS, SCALES = (0.6, 0.7, 0.8, 0.85, 0.9), (0.7, 1.0, 1.5, 2.0)        # beyond nothing much is gained
TEMPERATURES = np.round(np.arange(1.0, 6.01, 0.1), 1)
RAW = None


def heard(engine, clips):
    """{depth: [(alignment, logp)]} of clips."""
    order = sorted(clips, key=lambda c: os.path.getsize(c[0]))
    out = {d: [] for d in DEPTHS}
    for (_, align, _), found in engine.hear(order, max(DEPTHS), CHUNK):
        for d in DEPTHS:
            out[d].append((align, found[d]))
    return out


def smoothed(engine, clips, params):
    return [(align, logp if params is RAW else engine.smooth(logp, CHUNK, **params)) for align, logp in clips]


def per(clips):
    """Of argmax."""
    said = [[p for p, _, _ in align if p] for align, _ in clips]
    return sum(edits(s, collapse(logp.argmax(1))) for s, (_, logp) in zip(said, clips)) / sum(map(len, said))


def mean_per(engine, found, params):
    """Over sets and depths; found: [{depth: clips}] of each set."""
    return float(np.mean([per(smoothed(engine, of[d], params)) for of in found for d in DEPTHS]))


def likeliest_temperature(engine, found, params):
    """Each set and depth counts alike."""
    def lost(clips):
        told = [calibration(logp, frame_labels(align, len(logp)), TEMPERATURES) for align, logp in clips]
        return sum(lost for _, lost, _ in told) / sum(frames for _, _, frames in told)

    return float(TEMPERATURES[sum(lost(smoothed(engine, of[d], {**params, "temperature": 1.0})) for of in found for d in DEPTHS).argmin()])


def choose(engine, found):
    """The parameters, with the errors of each pair tried: [(stay, scale, PER)]."""
    tried = [(stay, scale, mean_per(engine, found, dict(stay=stay, scale=scale, temperature=1.0)))
             for stay, scale in itertools.product(STAYS, SCALES)]
    stay, scale, _ = min(tried, key=lambda x: x[2])
    params = dict(stay=stay, scale=scale)
    return {**params, "temperature": likeliest_temperature(engine, found, params)}, tried


def worth(engine, clips, params):
    """[argmax PER, share of one-frame runs, share of frames right, ECE], in percent."""
    short, runs, right, frames, bins = 0, 0, 0, 0, 0
    clips = smoothed(engine, clips, params)
    for align, logp in clips:
        best, labels = logp.argmax(1), frame_labels(align, len(logp))
        n, ones = short_runs(best)
        runs, short = runs + n, short + ones
        right, frames, bins = right + (best == labels).sum(), frames + len(labels), bins + calibration(logp, labels)[0]
    return [100 * x for x in (per(clips), short / runs, right / frames, gap(bins))]


def table(engine, names, found, params):
    lines = []
    for name, of in zip(names, found):
        for d in DEPTHS:
            before, after = (worth(engine, of[d], p) for p in (RAW, params))
            lines.append([name, d, *(f"{b:.1f} to {a:.1f}" for b, a in zip(before, after))])
    return rows(["speakers left of", "depth", "argmax PER, %", "runs of one frame, %", "frames right, %", "ECE, %"], lines)


def price(engine, clips, params):
    """Percent that it takes of the CPU time of depth 3, eight streams side by side; and microseconds a frame."""
    logp = max((logp for _, logp in clips), key=len)
    begin, rounds = time.process_time(), 200
    for _ in range(rounds):
        engine.smooth(logp, CHUNK, **params)
    a_frame = (time.process_time() - begin) / rounds / len(logp)
    pcm = np.random.default_rng(1).normal(0, 0.05, 10 * 16000).astype(np.float32)
    computing = engine.cost(pcm, min(DEPTHS), chunk=CHUNK)
    return f"It takes {100 * a_frame * 50 / computing:.1f} % of the CPU time of depth {min(DEPTHS)} ({1e6 * a_frame:.1f} us a frame)."


def grid(tried):
    lines = [[f"stay {stay}", *(f"{100 * p:.2f}" for s, _, p in tried if s == stay)] for stay in STAYS]
    return rows(["argmax PER, %, speakers chosen on", *(f"scale {s}" for s in SCALES)], lines)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", required=True)
    ap.add_argument("--out", required=True, help="the model file with the choice in it")
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--limit", type=int, default=200, help="about this many clips a set; 0: all")
    ap.add_argument("--lib")
    ap.add_argument("--into", help="a document with markers, for the tables")
    a = ap.parse_args()
    a.apart = []
    engine, clips = Engine(a.model, a.lib), sets(a)
    parts = {name: halves(c, lambda c: c[2]) for name, c in clips.items()}
    chosen_on, left = ([heard(engine, p[half]) for p in parts.values()] for half in (0, 1))
    params, tried = choose(engine, chosen_on)
    text = (f"`smoothing.py --limit {a.limit}` on {model_sha(a.model)}, {datetime.date.today()}: "
            + ", ".join(f"{k} {v:g}" for k, v in params.items()) + ".\n\n"
            + table(engine, parts, left, params) + "\n\n" + price(engine, left[0][min(DEPTHS)], params) + "\n\n" + grid(tried))
    with_programs(a.model, a.out, [lambda c: c.update({f"smoothing_{k}": v for k, v in params.items()})])
    print(text)
    if a.into:
        insert(a.into, "smoothing.py", text)


if __name__ == "__main__":
    main()

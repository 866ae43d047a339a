#!/usr/bin/env python3
"""Is full depth worse than a shallower one, or is that the choice of speakers? Paired bootstrap.

    paired.py --model ../models/shoal-base.safetensors

Streams the development clips through the C engine (chunk 320 ms, fp32, decoded), counts errors by
speaker at every depth, and draws the speakers anew --draws times with replacement (Bisani and Ney
2004): the table has each depth's phone error rate, its difference to that of full depth, and the
interval that holds 95 % of the drawn differences.
"""

import argparse
import datetime
import os
from multiprocessing import Pool

import numpy as np

from capi import Engine
from corpus import dev_clips, read_manifest
from evaluate import file_facts, model_sha
from phones import edits
from report import insert, rows

CHUNK = 16


def errors(job):
    """[(path, phones, [edits at depth 1, 2, ...])]"""
    model, lib, shape, depth, clips = job
    engine, out = Engine(model, lib, *shape), []
    for (path, align), found in engine.hear(clips, depth, CHUNK):
        ref = [p for p, _, _ in align if p]
        out.append((path, len(ref), [edits(ref, [p[0] for p in engine.decode(found[d])])
                                     for d in range(1, depth + 1)]))
    return out


def by_speaker(speech, counted):
    """[speakers, 1 + depth]: phones, edits at each depth."""
    speaker = {os.path.join(speech, r["path"]): r["speaker"] for r in read_manifest(speech)}
    sums = {}
    for path, phones, wrong in counted:
        sums[speaker[path]] = sums.get(speaker[path], 0) + np.array([phones, *wrong])
    return np.array(list(sums.values()))


def compared(sums, draws=10000, seed=1):
    """Of [speakers, 1 + choices], as by_speaker has it: (error rate, less that of the last choice, and the bounds of
    95 % of that among draws of as many speakers) of each choice, in points."""
    rng, n = np.random.default_rng(seed), len(sums)
    drawn = np.stack([sums[rng.integers(n, size=n)].sum(0) for _ in range(draws)])
    per = 100 * drawn[:, 1:] / drawn[:, :1]
    low, high = np.percentile(per - per[:, -1:], (2.5, 97.5), axis=0)
    here = 100 * sums.sum(0)[1:] / sums.sum(0)[0]
    return list(zip(here, here - here[-1], low, high))


def table(sums, draws, seed):
    return rows(["depth", "PER, %", "less that of full depth", "95 % of the draws"],
                [[d, f"{per:.2f}", f"{less:+.2f}", f"{low:+.2f} .. {high:+.2f}"]
                 for d, (per, less, low, high) in enumerate(compared(sums, draws, seed), 1)])


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", default="../models/shoal-base.safetensors")
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--draws", type=int, default=10000)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--lib")
    ap.add_argument("--into", help="a document with markers for the table")
    a = ap.parse_args()
    config, *_ = file_facts(a.model)
    shape, depth = (config["dim"], config["classes"]), len(config["program"])
    clips = sorted(dev_clips(a.speech), key=lambda c: os.path.getsize(c[0]))     # like lengths together
    with Pool(a.jobs) as pool:
        counted = sum(pool.map(errors, [(a.model, a.lib, shape, depth, clips[j::a.jobs]) for j in range(a.jobs)]), [])
    sums = by_speaker(a.speech, counted)
    text = (f"`training/paired.py`, {datetime.date.today()}, model {model_sha(a.model)}: {len(clips)} clips, "
            f"{sums[:, 0].sum()} phones, {len(sums)} speakers.\n\n{table(sums, a.draws, a.seed)}")
    if a.into:
        insert(a.into, "paired.py", text)
    else:
        print(text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Would a depth that decides itself pay? What a stream could save at best, chunk by chunk.

    auto.py --chunk 8 --limit 130 --into ../docs/auto.md

Every exit of every development clip is streamed once through the C engine. Then each chunk leaves at the first depth
where a rule says that its posteriors have converged, and what left is decoded as a session would:

    entropy   the mean entropy of the chunk's frames is below a threshold (BERxiT and others)
    change    the mean KL divergence from the exit before is below it (Layer Consistency, arXiv 2105.00812, taken at its word)
    learned   a logistic regression on these two and on how sure the argmax is, one an exit, says that the argmax is likely to change
              up to depth 12 by less than it; learnt on half of the speakers, asked about the other half
    oracle    the shallowest depth whose argmax is that of depth 12 in all frames of the chunk: no rule can know that

This flatters the rules: deeper layers' caches hold what full depth computed, whereas a real stream would have skipped
that for the frames that left early. A rule that loses even so need not be built. PER is the mean over the development
sets, beside the fixed depth of equal mean cost (between two depths: by the line); intervals by speaker, 95 %.
"""

import argparse
import datetime
import os
from typing import NamedTuple

import numpy as np
import torch

from capi import Engine
from evaluate import BUILT_IN, model_sha
from judge import sets
from phones import edits
from probe import regression
from report import insert, rows

DEPTH, LEAST, DELAY, DRAWS = 12, 3, 3, 2000
THRESHOLDS = dict(entropy=(0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 1.8), change=(0.003, 0.006, 0.01, 0.015, 0.02, 0.03, 0.05),
                  learned=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), oracle=(0,))


class Heard(NamedTuple):
    """What the exits say of a clip."""
    of: str             # the set
    speaker: str
    phones: list        # of the reference
    logp: np.ndarray    # float16 [DEPTH, T, classes]
    chunks: np.ndarray  # [T] which one a frame is of
    unsure: dict        # {rule: [DEPTH, chunks]}, what it compares with its threshold at each exit


def means(frames, chunks):
    """[DEPTH, T] -> [DEPTH, chunks]"""
    return np.stack([np.bincount(chunks, f) for f in frames]) / np.bincount(chunks)


def signs(logp, chunks):
    """{what an exit shows: [DEPTH, chunks]}; "oracle": share of the frames whose argmax is not yet that of the last"""
    p = np.exp(logp)
    change = np.concatenate([np.full((1, logp.shape[1]), 1e9), (p[1:] * (logp[1:] - logp[:-1])).sum(2)])
    found = dict(entropy=-(p * logp).sum(2), change=change, doubt=1 - p.max(2), oracle=(logp.argmax(2) != logp[-1].argmax(1)).astype(float))
    return {k: means(v, chunks) for k, v in found.items()}


def posteriors(engine, clips, chunk):
    """[Heard] of {set: clips}"""
    out = []
    for name, listed in clips.items():
        listed = sorted(listed, key=lambda c: os.path.getsize(c[0]))
        for (_, align, speaker), found in engine.hear(listed, DEPTH, chunk):
            logp = np.stack([found[d] for d in range(1, DEPTH + 1)])
            chunks = (np.arange(logp.shape[1]) + DELAY) // chunk
            chunks -= chunks[0]
            out.append(Heard(name, speaker, [p for p, _, _ in align if p], logp.astype(np.float16), chunks, signs(logp, chunks)))
    return out


def shown(clip, depth):
    """[chunks, 4]: what a learnt rule goes by at an exit"""
    s = {k: v[depth - 1] for k, v in clip.unsure.items()}
    return np.stack([s["entropy"], s["doubt"], np.log(s["change"] + 1e-6), np.log(s["entropy"] + 1e-6)], 1).astype(np.float32)


def learn(heard):
    """Puts into every clip's `unsure` what a rule learnt from the other half of the speakers says: how likely some argmax will change."""
    half = {s: i % 2 for i, s in enumerate(sorted({(c.of, c.speaker) for c in heard}))}
    parts = [[c for c in heard if half[c.of, c.speaker] == i] for i in range(2)]
    for c in heard:
        c.unsure["learned"] = np.zeros_like(c.unsure["entropy"])
    for depth in range(LEAST, DEPTH):
        for one, other in (parts, parts[::-1]):
            x = torch.from_numpy(np.concatenate([shown(c, depth) for c in one]))
            y = torch.from_numpy(np.concatenate([c.unsure["oracle"][depth - 1] > 0 for c in one]).astype(int))
            w, b = regression(x, y, 2)
            for c in other:
                c.unsure["learned"][depth - 1] = torch.softmax(torch.from_numpy(shown(c, depth)) @ w.T + b, 1)[:, 1].numpy()


def leaves(rule, threshold, clip):
    """[chunks] depth at which each leaves"""
    left = clip.unsure[rule][LEAST - 1:] <= threshold
    left[-1] = True
    return LEAST + left.argmax(0)


class Score:
    """Edits, phones, summed depth, chunks, frames whose argmax is not that of the last depth, and frames, by (set, speaker)."""

    def __init__(self):
        self.sums = {}

    def add(self, key, *counts):
        self.sums[key] = self.sums.get(key, 0) + np.array(counts, float)

    def rates(self, draws):
        """[draws + 1] (PER, mean depth, frames that disagree in percent), the sets counting alike; the first as it is, the others
        with speakers drawn anew."""
        found = []
        for name in sorted({n for n, _ in self.sums}):
            sums = np.array([v for (n, _), v in sorted(self.sums.items()) if n == name])
            s = sums[np.concatenate([[np.arange(len(sums))], draws[name] % len(sums)])].sum(1)
            found.append((100 * s[:, 0] / s[:, 1], s[:, 2] / s[:, 3], 100 * s[:, 4] / s[:, 5]))
        return np.mean(found, 0)


def scored(engine, heard, choose):
    """choose: clip -> [chunks] depths"""
    out = Score()
    for c in heard:
        depth = choose(c)
        picked = c.logp[depth[c.chunks] - 1, np.arange(c.logp.shape[1])].astype(np.float32)
        other = (picked.argmax(1) != c.logp[-1].argmax(1)).sum()
        out.add((c.of, c.speaker), edits(c.phones, [p[0] for p in engine.decode(picked)]), len(c.phones), depth.sum(), len(depth), other, len(picked))
    return out


COLOURS = dict(fixed="#000000", entropy="#0072B2", change="#E69F00", learned="#009E73", oracle="#CC79A7")      # Okabe and Ito


def picture(curves, path):
    """curves: {rule: [(PER, mean depth, disagreement)]}"""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for rule, of in curves.items():
        per, depth, other = np.array(sorted(of, key=lambda v: v[1])).T
        for axis, y in zip(axes, (per, other)):
            axis.plot(depth, y, color=COLOURS[rule], marker="o", markersize=4, linewidth=2 if rule == "fixed" else 1, label=rule)
    for axis, title in zip(axes, ("PER, %", f"frames whose argmax is not that of depth {DEPTH}, %")):
        axis.set_title(title, fontsize=10), axis.set_xlabel("mean depth")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=72, metadata={"Software": None})


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", default=BUILT_IN)
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--chunk", type=int, default=8, help="frames")
    ap.add_argument("--limit", type=int, default=130, help="about this many clips a set; 0: all")
    ap.add_argument("--lib")
    ap.add_argument("--into", help="a document with markers")
    a = ap.parse_args()
    a.apart = []
    engine = Engine(a.model, a.lib)
    heard = posteriors(engine, sets(a), a.chunk)
    learn(heard)
    rng = np.random.default_rng(1)
    draws = {name: rng.integers(0, 1 << 30, (DRAWS, len({c.speaker for c in heard if c.of == name})))
             for name in sorted({c.of for c in heard})}
    run = lambda choose: scored(engine, heard, choose).rates(draws)
    fixed = {d: run(lambda c, d=d: np.full(c.chunks[-1] + 1, d)) for d in range(LEAST, DEPTH + 1)}
    lines = [["fixed", "", d, f"{v[0, 0]:.2f}", f"{v[2, 0]:.1f}", "", ""] for d, v in fixed.items()]
    at, curves = np.array([v[0] for v in fixed.values()]), dict(fixed=[v[:, 0] for v in fixed.values()])
    for rule, thresholds in THRESHOLDS.items():
        for t in thresholds:
            per, depth, other = found = run(lambda c: leaves(rule, t, c))
            curves.setdefault(rule, []).append(found[:, 0])
            beside = np.array([np.interp(x, range(LEAST, DEPTH + 1), at[:, i]) for i, x in enumerate(depth)])
            gain = 100 * (per / beside - 1)
            low, high = np.percentile(gain[1:], (2.5, 97.5))
            lines.append([rule, t, f"{depth[0]:.2f}", f"{per[0]:.2f}", f"{other[0]:.1f}", f"{beside[0]:.2f}", f"{gain[0]:+.2f} [{low:+.2f}, {high:+.2f}]"])
            print(*lines[-1], flush=True)
    head = (f"`training/auto.py --chunk {a.chunk} --limit {a.limit}`, {datetime.date.today()}, model {model_sha(a.model)}: "
            f"{len(heard)} clips.")
    table = rows(["rule", "threshold", "mean depth", "PER, %", "frames that disagree with depth 12, %", "PER of the fixed depth of equal cost, %",
                  "relative change, %"], lines)
    text = f"{head}\n\n![](auto.png)\n\n{table}"
    if a.into:
        picture(curves, os.path.join(os.path.dirname(a.into), "auto.png"))
        insert(a.into, f"auto.py {a.chunk}", text)
    else:
        print(text)


if __name__ == "__main__":
    main()

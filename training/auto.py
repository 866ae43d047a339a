#!/usr/bin/env python3
"""Would a depth that decides itself pay? What a stream could save at best, chunk by chunk.

    auto.py --chunk 8 --limit 130 --into ../docs/auto.md

Every exit of every development clip is streamed once through the C engine. Then each chunk leaves at the first depth
where a rule says that its posteriors have converged, and what left is decoded as a session would:

    entropy   the mean entropy of the chunk's frames is below a threshold (BERxiT and others)
    change    the mean KL divergence from the exit before is below it (Layer Consistency, arXiv 2105.00812, taken at its word)
    oracle    the shallowest depth whose argmax is that of depth 12 in all frames of the chunk: no rule can know that

This flatters the rules: deeper layers' caches hold what full depth computed, whereas a real stream would have skipped
that for the frames that left early. A rule that loses even so need not be built. PER is the mean over the development
sets, beside the fixed depth of equal mean cost (between two depths: by the line); intervals by speaker, 95 %.
"""

import argparse
import datetime
import os

import numpy as np

from capi import Engine
from evaluate import BUILT_IN, model_sha
from judge import sets
from phones import edits
from report import insert, rows

DEPTH, LEAST, DRAWS = 12, 3, 2000
THRESHOLDS = dict(entropy=(0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 1.8), change=(0.003, 0.006, 0.01, 0.015, 0.02, 0.03, 0.05), oracle=(0,))


def posteriors(engine, clips, chunk):
    """[(set, speaker, phones of the reference, float16 [DEPTH, T, classes])]"""
    out = []
    for name, listed in clips.items():
        listed = sorted(listed, key=lambda c: os.path.getsize(c[0]))
        for (_, align, speaker), found in engine.hear(listed, DEPTH, chunk):
            logp = np.stack([found[d] for d in range(1, DEPTH + 1)]).astype(np.float16)
            out.append((name, speaker, [p for p, _, _ in align if p], logp))
    return out


def unsure(rule, logp, chunks):
    """[DEPTH, chunks]: what the rule compares with its threshold at each exit; chunks: [T] which one a frame is of"""
    p = np.exp(logp)
    if rule == "entropy":
        frames = -(p * logp).sum(2)
    elif rule == "change":
        frames = np.concatenate([np.full((1, logp.shape[1]), np.inf), (p[1:] * (logp[1:] - logp[:-1])).sum(2)])
    else:
        frames = (logp.argmax(2) != logp[-1].argmax(1)).astype(float)
    sums = np.stack([np.bincount(chunks, f) for f in np.where(np.isinf(frames), 1e9, frames)])
    return sums / np.bincount(chunks)


def leaves(rule, threshold, logp, chunks):
    """[chunks] depth at which each leaves"""
    left = unsure(rule, logp, chunks)[LEAST - 1:] <= threshold
    left[-1] = True
    return LEAST + left.argmax(0)


class Score:
    """Edits, phones and summed depth by (set, speaker)."""

    def __init__(self):
        self.sums = {}

    def add(self, key, wrong, phones, depth, chunks):
        self.sums[key] = self.sums.get(key, 0) + np.array([wrong, phones, depth, chunks], float)

    def rates(self, draws):
        """[draws + 1] (PER, mean depth), the sets counting alike; the first as it is, the others with speakers drawn anew."""
        per, depth = [], []
        for name in sorted({n for n, _ in self.sums}):
            sums = np.array([v for (n, _), v in sorted(self.sums.items()) if n == name])
            drawn = np.concatenate([[np.arange(len(sums))], draws[name] % len(sums)])
            s = sums[drawn].sum(1)
            per.append(100 * s[:, 0] / s[:, 1])
            depth.append(s[:, 2] / s[:, 3])
        return np.mean(per, 0), np.mean(depth, 0)


def scored(engine, heard, chunk, delay, choose):
    out = Score()
    for name, speaker, ref, logp in heard:
        logp = logp.astype(np.float32)
        chunks = (np.arange(logp.shape[1]) + delay) // chunk
        chunks -= chunks[0]
        depth = choose(logp, chunks)
        picked = logp[depth[chunks] - 1, np.arange(logp.shape[1])]
        out.add((name, speaker), edits(ref, [p[0] for p in engine.decode(picked)]), len(ref), depth.sum(), len(depth))
    return out


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
    rng = np.random.default_rng(1)
    draws = {name: rng.integers(0, 1 << 30, (DRAWS, len({s for n, s, _, _ in heard if n == name})))
             for name in {n for n, _, _, _ in heard}}
    run = lambda choose: scored(engine, heard, a.chunk, 3, choose).rates(draws)
    fixed = {d: run(lambda logp, chunks, d=d: np.full(chunks[-1] + 1, d))[0] for d in range(LEAST, DEPTH + 1)}
    lines = [["fixed", "", d, f"{v[0]:.2f}", "", ""] for d, v in fixed.items()]
    at = np.array(list(fixed.values()))
    for rule, thresholds in THRESHOLDS.items():
        for t in thresholds:
            per, depth = run(lambda logp, chunks: leaves(rule, t, logp, chunks))
            beside = np.array([np.interp(x, range(LEAST, DEPTH + 1), at[:, i]) for i, x in enumerate(depth)])
            gain = 100 * (per / beside - 1)
            low, high = np.percentile(gain[1:], (2.5, 97.5))
            lines.append([rule, t, f"{depth[0]:.2f}", f"{per[0]:.2f}", f"{beside[0]:.2f}", f"{gain[0]:+.2f} [{low:+.2f}, {high:+.2f}]"])
            print(*lines[-1], flush=True)
    head = (f"`training/auto.py --chunk {a.chunk} --limit {a.limit}`, {datetime.date.today()}, model {model_sha(a.model)}: "
            f"{len(heard)} clips.")
    table = rows(["rule", "threshold", "mean depth", "PER, %", "fixed depth of equal cost, %", "relative change, %"], lines)
    text = f"{head}\n\n{table}"
    if a.into:
        insert(a.into, f"auto.py {a.chunk}", text)
    else:
        print(text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Tables of the phone decoder (engine/decoder.c): transition [C, C] and scaled prior [C].

    decoder.py --checkpoint /tmp/shoal-run/last.pt --out /tmp/shoal-run/decoder.npz

    transition[q][p] = bigram_scale * log P(p | q) - price   for p != q;   0 for staying
    log_prior[p]     = prior_scale * log P(p)

P are counts over the training alignments (bigrams include SIL, add-one smoothed; frames for the
prior), speechocean762's where it is among the features. The three scales are chosen by a small
grid on every fourth dev clip, at depth 6 and chunk 320 ms; everything else comes from training data.
"""

import argparse
import itertools

import numpy as np
import torch

from data import Features
from export import load_checkpoint
from phones import PHONES, collapse, edits

C = len(PHONES)


def counts(entries):
    """Log bigram [C, C] over phone changes and log frame prior [C]; frames without label skipped."""
    pair, frame = np.ones((C, C)), np.ones(C)
    np.fill_diagonal(pair, 0.0)
    for e in entries:
        x = e["labels"]
        frame += np.bincount(x[x >= 0], minlength=C)
        change = np.nonzero((x[1:] != x[:-1]) & (x[1:] >= 0) & (x[:-1] >= 0))[0]
        np.add.at(pair, (x[change], x[change + 1]), 1)
    np.fill_diagonal(pair, 1.0)       # never used, but finite
    return np.log(pair / pair.sum(1, keepdims=True)), np.log(frame / frame.sum())


def tables(bigram, prior, bigram_scale, price, prior_scale):
    t = bigram_scale * bigram - price
    np.fill_diagonal(t, 0.0)
    return t.astype(np.float32), (prior_scale * prior).astype(np.float32)


def viterbi(logp, transition, log_prior):
    """[T, C] -> best path [T], all at once (the streaming decoder agrees unless its lag binds)."""
    x = logp - log_prior
    score, back = x[0], np.zeros(x.shape, np.int64)
    for t in range(1, len(x)):
        s = score[:, None] + transition
        back[t] = s.argmax(0)
        score = s[back[t], np.arange(C)] + x[t]
    path = [int(score.argmax())]
    for t in range(len(x) - 1, 0, -1):
        path.append(int(back[t][path[-1]]))
    return path[::-1]


@torch.no_grad()
def posteriors(model, feats, entries, depth, chunk=16):
    out = []
    for e in entries:
        mel = torch.from_numpy(feats.get(e))[None]
        logp = model(mel, depth, chunk, model.config.left)[0].numpy()
        out.append(logp[model.config.delay:])
    return out


def per(entries, paths):
    return sum(edits(e["phones"], collapse(p)) for e, p in zip(entries, paths)) / \
        sum(len(e["phones"]) for e in entries)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--checkpoint", required=True)
    ap.add_argument("--out")
    ap.add_argument("--depth", type=int, default=6)
    ap.add_argument("--every", type=int, default=4, help="use every n-th dev clip")
    a = ap.parse_args()
    torch.set_num_threads(1)
    feats = Features(a.features)
    train = [e for e in feats.select(split="train", speed=1.0) if e["labels"] is not None]
    train = [e for e in train if e["corpus"] == "speechocean762"] or train
    dev = [e for e in feats.select(split="dev") if e["labels"] is not None][::a.every]
    model, _ = load_checkpoint(a.checkpoint)
    bigram, prior = counts(train)
    logp = posteriors(model, feats, dev, a.depth)
    print(f"greedy PER {per(dev, [l.argmax(1) for l in logp]):.4f} on {len(dev)} clips, depth {a.depth}")
    best = None
    for scales in itertools.product((0.0, 0.7, 1.0, 1.3), (1.0, 1.5, 2.0, 3.0), (0.0, 0.2, 0.4, 0.6)):
        t, p = tables(bigram, prior, *scales)
        value = per(dev, [viterbi(l, t, p) for l in logp])
        if best is None or value < best[0]:
            best = (value, scales)
            print("bigram %.1f  price %.1f  prior %.1f  PER %.4f" % (*scales, value), flush=True)
    if a.out:
        t, p = tables(bigram, prior, *best[1])
        np.savez(a.out, transition=t, log_prior=p, scales=best[1], per=best[0])


if __name__ == "__main__":
    main()

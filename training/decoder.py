#!/usr/bin/env python3
"""Tables of the phone decoder (engine/decoder.c): trigram [C, C, C] and scaled prior [C].

    decoder.py --checkpoint /tmp/shoal-run/last.pt --out /tmp/shoal-run/decoder.npz

    trigram[h][q][p] = lm_scale * log P(p | h, q) - price   for p != q;   0 for staying
    log_prior[p]     = prior_scale * log P(p)

P(p | h, q): which phone follows q when h stood before it, counted over the training sentences
(with SIL), interpolated Kneser-Ney; P(p): share of frames. The three scales come from a descent
along each in turn over the clips of every other development speaker, at one depth and chunk
320 ms; the remaining speakers say what that is worth on others. Search is the C engine's, with
its lag. What else was tried: README.md, "The phone decoder".
"""

import argparse
import os
import tempfile

import numpy as np
import torch

from capi import Engine
from data import Features
from export import export, load_model, random_model
from phones import PHONES, collapse, edits

C = len(PHONES)
WORDS = ("picovoice-words", "dspspeech")      # a few commands over and over: no language
START = (0.7, 1.5, 0.3)                       # lm scale, price, prior scale
STEPS = ((0.1, 0.5, 0.1), (0.05, 0.25, 0.05))


def log_prior(entries):
    frame = np.ones(C)
    for e in entries:
        frame += np.bincount(e["labels"][e["labels"] >= 0], minlength=C)
    return np.log(frame / frame.sum())


def runs(entries):
    """Label sequences with SIL, repeats merged; a silence goes before each clip. Clips with frames
    of unknown label (negative) are left out."""
    for x in (e["labels"] for e in entries if e["labels"].min() >= 0):
        yield [0] + [int(p) for p in x[np.r_[x[0] != 0, x[1:] != x[:-1]]]]


def counts(entries):
    """Log bigram [C, C] over phone changes, add-one, and log frame prior [C]."""
    pair = np.ones((C, C))
    np.fill_diagonal(pair, 0.0)
    for x in runs(entries):
        np.add.at(pair, (x[:-1], x[1:]), 1)
    np.fill_diagonal(pair, 1.0)       # never used, but finite
    return np.log(pair / pair.sum(1, keepdims=True)), log_prior(entries)


def discounted(n, lower, discount=0.75):
    """Counts [..., C] -> probabilities; what the discount takes off goes to `lower`."""
    total = n.sum(-1, keepdims=True)
    rest = discount * (n > 0).sum(-1, keepdims=True) * lower
    return np.where(total > 0, (np.maximum(n - discount, 0) + rest) / np.maximum(total, 1), lower)


def trigram(entries):
    """Log P(next | before, phone) [C, C, C], Kneser-Ney (Chen and Goodman 1999, interpolated)."""
    n = np.zeros((C, C, C))
    for x in runs(entries):
        np.add.at(n, (x[:-2], x[1:-1], x[2:]), 1)
    kinds = (n > 0).sum(0)                                 # contexts in which a pair occurs
    single = (kinds > 0).sum(0) + 0.5
    pairs = discounted(kinds, single / single.sum())
    return np.log(discounted(n, pairs) + 1e-9)


def tables(lm, prior, lm_scale, price, prior_scale):
    """A bigram [C, C] or trigram [C, C, C], and the prior, as the decoder takes them."""
    t = lm_scale * lm - price
    t[..., np.arange(C), np.arange(C)] = 0.0
    return t.astype(np.float32), (prior_scale * prior).astype(np.float32)


@torch.no_grad()
def posteriors(model, feats, entries, depth, chunk=16):
    out = []
    for e in entries:
        mel = torch.from_numpy(feats.get(e))[None]
        logp = model(mel, depth, chunk, model.config.left)[0].numpy()
        out.append(logp[model.config.delay:])
    return out


class Search:
    """PER of tables, by the C decoder: of a model that is nothing but its tables."""

    def __init__(self, lm, prior, lib=None):
        self.model, self.lm, self.prior, self.lib = random_model(), lm, prior, lib
        self.known = {}

    def engine(self, scales):
        t, p = tables(self.lm, self.prior, *scales)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model")
            export(self.model, "search", path, {"decoder.trigram": t.reshape(C * C, C),
                                                "decoder.log_prior": p})
            return Engine(path, self.lib, self.model.config.dim, C)

    def per(self, scales, entries, logp):
        engine = self.engine(scales)
        wrong = sum(edits(e["phones"], [p[0] for p in engine.decode(l)])
                    for e, l in zip(entries, logp))
        engine.close()
        return wrong / sum(len(e["phones"]) for e in entries)

    def descend(self, entries, logp):
        """(PER, scales): along one scale after the other while it helps, then in finer steps."""
        best = (self.per(START, entries, logp), START)
        for steps in STEPS:
            before = None
            while before != best:
                before = best
                for i in range(3):
                    best = self.line(best, i, steps[i], entries, logp)
        return best

    def line(self, best, i, step, entries, logp):
        for sign in (step, -step):
            while True:
                s = list(best[1])
                s[i] = round(s[i] + sign, 3)
                s = tuple(s)
                if min(s) < 0:
                    break
                if s not in self.known:
                    self.known[s] = self.per(s, entries, logp)
                if self.known[s] >= best[0]:
                    break
                best = (self.known[s], s)
                print("lm %.2f  price %.2f  prior %.2f  PER %.4f" % (*s, best[0]), flush=True)
        return best


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--checkpoint", required=True, help="or a model file")
    ap.add_argument("--out")
    ap.add_argument("--depth", type=int, default=6)
    ap.add_argument("--every", type=int, default=2, help="use every n-th clip")
    ap.add_argument("--lib", help="libshoal.so")
    a = ap.parse_args()
    torch.set_num_threads(1)
    feats = Features(a.features)
    train = [e for e in feats.select(split="train", speed=1.0)
             if e["labels"] is not None and e["corpus"] not in WORDS]
    dev = [e for e in feats.select(split="dev") if e["labels"] is not None]
    model = load_model(a.checkpoint)
    speakers = sorted({e["speaker"] for e in dev})
    halves = [[e for e in dev if e["speaker"] in speakers[h::2]][::a.every] for h in (0, 1)]
    logp = [posteriors(model, feats, h, a.depth) for h in halves]
    greedy = [sum(edits(e["phones"], collapse(l.argmax(1))) for e, l in zip(h, x)) /
              sum(len(e["phones"]) for e in h) for h, x in zip(halves, logp)]
    print(f"greedy PER {greedy[0]:.4f} on {len(halves[0])} clips to choose by, "
          f"{greedy[1]:.4f} on {len(halves[1])} others, depth {a.depth}")
    search = Search(trigram(train), log_prior(train), a.lib)
    per, scales = search.descend(halves[0], logp[0])
    others = search.per(scales, halves[1], logp[1])
    print(f"chosen: PER {per:.4f}, on the other speakers {others:.4f}")
    if a.out:
        t, p = tables(search.lm, search.prior, *scales)
        np.savez(a.out, trigram=t.reshape(C * C, C), log_prior=p, scales=scales, per=per,
                 per_other_speakers=others)


if __name__ == "__main__":
    main()

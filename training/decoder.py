#!/usr/bin/env python3
"""Tables of the phone decoder (engine/phones/decoder.c; docs/model-format.md), for each of its searches.

    decoder.py --checkpoint /tmp/shoal-run/last.pt --out /tmp/shoal-run/decoder.npz
    decoder.py --checkpoint MODEL --report               # and what each is worth

    trigram[h][q][p] = lm_scale * log P(p | h, q) - price   for p != q;   0 for staying
    ngrams: lm_scale * log P(p | .., h, q) - price; a back-off weight is lm_scale * its log
    leave[p][k]      = duration_scale * log(H(p, k) / mean H) - price
    stay[p][k]       = duration_scale * log((1 - H(p, k)) / (1 - mean H))
    log_prior[p]     = prior_scale * log P(p)

P(p | .., h, q): which phone follows q when h and others stood before it, counted over the training sentences
(with SIL) and English text (lm.py, ngram.py). H(p, k): hazard, the share of the phones p of k frames or more
that end with their k-th frame (the last k: that and all later ones), counted over the alignments;
mean H over all phones and frames, so that the scale does not move the price.
P(p): share of frames. Scales are chosen for each search by itself (the language model's are shared
by the two that have it): a descent along each scale in turn over about --limit clips of each development split, the
mean of whose PER counts, over --depths, at chunk 320 ms. What such a choice is worth on others: the same for `lm` over every
other speaker, told of the remaining ones. Search is the C engine's, with its lag. What else was tried: README.md, "The phone decoder".
"""

import argparse
import os
import tempfile
import time
from collections import Counter

import numpy as np
import torch

from capi import DECODERS, Engine
from corpus import halves, spread
from data import Features
from export import export, load_model, random_model
from lm import ROOM, durations, labelled_sentences, log_prior, sentences, written
from ngram import C, language, pruned
from phones import collapse, edits
from references import FROZEN as SPLITS
from report import rows

# searches in the order in which they are tuned: scales to begin with, the search that gives others
SEARCHES = {"lm": (dict(lm=0.7, price=0.75, prior=0.25), None),
            "lm_durations": (dict(price=0.0, durations=0.4), "lm"),
            "plain": (dict(price=2.5, prior=0.3), None),
            "durations": (dict(durations=0.4), "plain")}
LEAST = dict(lm=0.0, prior=0.0, durations=0.2)         # durations=on shall not mean nothing
STEPS = dict(lm=(0.1, 0.05), price=(0.5, 0.25), prior=(0.1, 0.05), durations=(0.2, 0.1))


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
    """PER of a search with some scales, by the C decoder: of a model that is nothing but tables."""

    def __init__(self, lm, prior, ages, lib=None, room=ROOM):
        self.lm, self.prior, self.durations = np.log(lm.trigram + 1e-9), prior, ages
        self.longer = pruned(lm, room).tables()
        self.model, self.lib = random_model(), lib

    def ages(self, scales):
        """leave and stay [C, ages]."""
        leave, stay = np.zeros((2, C, 1))
        if "durations" in scales:
            leave, stay = (scales["durations"] * x for x in self.durations)
        return (leave - scales["price"]).astype(np.float32), stay.astype(np.float32)

    def tensors(self, chosen):
        """{search: scales} -> the model file's tables, and the classes' shares."""
        out = {"head.priors": np.exp(self.prior).astype(np.float32)}
        for name, s in chosen.items():
            if name == "lm":
                t, prior = tables(self.lm, self.prior, s["lm"], s["price"], s["prior"])
                contexts, keys, log_p, is_weight = self.longer
                score = s["lm"] * log_p - np.where(is_weight, 0, s["price"])
                out.update({"decoder.trigram": t.reshape(C * C, C), "decoder.log_prior": prior,
                            "decoder.contexts": contexts.astype(np.float32),
                            "decoder.ngrams": np.stack([keys, score], 1).astype(np.float32)})
            else:
                out[f"decoder.{name}.leave"], out[f"decoder.{name}.stay"] = self.ages(s)
                out[f"decoder.{name}.log_prior"] = (s["prior"] * self.prior).astype(np.float32)
        return out

    def engine(self, chosen):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model")
            export(self.model, "search", path, self.tensors(chosen))
            return Engine(path, self.lib, self.model.config.dim, C)

    def per(self, name, chosen, entries, logp):
        """logp: {depth: of each entry}; the mean over depths."""
        engine = self.engine(chosen)
        found = np.mean([mean_per(entries, ([p[0] for p in engine.decode(l, name)] for l in of)) for of in logp.values()])
        engine.close()
        return float(found)

    def choose(self, entries, logp, names=tuple(SEARCHES)):
        """({search: scales}, {search: PER})."""
        chosen, pers = {}, {}
        for name, (start, base) in ((n, SEARCHES[n]) for n in names):
            chosen[name] = {**chosen.get(base, {}), **start}
            pers[name] = self.descend(name, chosen, entries, logp)
            print(f"{name:13s} PER {100 * pers[name]:.2f} %  " +
                  "  ".join(f"{k} {v:.2f}" for k, v in chosen[name].items()), flush=True)
        return chosen, pers

    def descend(self, name, chosen, entries, logp):
        """Along one scale after the other while it helps, then in finer steps; the best PER."""
        known = {}
        free = [k for k in chosen[name] if not (k == "lm" and name != "lm")]

        def per(scales):
            key = tuple(scales.values())
            if key not in known:
                known[key] = self.per(name, {**chosen, name: scales}, entries, logp)
            return known[key]

        best = per(chosen[name])
        for finer in (0, 1):
            before = None
            while before != best:
                before = best
                for k in free:
                    for sign in (1, -1):
                        best = self.line(chosen, name, k, sign * STEPS[k][finer], best, per)
        return best

    @staticmethod
    def line(chosen, name, k, step, best, per):
        while True:
            scales = {**chosen[name], k: round(chosen[name][k] + step, 3)}
            if scales[k] < LEAST.get(k, -np.inf) or per(scales) >= best:
                return best
            chosen[name], best = scales, per(scales)


def mean_per(entries, heard):
    """PER of each development split, their mean: the small ones count as the large."""
    wrong, phones = Counter(), Counter()
    for e, h in zip(entries, heard):
        wrong[e["split"]] += edits(e["phones"], h)
        phones[e["split"]] += len(e["phones"])
    return sum(wrong[s] / phones[s] for s in phones) / len(phones)


def greedy(entries, logp):
    return mean_per(entries, (collapse(l.argmax(1)) for l in logp))


def report(search, chosen, entries, logp):
    """PER of each search at each depth, the mean of the splits, as a table."""
    lines = [["greedy", "", "", *(f"{100 * greedy(entries, of):.2f}" for of in logp.values())]]
    for name in chosen:
        options = ["on" if v else "off" for v in DECODERS[name]]
        lines.append([name, *options, *(f"{100 * search.per(name, chosen, entries, {d: of}):.2f}" for d, of in logp.items())])
    return rows(["search", "`lm`", "`durations`", *(f"depth {d}" for d in logp)], lines) + "\n\n" + \
        latencies(search.engine(chosen), next(iter(logp.values()))[::8])


def latencies(engine, logp):
    """From a phone's end to its being told, in frames of 20 ms, and CPU time, as a table."""
    lines = []
    for name in engine.decoders:
        late = [heard - p[2] for l in logp for p, heard in engine.told(l, name) if heard < len(l)]
        begin = time.process_time()
        for l in logp:
            engine.decode(l, name)
        us = 1e6 * (time.process_time() - begin) / sum(map(len, logp))
        lines.append([name, f"{np.mean(late):.1f}", *(f"{np.percentile(late, q):.0f}" for q in (50, 90)), f"{us:.1f}"])
    return rows(["search", "mean delay", "median", "90 %", "us a frame"], lines)


def some_of_each(entries, limit):
    """About so many of each split."""
    of = [[e for e in entries if e["split"] == s] for s in SPLITS]
    return [e for clips in of for e in spread(clips, limit)]


def cross_checked(search, entries, logp):
    """(PER on the half chosen on, on the other) of the search `lm`: halves of speakers."""
    parts = [([entries[i] for i in at], {d: [of[i] for i in at] for d, of in logp.items()})
             for at in halves(range(len(entries)), lambda i: entries[i]["speaker"])]
    chosen, pers = search.choose(*parts[0], ["lm"])
    return pers["lm"], search.per("lm", chosen, *parts[1])


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--checkpoint", required=True, help="or a model file")
    ap.add_argument("--out")
    ap.add_argument("--depths", type=int, nargs="*", default=(3, 12))
    ap.add_argument("--limit", type=int, default=130, help="about this many clips of each development split")
    ap.add_argument("--lm-scales", type=float, nargs=3, metavar=("LM", "PRICE", "PRIOR"), help="of the search `lm`, instead of chosen ones")
    ap.add_argument("--hold-out", nargs="*", default=[], help="corpora not counted, e.g. vctk-p239")
    ap.add_argument("--room", type=float, default=ROOM, help="bytes of a model file for what is longer than a trigram")
    ap.add_argument("--report", action="store_true")
    ap.add_argument("--lib", help="libshoal.so")
    a = ap.parse_args()
    torch.set_num_threads(1)
    feats = Features(a.features)
    train = labelled_sentences(feats, a.hold_out)
    dev = [e for e in feats.index if e["split"] in SPLITS and e["labels"] is not None]
    model, some = load_model(a.checkpoint), some_of_each(dev, a.limit)
    logp = {d: posteriors(model, feats, some, d) for d in a.depths}
    search = Search(language(sentences(train), list(written(dev))), log_prior(train), durations(train), a.lib, a.room)
    on, others = cross_checked(search, some, logp)
    print(f"chosen on half of the speakers: {100 * on:.2f} % there, {100 * others:.2f} % on the others")
    chosen, pers = search.choose(some, logp)
    if a.lm_scales:
        chosen["lm"] = dict(zip(("lm", "price", "prior"), a.lm_scales))
        pers["lm"] = search.per("lm", chosen, some, logp)
    if a.out:
        np.savez(a.out, **search.tensors(chosen), per=pers["lm"], per_other_speakers=others)
    if a.report:
        print(report(search, chosen, some, logp))


if __name__ == "__main__":
    main()

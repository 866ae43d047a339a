#!/usr/bin/env python3
"""Training clips that do not say what their labels say.

    misfits.py --features RUN/features --model ../models/shoal-base.safetensors

Of each corpus the --share of clips with the lowest mean log posterior of their labels under a model
(the whole clip visible, speed 1.0): wrong transcripts, cut or clipped recordings. Their ids, worst first, go to
misfits.txt in the features folder, which data.Features leaves out of the training split at every speed. Short
corpora lose nothing (fewer than 1 / share clips).
"""

import argparse
import os

import numpy as np
import torch

from data import Features, MISFITS
from decoder import posteriors
from export import load_model


def fit(logp, labels):
    """Mean log posterior of the labels; frames of silence count as others do."""
    labels = labels[:len(logp)]
    known = labels >= 0
    return float(logp[:len(labels)][known, labels[known]].mean()) if known.any() else -np.inf


def worst(fits, share):
    """fits: [(corpus, fit, id)] -> ids, the worst `share` of each corpus."""
    out = []
    for corpus in sorted({c for c, _, _ in fits}):
        here = sorted((f, key) for c, f, key in fits if c == corpus)
        out += here[:int(share * len(here))]
    return [key for _, key in sorted(out)]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--model", required=True, help="or a checkpoint")
    ap.add_argument("--depth", type=int, default=4)
    ap.add_argument("--share", type=float, default=0.02)
    ap.add_argument("--corpora", nargs="*", help="only of these")
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    feats, model, fits = Features(a.features, misfits=True), load_model(a.model), []
    entries = [e for e in feats.select(split="train", speed=1.0)
               if e["labels"] is not None and (not a.corpora or e["corpus"] in a.corpora)]
    for n, e in enumerate(entries):
        fits.append((e["corpus"], fit(posteriors(model, feats, [e], a.depth, 0)[0], e["labels"]), e["id"]))
        if n % 200 == 0:
            print(f"\r{n}/{len(entries)}", end="", flush=True)
    left_out, path = worst(fits, a.share), os.path.join(a.features, MISFITS)
    with open(path + ".tmp", "w") as f:
        f.writelines(key + "\n" for key in left_out)
    os.replace(path + ".tmp", path)
    print(f"\r{len(left_out)} of {len(entries)} clips left out: {path}")


if __name__ == "__main__":
    main()

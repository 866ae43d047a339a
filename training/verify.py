#!/usr/bin/env python3
"""C engine against PyTorch on a shipped model, over a minute of real speech.

    verify.py                   # the built-in one; or --checkpoint /tmp/shoal-run/last.pt --model MODEL

Development clips are joined to 60 s. For several depths, chunks and left contexts the audio goes
through libshoal in random slices; the one-shot masked PyTorch model is the reference. Prints the
largest difference of log posteriors (bound 1e-3) and of embeddings relative to the largest
embedding value (bound 1e-4), and whether all slicings gave the same bytes. Exit status says so.
"""

import argparse
import sys

import numpy as np
import soundfile as sf
import torch

from capi import Engine
from corpus import dev_clips
from evaluate import BUILT_IN
from export import load_model
from frontend import log_mel

CASES = ((1, 8, 64), (2, 4, 64), (3, 8, 64), (6, 8, 64), (6, 16, 128), (12, 4, 64), (12, 8, 64),
         (12, 16, 64), (12, 64, 256), (12, 1, 16))


def mel_of(model, pcm):
    """[1, F, mels] of all internal frames of a stream."""
    inner = (len(pcm) + 319) // 320 + model.config.delay
    return torch.from_numpy(log_mel(np.concatenate([pcm, np.zeros(320 * inner + 240 - len(pcm), np.float32)])))[None]


@torch.no_grad()
def reference(model, pcm, depth, chunk, left):
    logp, seen = model(mel_of(model, pcm), depth, chunk, left, taps=(depth,))
    return logp[0].numpy()[model.config.delay:], seen[depth][0].numpy()[model.config.delay:]


def minute(speech):
    parts, total = [], 0
    for path, _ in dev_clips(speech, 100):
        parts.append(sf.read(path, dtype="float32")[0])
        total += len(parts[-1])
        if total >= 960000:
            break
    return np.concatenate(parts)[:960000]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--checkpoint", default=BUILT_IN, help="or a model file, whose temperature then counts")
    ap.add_argument("--model", help="model file (default: the built-in one)")
    ap.add_argument("--lib")
    ap.add_argument("--speech", default="../../shared/speech")
    a = ap.parse_args()
    torch.set_num_threads(1)
    model = load_model(a.checkpoint)
    engine = Engine(a.model, a.lib, model.config.dim, model.config.classes)
    pcm, rng, ok = minute(a.speech), np.random.default_rng(1), True
    print(f"{'depth':>5} {'chunk':>5} {'left':>5} {'log posterior':>14} {'embedding':>10}  same bytes")
    for depth, chunk, left in CASES:
        want, want_emb = reference(model, pcm, depth, chunk, left)
        logp, emb = engine.stream(pcm, depth, chunk, left)
        slices = rng.integers(1, 5000, len(pcm) // 1000).tolist() + [len(pcm)]
        again, again_emb = engine.stream(pcm, depth, chunk, left, slices=slices)
        d, e = abs(logp - want).max(), abs(emb - want_emb).max() / abs(want_emb).max()
        same = bool((logp == again).all() and (emb == again_emb).all())
        ok = ok and len(logp) == len(want) and d <= 1e-3 and e <= 1e-4 and same
        print(f"{depth:5d} {chunk:5d} {left:5d} {d:14.2e} {e:10.2e}  {'yes' if same else 'NO'}", flush=True)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()

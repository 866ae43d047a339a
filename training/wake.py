#!/usr/bin/env python3
"""What going deeper in mid-stream costs, by the C engine (docs/performance.md, "Depth change").

    wake.py --speech ../../shared/speech [--limit 200]

Development clips are streamed at a shallow depth and raised to 12 where speech begins plus one
second. For the first second after the change: accuracy of speech frames, and how far the
posteriors are from a stream that was deep all along (mean KL divergence, nats); once with woken
layers that start empty, once with copied history (shoal_wake).
"""

import argparse

import numpy as np
import soundfile as sf

from capi import Engine
from corpus import dev_clips
from breakdown import frame_labels


def kl(p, q):
    return (np.exp(p) * (p - q)).sum(1)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model")
    ap.add_argument("--lib")
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--limit", type=int, default=200)
    ap.add_argument("--shallow", type=int, nargs="*", default=(3, 6))
    ap.add_argument("--chunk", type=int, default=8)
    a = ap.parse_args()
    engine = Engine(a.model, a.lib)
    print(f"{'change':>10} {'history':>8} {'accuracy':>9} {'KL to always deep':>18}")
    for shallow in a.shallow:
        rows = {name: [] for name in ("shallow", "empty", "copy", "deep")}
        for path, align in dev_clips(a.speech, a.limit):
            pcm = sf.read(path, dtype="float32")[0]
            lab = frame_labels(align, (len(pcm) + 319) // 320)
            first = np.nonzero(lab)[0][0] + 50
            cut = first * 320
            if cut + 16000 > len(pcm):
                continue
            slices = [cut, len(pcm) - cut]
            change = dict(slices=slices, depths={0: shallow, 1: 12}, chunk=a.chunk)
            deep = engine.stream(pcm, 12, a.chunk)[0]
            out = {"deep": deep, "shallow": engine.stream(pcm, shallow, a.chunk)[0],
                   "empty": engine.stream(pcm, shallow, wake=0, **change)[0],
                   "copy": engine.stream(pcm, shallow, wake=1, **change)[0]}
            begin = (first + 3) // a.chunk * a.chunk - 3        # chunk at which the change falls
            span = slice(begin + a.chunk, begin + a.chunk + 50)
            speech = lab[span] != 0
            for name, logp in out.items():
                hit = (logp[span].argmax(1) == lab[span])[speech]
                rows[name].append((hit.sum(), speech.sum(), kl(deep[span], logp[span]).sum(), 50))
        for name, r in rows.items():
            t = np.sum(r, axis=0)
            print(f"{shallow:>4} -> 12 {name:>8} {100 * t[0] / t[1]:8.1f} % {t[2] / t[3]:17.4f}")


if __name__ == "__main__":
    main()

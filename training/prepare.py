#!/usr/bin/env python3
"""Decode the recordings once and keep their log-mels.

    prepare.py --speech ../../shared/speech --out /tmp/shoal-features

Writes feats.f16 (all log-mels, [frames, 80] float16), and index.json: for each clip and
speed its offset, frames, corpus, split, speaker, labels (one a 20 ms frame, or null) and the
reference phones. Speeds 0.9 and 1.1 are made for the training split (resampled, so pitch
moves as well, Kaldi's speed perturbation). Every clip ends in 100 ms of digital silence, as a
stream that the engine finishes does.
"""

import argparse
import json
import os
import time
from multiprocessing import Pool

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from corpus import read_alignments, read_manifest
from frontend import HOP, WINDOW, log_mel

TAIL = 1600


def clip(job):
    path, row, align, speeds = job
    pcm, rate = sf.read(os.path.join(path, row["path"]), dtype="float32")
    assert rate == 16000 and pcm.ndim == 1
    out = []
    for speed in speeds:
        x = pcm if speed == 1.0 else resample_poly(pcm, 10, round(10 * speed)).astype(np.float32)
        T = (len(x) + 319) // 320
        x = np.concatenate([x, np.zeros(320 * T - len(x) + TAIL + WINDOW - HOP, np.float32)])
        mel = log_mel(x)
        mel = mel[:len(mel) // 2 * 2]
        labels = None
        if align:
            labels = np.zeros(len(mel) // 2, np.uint8)
            centre = (np.arange(len(labels)) * 2 + 1) * speed
            for phone, a, b in align:
                labels[(centre >= a) & (centre < b)] = phone
        out.append((speed, mel.astype(np.float16), labels))
    return row, out, [p for p, _, _ in align if p] if align else None


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--out", default="/tmp/shoal-features")
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)

    align, rows = read_alignments(a.speech), read_manifest(a.speech)
    jobs = [(a.speech, r, align.get(r["id"]), (1.0, 0.9, 1.1) if r["split"] == "train" else (1.0,))
            for r in rows]

    index, offset, t0 = [], 0, time.time()
    with open(os.path.join(a.out, "feats.f16"), "wb") as f, Pool(a.jobs) as pool:
        for n, (row, made, phones) in enumerate(pool.imap(clip, jobs, chunksize=8)):
            for speed, mel, labels in made:
                f.write(mel.tobytes())
                index.append(dict(id=row["id"], corpus=row["corpus"], split=row["split"],
                                  speaker=row["speaker"], speed=speed, offset=offset,
                                  frames=len(mel), labels=None if labels is None else labels.tolist(),
                                  phones=phones))
                offset += len(mel)
            if n % 500 == 0:
                print(f"\r{n}/{len(jobs)} clips, {time.time() - t0:.0f} s", end="", flush=True)
    with open(os.path.join(a.out, "index.json"), "w") as f:
        json.dump(index, f)
    print(f"\r{len(jobs)} clips, {offset / 360000:.2f} h of features, {time.time() - t0:.0f} s")


if __name__ == "__main__":
    main()

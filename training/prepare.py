#!/usr/bin/env python3
"""Decode the recordings once and keep their log-mels.

    prepare.py --speech ../../shared/speech --more /tmp/shoal-data/voices --out /tmp/shoal-features

A recordings folder holds manifest.tsv and align.tsv (corpus.py); --more takes further folders of
that layout (voices.py, synth.py, librispeech.py). What is "unlabelled" is for pretrain.py.
Labelled splits leave out clips without alignment. --append keeps what --out holds and adds the clips
that are not there yet.

Writes feats.f16 (all log-mels, [frames, 80] float16), and index.json: for each clip and
speed its offset, frames, corpus, split, speaker, labels (one a 20 ms frame, -100 where unknown; or
null) and the reference phones. Speeds 0.9 and 1.1 (--speeds) are made for the training and unlabelled splits (resampled, so
pitch moves as well, Kaldi's speed perturbation), some of them in a made-up room or through a
codec (rooms.py; --seed). Every clip ends in 100 ms of digital silence, as a stream that the engine
finishes does.
"""

import argparse
import json
import os
import time
import zlib
from multiprocessing import get_context

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from corpus import read_alignments, read_manifest
from frontend import HOP, WINDOW, log_mel
from rooms import need_tools, somewhere_else

TAIL = 1600
NOISE = "esc10-noise"


def changed(pcm, speed, seed):
    """The recording at a speed; other speeds than 1 may be in another place too."""
    if speed == 1.0:
        return pcm
    pcm = resample_poly(pcm, 10, round(10 * speed)).astype(np.float32)
    return somewhere_else(pcm, np.random.default_rng(seed))


def frame_labels(align, frames, speed):
    """[(phone, start, end)] in 10 ms of the recording -> one label a 20 ms frame at that speed."""
    labels = np.zeros(frames, np.int8)
    centre = (np.arange(frames) * 2 + 1) * speed
    for phone, a, b in align:
        labels[(centre >= a) & (centre < b)] = phone
    return labels


def clip(job):
    path, row, align, speeds, seed = job
    pcm, rate = sf.read(os.path.join(path, row["path"]), dtype="float32")
    assert rate == 16000 and pcm.ndim == 1
    out = []
    for speed in speeds:
        x = changed(pcm, speed, (seed, zlib.crc32(row["id"].encode()), round(10 * speed)))
        T = (len(x) + 319) // 320
        x = np.concatenate([x, np.zeros(320 * T - len(x) + TAIL + WINDOW - HOP, np.float32)])
        mel = log_mel(x)
        mel = mel[:len(mel) // 2 * 2]
        labels = frame_labels(align, len(mel) // 2, speed) if align else None
        out.append((speed, mel.astype(np.float16), labels))
    return row, out, [p for p, _, _ in align if p > 0] if align else None


def collect(folders):
    """[(folder, row, alignment; None: noise or unlabelled)] of all folders."""
    clips = []
    for folder in folders:
        align = read_alignments(folder)
        for row in read_manifest(folder):
            if row["id"] in align or row["corpus"] == NOISE or row["split"] == "unlabelled":
                clips.append((folder, row, align.get(row["id"])))
    return clips


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--more", nargs="*", default=[], help="further folders of the same layout")
    ap.add_argument("--out", default="/tmp/shoal-features")
    ap.add_argument("--append", action="store_true")
    ap.add_argument("--speeds", type=float, nargs="*", default=(0.9, 1.1), help="of training clips, beside 1.0")
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    need_tools()
    os.makedirs(a.out, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"          # for the pool's processes, which spawn anew

    jobs = [(folder, row, align, (1.0, *a.speeds) if row["split"] in ("train", "unlabelled") else (1.0,), a.seed)
            for folder, row, align in collect([a.speech, *a.more])]
    index, offset, t0 = [], 0, time.time()
    feats = os.path.join(a.out, "feats.f16")
    if a.append:
        offset = os.path.getsize(feats) // 160
        with open(os.path.join(a.out, "index.json")) as f:
            index = json.load(f)
    there = {e["id"] for e in index}
    jobs = [j for j in jobs if j[1]["id"] not in there]
    with open(feats, "r+b" if a.append else "wb") as f, \
            get_context("spawn").Pool(a.jobs) as pool:
        f.seek(160 * offset)
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

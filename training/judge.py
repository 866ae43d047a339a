#!/usr/bin/env python3
"""One table of what a model file is worth, through the C engine.

    judge.py --model ../models/shoal-base.safetensors --out /tmp/judged          # /tmp/judged.json, /tmp/judged.md
    judge.py --model MODEL --apart RUN/apart --out RUN/judged --depths 3 6 12 --limit 100

A cell is a set of recordings in one condition at one chunk length and precision; every depth is tapped
in one pass. Sets: the three development splits, and --apart, folders in voices that no training hears
(voices.py --only). Conditions of each: as it is; noise 10 dB under the speech; telephone (8 kHz, G.711).
--out.json is written after each cell, so that the same command goes on where it stopped; a JSON of
another model or of other clips is not gone on with.

PER is decoded with the language model (`lm=on`), without, by argmax of the posteriors with repeats merged, and by that of
smoothed ones (`smooth=on`). Intervals: speakers drawn anew (Bisani and Ney 2004). Short: the share of argmax's runs of a
phone that are one frame long. ECE: expected calibration error of argmax's frames, 15 bins, against the aligner's labels;
both as they are and smoothed. Best temperature, of posteriors as they are: the one of TEMPERATURES under which these
labels are the likeliest.
"""

import argparse
import json
import os
from multiprocessing import Pool

import numpy as np
import soundfile as sf

import intervals
from breakdown import frame_labels, labelled, with_noise
from capi import Engine
from corpus import read_manifest, spread
from evaluate import file_facts
from phones import collapse, edits
from references import FROZEN, moved
from report import rows
from rooms import telephone

CONDITIONS = ("clean", "noise 10 dB", "telephone")
CHUNKS = (4, 8, 16, 32)               # frames of 20 ms
PRECISIONS = ("fp32", "bf16", "int8")
BINS = 15
TEMPERATURES = np.round(np.arange(0.6, 2.01, 0.1), 1)
COUNTS = ("phones", "on", "off", "argmax", "smooth", "runs", "short", "smooth runs", "smooth short")


def short_runs(best):
    """(runs of a phone, those of one frame) of frame labels; silence is no phone."""
    cuts = np.flatnonzero(np.r_[True, best[1:] != best[:-1], True])
    long = np.diff(cuts)[best[cuts[:-1]] != 0]
    return len(long), int((long == 1).sum())


def count(engine, logp, smooth, align):
    """The row COUNTS of one clip at one depth."""
    ref, best, steady = [p for p, _, _ in align if p], logp.argmax(1), smooth.argmax(1)
    decoded = [edits(ref, [p[0] for p in engine.decode(logp, name)]) for name in ("lm", "plain")]
    return np.array([len(ref), *decoded, *(edits(ref, collapse(b)) for b in (best, steady)),
                     *short_runs(best), *short_runs(steady)])


def gap(bins):
    """Expected calibration error."""
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / bins[:, 0].sum())


def calibration(logp, labels, temperatures=TEMPERATURES):
    """([BINS, 3] frames, sum of confidence, hits; [temperatures] -log P of the labels; frames)"""
    sure = np.exp(logp.max(1))
    at = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = np.stack([np.bincount(at, w, BINS) for w in (None, sure, logp.argmax(1) == labels)], 1)
    lost = []
    for t in temperatures:
        x = logp / t
        lost.append(np.logaddexp.reduce(x, 1).sum() - x[np.arange(len(x)), labels].sum())
    return bins, np.array(lost), len(logp)


def changed(pcm, align, condition, noises, seed):
    """The clip in a condition of CONDITIONS, the same one for every model."""
    if condition == "telephone":
        return telephone(pcm, "ULAW")[:len(pcm)].astype(np.float32)
    if condition != "clean":
        rng = np.random.default_rng(seed)
        noise = sf.read(noises[rng.integers(len(noises))], dtype="float32")[0]
        return with_noise(pcm, align, noise, 10, rng)
    return pcm


def tally(job):
    """{depth: {speaker: row of COUNTS}}, {depth: calibration} of some clips."""
    engine, clips, chunk, depths, condition, noises = job
    engine = Engine(*engine[:4], precision=engine[4])
    counts, sure = {d: {} for d in depths}, {}

    def read(job):
        seed, (path, align, _) = job
        return changed(sf.read(path, dtype="float32")[0], align, condition, noises, seed)

    for (_, (_, align, speaker)), found in engine.hear(clips, max(depths), chunk, read=read):
        for d in depths:
            smooth, labels = engine.smooth(found[d], chunk), frame_labels(align, len(found[d]))
            counts[d][speaker] = counts[d].get(speaker, 0) + count(engine, found[d], smooth, align)
            new = (*calibration(found[d], labels), calibration(smooth, labels)[0])
            sure[d] = [x + y for x, y in zip(sure[d], new)] if d in sure else new
    engine.close()
    return counts, sure


def added(parts):
    """The sums of dictionaries of what can be added, key by key."""
    out = {}
    for part in parts:
        for key, value in part.items():
            out[key] = out[key] + value if key in out else value
    return out


def cell(a, engine, clips, chunk, condition, noises):
    """{depth: what is kept of it}, as JSON takes it."""
    order = sorted(enumerate(clips), key=lambda c: os.path.getsize(c[1][0]))        # like lengths together
    jobs = [(engine, order[j::a.jobs], chunk, a.depths, condition, noises) for j in range(a.jobs)]
    with Pool(a.jobs) as pool:
        done = pool.map(tally, [j for j in jobs if j[1]])
    out = {}
    for d in a.depths:
        speakers = added(counts[d] for counts, _ in done)
        bins, lost, frames, smooth = (sum(s[d][i] for _, s in done) for i in range(4))
        out[str(d)] = dict(speakers={s: v.tolist() for s, v in sorted(speakers.items())}, ece=gap(bins),
                           ece_smooth=gap(smooth), nll=float(lost[TEMPERATURES == 1.0][0] / frames),
                           temperature=float(TEMPERATURES[lost.argmin()]), nll_best=float(lost.min() / frames))
    return out


def rate(found, what):
    """(percent, low, high) of a count of COUNTS: of the phones, or of the runs for those that are short."""
    sums = np.array(list(found["speakers"].values()))
    of, n = COUNTS.index(what.replace("short", "runs") if "short" in what else "phones"), len(sums)
    drawn = sums[intervals.drawn(n)].sum(1)
    share = lambda x: 100 * x[..., COUNTS.index(what)] / np.maximum(x[..., of], 1)
    return intervals.interval(share(drawn))


def with_interval(found, what):
    here, low, high = rate(found, what)
    return f"{here:.1f} ({low:.1f}..{high:.1f})"


def markdown(judged):
    """A line a cell and depth."""
    lines = []
    for key, found in judged["cells"].items():
        for d, f in found.items():
            lines.append([*key.split("|"), d, *(with_interval(f, w) for w in ("on", "off", "argmax", "smooth")),
                          *(f"{rate(f, w)[0]:.1f}" for w in ("short", "smooth short")),
                          *(f"{100 * f[e]:.1f}" for e in ("ece", "ece_smooth")), f"{f['temperature']:.1f}"])
    head = ["set", "condition", "chunk, ms", "precision", "depth", "PER, %, `lm=on`", "`lm=off`", "argmax",
            "argmax, `smooth=on`", "short runs, %", "`smooth=on`", "ECE, %", "`smooth=on`", "best temperature"]
    return (f"`judge.py` on {judged['model']} (SHA-256 {judged['sha256'][:12]}); 95 % of {intervals.DRAWS} draws of the "
            f"speakers in brackets.\n\n" + rows(head, lines) + "\n")


def sets(a):
    """{name: [(path, alignment, speaker)]}, about --limit clips of each, evenly spread."""
    out = {s: labelled(a.speech, lambda r, s=s: r["split"] == s) for s in FROZEN}
    out.update({os.path.basename(os.path.normpath(f)): labelled(f, lambda r: True) for f in a.apart})
    return {name: spread(clips, a.limit) for name, clips in out.items() if clips}


def plan(a, names):
    """(set, condition, chunk, precision): all chunks clean, all else at 320 ms."""
    for name in names:
        for chunk in a.chunks:
            yield name, "clean", chunk, "fp32"
        for condition in a.conditions:
            if condition != "clean":
                yield name, condition, 16, "fp32"
        for precision in a.precisions:
            if precision != "fp32":
                yield name, "clean", 16, precision


def begun(path, fresh):
    """What a run of the same kind has left, or `fresh`."""
    if not os.path.exists(path):
        return fresh
    with open(path) as f:
        old = json.load(f)
    other = [k for k in fresh if k != "cells" and old.get(k) != fresh[k]]
    if other:
        raise SystemExit(f"{path} is of another {', '.join(other)}: name another --out")
    return old


def write(path, text):
    with open(path + ".tmp", "w") as f:
        f.write(text)
    os.replace(path + ".tmp", path)


def usable(engine, precision):
    try:
        Engine(*engine[:4], precision=precision).close()
    except RuntimeError as error:
        print(f"{precision}: left out, {error}", flush=True)
        return False
    return True


def options():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", required=True)
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--apart", nargs="*", default=[], help="folders in voices kept apart")
    ap.add_argument("--out", required=True, help="OUT.json and OUT.md")
    ap.add_argument("--depths", type=int, nargs="*", default=list(range(1, 13)))
    ap.add_argument("--chunks", type=int, nargs="*", default=CHUNKS, help="frames of 20 ms")
    ap.add_argument("--conditions", nargs="*", default=CONDITIONS, choices=CONDITIONS)
    ap.add_argument("--precisions", nargs="*", default=PRECISIONS, choices=PRECISIONS)
    ap.add_argument("--limit", type=int, default=0, help="about this many clips a set; 0: all")
    ap.add_argument("--jobs", type=int, default=1)
    ap.add_argument("--lib")
    return ap.parse_args()


def main():
    a = options()
    if moved(a.speech):
        raise SystemExit(f"not the references that models were judged by: {', '.join(moved(a.speech))} in {a.speech}")
    config, _, _, sha = file_facts(a.model)
    engine = (a.model, a.lib, config["dim"], config["classes"])
    clips = sets(a)
    noises = [os.path.join(a.speech, r["path"]) for r in read_manifest(a.speech) if r["corpus"] == "esc10-noise"]
    judged = begun(a.out + ".json", dict(model=config["name"], sha256=sha, depths=a.depths, cells={},
                                         clips={n: len(c) for n, c in clips.items()}))
    a.precisions = [p for p in a.precisions if usable(engine, p)]
    for name, condition, chunk, precision in plan(a, clips):
        key = "|".join((name, condition, str(20 * chunk), precision))
        if key not in judged["cells"]:
            judged["cells"][key] = cell(a, (*engine, precision), clips[name], chunk, condition, noises)
            write(a.out + ".json", json.dumps(judged) + "\n")
            print(key + ": " + "  ".join(f"{d}: {rate(f, 'on')[0]:.1f}" for d, f in judged["cells"][key].items()),
                  flush=True)
    write(a.out + ".md", markdown(judged))


if __name__ == "__main__":
    main()

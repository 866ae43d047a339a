#!/usr/bin/env python3
"""What each ingredient of shoal-base's training is worth, at equal budget: a table in docs/ablation.md.

    ingredients.py --features RUN/features --out ARMS --decoder RUN/decoder.npz    # resumes where it stopped

RUN/features also has to hold the speech of the old synthesisers (synth.py, prepare.py --append), which one arm trains on.

Every arm goes on from --init for the same few steps with the recipe but for the one thing that its name says; all have the same
tables of the decoder. Beside them what they began with, and the recipe with other seeds: what those differ by is no difference.
Judged by judge.py (C engine, fp32, `lm=on`); the relative change of errors, all of DEPTHS together, is that to the recipe with
the first seed, on the same clips, with 95 % of the speakers drawn anew. --only trains some; the table has all that are there.
"""

import argparse
import datetime
import json
import os

import numpy as np

import intervals
from arms import HERE, Arm, summary, train
from judge import COUNTS
from recipe import TRAINING, script
from references import FROZEN
from report import insert, keep, rows

DEPTHS, CHUNKS = (3, 6, 12), (4, 16)        # of 20 ms
OLD = "synthetic"       # synth.py's; the recipe trains on none of it


def without(*corpora):
    return "--hold-out", OLD, *corpora


FIRST = "recipe"
ARMS = {
    FIRST: ("all of the below", ()),
    "seed 2": ("the same, another order", ("--seed", 2)),
    "seed 3": ("the same", ("--seed", 3)),
    "no Kokoro": ("voices of `voices.py`, 24 and blends", without("kokoro")),
    "no hibari": ("one voice, warped", without("hibari")),
    "no voices": ("none of these two", without("kokoro", "hibari")),
    "old synthesisers": ("those of `synth.py` besides, flite and festival", ("--hold-out",)),
    "no librispeech": ("native readers, a recogniser's transcripts", without("librispeech")),
    "no picovoice-intent": ("orders, a recogniser's transcripts", without("picovoice-intent")),
    "no Common Voice": ("native speakers, own microphones", without("commonvoice")),
    "accents half": ("speechocean762 in half of its copies", ("--weigh", "speechocean762=0.5")),
    "misfits": ("the clips that `misfits.py` leaves out", ("--misfits",)),
    "sequence loss 0.3": ("instead of 1.0", ("--crf-weight", 0.3)),
    "no sequence loss": ("frames' labels alone", ("--crf-from", 10 ** 9)),
    "steady 2": ("a loss on posteriors that flicker", ("--steady", 2.0)),
    "no distillation": ("the deeper depth does not teach the shallower", ("--distill", 0.0)),
    "no whole clip": ("full depth with the whole clip in sight does not teach short chunks", ("--whole", 0.0)),
    "short chunks": ("up to 80 ms in a quarter of the steps besides", ("--short", 0.25)),
    "no shared maps": ("each layer its own attention map, always", ("--maps", 0.0)),
    "no warping": ("of the vocal tract", ("--warp", 0.0)),
    "masks as ever": ("SpecAugment's, 1.0 instead of 1.3", ("--masks", 1.0)),
    "depths alike": ("all depths as often, no more steps at 12", ("--deep", 0.0)),
}


def judged(folder, checkpoint, a):
    """{set: {chunk: {depth: {speaker: row of COUNTS}}}} of a checkpoint, kept in its folder."""
    model, out = os.path.join(folder, "model.safetensors"), os.path.join(folder, "judged")
    lib = ("--lib", a.lib) if a.lib else ()
    if not os.path.exists(out + ".md"):
        script("export.py", "--checkpoint", checkpoint, "--decoder", a.decoder, "--temperature", 0.9, "--dtype", "f16",
               "--out", model)
        script("judge.py", "--model", model, "--speech", a.speech, "--out", out, "--depths", *DEPTHS, "--chunks", *CHUNKS,
               "--conditions", "clean", "--precisions", "fp32", "--limit", a.limit, "--jobs", a.jobs, *lib)
    with open(out + ".json") as f:
        cells = json.load(f)["cells"]
    return {s: {c: {d: by[str(d)]["speakers"] for d in DEPTHS} for c in CHUNKS for by in [cells[f"{s}|clean|{20 * c}|fp32"]]}
            for s in FROZEN}


def counts(by_depth, what, depths=DEPTHS):
    """[speakers, (phones, errors)], the depths added."""
    at = [COUNTS.index("phones"), COUNTS.index(what)]
    return sum(np.array(list(by_depth[d].values()))[:, at] for d in depths)


def change(one, other):
    """(percent, low, high): errors of one against the other's, [speakers, (phones, errors)] each, of the same speakers."""
    return tuple(x - 100 for x in intervals.share(np.concatenate([one, other], 1)))


def line(name, what, found, first):
    cells = [name, what]
    for s, by_chunk in found.items():
        here = counts(by_chunk[16], "on")
        per = f"{100 * here[:, 1].sum() / here[:, 0].sum():.1f}"
        cells.append(per if found is first else
                     f"{per} ({intervals.told(change(here, counts(first[s][16], 'on')), '+.1f')})")
    deep = counts(found["dev"][16], "argmax", (12,)).sum(0)
    by = {c: counts(found["dev"][c], "on", (12,)) for c in CHUNKS}
    return cells + [f"{100 * deep[1] / deep[0]:.0f}", f"{change(by[4], by[16])[0]:+.1f}"]


def table(found):
    first = found[FIRST][1]
    head = ["arm", "", *(f"{s} ({len(next(iter(first[s][16].values())))} speakers)" for s in first), "argmax, dev, depth 12",
            "80 against 320 ms, dev, depth 12"]
    return rows(head, [line(n, what, f, first) for n, (what, f) in found.items()])


def document(a, found, missing):
    left = f"\n\nNot run: {', '.join(missing)}." if missing else ""
    return (f"`ingredients.py`, {datetime.date.today()}: {a.steps} steps of {a.seconds:.0f} s from {os.path.basename(a.init)}, rate {a.lr:g}. PER, %, "
            f"mean of depths {', '.join(map(str, DEPTHS))} at 320 ms; in brackets the change of errors to the recipe, %, and 95 % of it.\n\n"
            + table(found) + left)


def options():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", required=True, help="folder of the arms' runs")
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--init", default="../../shared/weights/native.pt", help="what all arms go on from")
    ap.add_argument("--decoder", required=True, help="decoder.py's tables, for all arms")
    ap.add_argument("--steps", type=int, default=120)
    ap.add_argument("--seconds", type=float, default=50.0, help="audio a step")
    ap.add_argument("--lr", type=float, default=3e-4)
    ap.add_argument("--limit", type=int, default=90, help="judge on about this many clips of each set")
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--jobs", type=int, default=1)
    ap.add_argument("--lib", help="libshoal.so")
    ap.add_argument("--only", nargs="*", default=ARMS, help="arms to train now")
    ap.add_argument("--into", default=os.path.join(HERE, "../docs/ablation.md"))
    return ap.parse_args()


def main():
    a = options()
    common = ("--features", a.features, "--seconds", a.seconds, "--threads", a.threads, "--lr", a.lr, "--warm", a.steps // 6,
              "--init", a.init, *TRAINING, "--crf-from", 0, *without())
    start, missing = os.path.join(a.out, "start"), []
    os.makedirs(start, exist_ok=True)
    found = {"start": ("what all began with", judged(start, a.init, a))}
    for name, (what, given) in ARMS.items():
        folder = os.path.join(a.out, name.replace(" ", "-"))
        if name in a.only:
            train(folder, Arm(given), a.steps, common)
        elif summary(folder)["steps"] < a.steps:
            missing.append(name)
            continue
        found[name] = what, judged(folder, os.path.join(folder, "last.pt"), a)
    if FIRST not in found:
        raise SystemExit(f"nothing to compare with: train the {FIRST} first")
    keep(os.path.join(a.out, "ingredients.json"), {n: {"what": w, "counts": f} for n, (w, f) in found.items()})
    insert(a.into, "ingredients.py", document(a, found, missing))


if __name__ == "__main__":
    main()

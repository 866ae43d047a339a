#!/usr/bin/env python3
"""LibriSpeech's layout in, features out: librispeech.py and prepare.py on a tiny made-up corpus.

    apt-get install flite            # python3-pocketsphinx pocketsphinx-en-us: its part is skipped without
    check_librispeech.py [--train]   # --train: recipe.py's one command as well (PyTorch, the engine)

flite speaks a few sentences; its phone times are written as long and short TextGrids and as a CTM.
All must give the same labels, in their place, through to the features.
"""

import argparse
import json
import os
import tempfile

import numpy as np
import soundfile as sf

from corpus import read_alignments, read_manifest
from phones import INDEX
from recipe import script as run
from synth import flite, segments

TEXTS = ("THE BIRCH CANOE SLID ON THE SMOOTH PLANKS", "GLUE THE SHEET TO THE DARK BLUE BACKGROUND",
         "IT IS EASY TO TELL THE DEPTH OF A WELL", "RICE IS OFTEN SERVED IN ROUND BOWLS",
         "THE BOX WAS THROWN BESIDE THE PARKED TRUCK")
PLACES = [("train-clean-100", "19", "198")] * 3 + [("dev-clean", "84", "121"), ("dev-clean", "174", "50561")]


def textgrid(intervals, words, short):
    """A Praat TextGrid with the tiers words and phones."""
    tiers = (("words", words), ("phones", intervals))
    end = intervals[-1][1]
    if short:
        lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", f"{end}",
                 "<exists>", "2"]
        for name, items in tiers:
            lines += ['"IntervalTier"', f'"{name}"', "0", f"{end}", f"{len(items)}"]
            lines += [f'{a}\n{b}\n"{t}"' for a, b, t in items]
        return "\n".join(lines) + "\n"
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}",
             "tiers? <exists>", "size = 2", "item []:"]
    for n, (name, items) in enumerate(tiers, 1):
        lines += [f"    item [{n}]:", '        class = "IntervalTier"', f'        name = "{name}"',
                  "        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(items)}"]
        for i, (a, b, t) in enumerate(items, 1):
            lines += [f"        intervals [{i}]:", f"            xmin = {a}", f"            xmax = {b}",
                      f'            text = "{t}"']
    return "\n".join(lines) + "\n"


def make_corpus(top):
    """<top>/LibriSpeech, <top>/long, <top>/short, <top>/all.ctm; {utterance: [(phone, end s)]}."""
    truth = {}
    with open(os.path.join(top, "all.ctm"), "w") as ctm:
        for n, text in enumerate(TEXTS):
            subset, speaker, chapter = PLACES[n]
            folder = os.path.join(top, "LibriSpeech", subset, speaker, chapter)
            os.makedirs(folder, exist_ok=True)
            key = f"{speaker}-{chapter}-{n:04d}"
            with tempfile.NamedTemporaryFile(suffix=".wav") as f:
                told = segments(flite(("rms", "slt")[n % 2], text.lower(), 1.0, 1.0, f.name))
                sf.write(os.path.join(folder, key + ".flac"), *sf.read(f.name, dtype="int16"))
            with open(os.path.join(folder, f"{speaker}-{chapter}.trans.txt"), "a") as f:
                f.write(f"{key} {text}\n")
            truth[key], items, start = told, [], 0.0
            for phone, end in told:
                name = "sp" if phone == "SIL" else phone + ("1" if phone[0] in "AEIOU" else "")
                items.append((start, end, name))
                ctm.write(f"{key} 1 {start:.3f} {end - start:.3f} {name}_I\n")
                start = end
            for form in ("long", "short"):
                os.makedirs(os.path.join(top, form, subset), exist_ok=True)
                with open(os.path.join(top, form, subset, key + ".TextGrid"), "w") as f:
                    f.write(textgrid(items, [(0.0, start, text)], form == "short"))
    return truth


def check_lists(top, truth):
    expected = {}
    for key, told in truth.items():
        ends = [round(100 * e) for _, e in told]
        expected[key] = list(zip([INDEX[p] for p, _ in told], [0] + ends[:-1], ends))
    for form in ("long", "short", "all.ctm"):
        out = os.path.join(top, "lists-" + form)
        run("librispeech.py", "--corpus", os.path.join(top, "LibriSpeech"), "--alignments",
            os.path.join(top, form), "--out", out)
        assert read_alignments(out) == expected, form
        rows = read_manifest(out)
        assert [r["split"] for r in rows] == ["dev", "dev", "train", "train", "train"], rows
        assert {r["id"]: r["text"] for r in rows}["19-198-0001"] == TEXTS[1].lower()
    return expected


def check_features(top, expected):
    out = os.path.join(top, "features")
    run("prepare.py", "--speech", os.path.join(top, "lists-long"), "--out", out, "--jobs", "1")
    with open(os.path.join(out, "index.json")) as f:
        index = json.load(f)
    assert len(index) == 3 * 3 + 2, len(index)
    assert os.path.getsize(os.path.join(out, "feats.f16")) == 160 * sum(e["frames"] for e in index)
    for e in index:
        assert e["phones"] == [p for p, _, _ in expected[e["id"]] if p]
        for phone, a, b in expected[e["id"]]:
            if b - a > 4:
                middle = int((a + b) / 4 / e["speed"])
                assert e["labels"][middle] == phone, (e["id"], e["speed"], phone, a, b)


def check_aligner(top, expected):
    """Our own alignment of the same speech: another lexicon, but mostly the same phone at a time."""
    out = os.path.join(top, "lists-own")
    run("librispeech.py", "--corpus", os.path.join(top, "LibriSpeech"), "--out", out, "--jobs", "1")
    spread = lambda align: np.concatenate([np.full(b - a, p) for p, a, b in align])
    for key, found in read_alignments(out).items():
        ref, hyp = spread(expected[key]), spread(found)
        n = min(len(ref), len(hyp))
        share = (ref[:n] == hyp[:n]).mean()
        assert share > 0.6, (key, share)
        print(f"{key}: {share:.0%} of frames as flite says")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--train", action="store_true")
    a = ap.parse_args()
    with tempfile.TemporaryDirectory() as top:
        expected = check_lists(top, make_corpus(top))
        check_features(top, expected)
        try:
            import pocketsphinx  # noqa: F401
        except ImportError:
            print("python3-pocketsphinx is missing: its alignment is not checked")
        else:
            check_aligner(top, expected)
        if a.train:
            run("recipe.py", "--librispeech", os.path.join(top, "LibriSpeech"), "--alignments",
                os.path.join(top, "long"), "--run", os.path.join(top, "run"), "--steps", "6", "--seconds", "20",
                "--pretrain", "3", "--decoder-limit", "8", "--jobs", "1", "--name", "tiny")
            with open(os.path.join(top, "run", "tiny.json")) as f:
                assert json.load(f)["split"] == "dev-clean dev"
    print("ok")


if __name__ == "__main__":
    main()

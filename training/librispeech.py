#!/usr/bin/env python3
"""LibriSpeech as it is distributed -> a recordings folder (manifest.tsv, align.tsv).

    librispeech.py --corpus /data/LibriSpeech --alignments /data/LibriSpeech-TextGrids --out /tmp/libri
    librispeech.py --corpus /data/LibriSpeech --out /tmp/libri          # aligns by itself
    prepare.py --speech /tmp/libri --more ../../shared/speech --out /tmp/shoal-features

Reads <subset>/<speaker>/<chapter>/*.flac and *.trans.txt; subsets train-* are for training, dev-*
for choosing hyper-parameters; test-* are left alone. The recordings stay where they are. Phone times
come from --alignments, which is a folder with one <utterance>.TextGrid somewhere below for each clip
(Montreal Forced Aligner, long or short form, tier "phones") or a CTM file (utterance, channel,
start, duration, phone); without it from PocketSphinx (recognise.py), in about a sixtieth of the
audio's length. Clips without alignment are listed, and not trained on.
"""

import argparse
import os
import re
from multiprocessing import Pool

import soundfile as sf

from corpus import write_corpus
from phones import INDEX, read_dictionary

SILENCES = ("", "SIL", "SP", "SPN", "NSN", "<EPS>", "<UNK>")


def phone_name(text):
    """'AH0', 'AH0_B', 'sp' -> one of our names; None if it is none of them."""
    name = re.sub(r"(_[BIES])?$", "", text.strip().upper()).rstrip("012")
    name = "SIL" if name in SILENCES else name
    return name if name in INDEX else None


def frames(intervals):
    """[(start s, end s, text)] -> [(phone, start, end)] in 10 ms frames, or None if text is not ARPAbet."""
    out = []
    for a, b, text in intervals:
        phone, a, b = phone_name(text), round(100 * a), round(100 * b)
        if phone is None:
            return None
        if b > a:
            out.append((phone, a, b))
    return out


def read_textgrid(path):
    """The tier `phones` of a TextGrid: [(start s, end s, text)]. Long and short form alike: both are
    the same values in the same order, the long form with names before them."""
    with open(path, encoding="utf-8") as f:
        values = re.findall(r'"((?:[^"]|"")*)"|(?<![\w\[.])(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)(?![\w\].])', f.read())
    values = [text if number == "" else float(number) for text, number in values]
    at = values.index("IntervalTier")
    while values[at + 1] != "phones":
        at = values.index("IntervalTier", at + 1)
    count, at = int(values[at + 4]), at + 5
    return [tuple(values[at + 3 * i:at + 3 * i + 3]) for i in range(count)]


def read_ctm(path):
    """{utterance: [(start s, end s, text)]}"""
    out = {}
    with open(path) as f:
        for line in f:
            key, _, start, length, text = line.split()[:5]
            out.setdefault(key, []).append((float(start), float(start) + float(length), text))
    return out


def find_alignments(path):
    """A function: utterance -> [(phone, start, end)] or None."""
    if os.path.isfile(path):
        ctm = read_ctm(path)
        return lambda key: frames(ctm[key]) if key in ctm else None
    grids = {name[:-9]: os.path.join(folder, name) for folder, _, names in os.walk(path)
             for name in names if name.endswith(".TextGrid")}
    return lambda key: frames(read_textgrid(grids[key])) if key in grids else None


def utterances(corpus):
    """Manifest rows in the corpus's order."""
    for subset in sorted(os.listdir(corpus)):
        split = subset.split("-")[0]
        if split not in ("train", "dev"):
            continue
        for folder, _, names in sorted(os.walk(os.path.join(corpus, subset))):
            for name in sorted(n for n in names if n.endswith(".trans.txt")):
                with open(os.path.join(folder, name)) as f:
                    for line in f:
                        key, text = line.strip().split(" ", 1)
                        path = os.path.abspath(os.path.join(folder, key + ".flac"))
                        yield dict(id=key, corpus=subset, split=split, speaker=key.split("-")[0],
                                   path=path, seconds=f"{sf.info(path).duration:.2f}",
                                   text=text.lower())


def align_one(row, state={}):
    """PocketSphinx's alignment of a row; None if a word is not in CMUdict or no path fits."""
    from recognise import Aligner
    if not state:
        state.update(aligner=Aligner(), dictionary=read_dictionary())
    words = [state["dictionary"].get(w) for w in row["text"].split()]
    pcm, _ = sf.read(row["path"], dtype="int16")
    found = None if None in words else state["aligner"](pcm, words)
    return found and [(phone, a, b) for phone, a, b, _ in found]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--corpus", required=True, help="the folder LibriSpeech")
    ap.add_argument("--alignments", help="folder of TextGrids, or a CTM file")
    ap.add_argument("--out", required=True)
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    rows = list(utterances(a.corpus))
    if a.alignments:
        aligned = list(map(find_alignments(a.alignments), [r["id"] for r in rows]))
    else:
        with Pool(a.jobs) as pool:
            aligned = pool.map(align_one, rows, chunksize=16)
    write_corpus(a.out, [(r, phones or []) for r, phones in zip(rows, aligned)])
    hours = sum(float(r["seconds"]) for r, phones in zip(rows, aligned) if phones) / 3600
    print(f"{len(rows)} clips, {sum(map(bool, aligned))} with alignment ({hours:.2f} h)")


if __name__ == "__main__":
    main()

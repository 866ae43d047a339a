#!/usr/bin/env python3
"""What the phone decoder knows before it hears: which phone follows, how long one lasts, how common it is.

Counted over labelled clips (Features entries) and, for the phones' order, over English text beside
them: a few hours of transcripts are too small to know all triples. decoder.py turns these into the
tables of a model file; crf.py's loss takes counts().

    lm.py --features /tmp/shoal-features        # perplexities; 3 minutes
"""

import argparse
import datetime
import re

import numpy as np

from data import Features
from ngram import BASE, C, ORDER, Tree, language, perplexity, pruned
from phones import INDEX, read_dictionary
from references import FROZEN
from report import insert, rows
from texts import in_rows, prose

# single words, commands, and what voices.py reads from texts: no language, or not ours to count
NOT_COUNTED = ("picovoice-words", "picovoice-intent", "dspspeech", "robotutor-words", "kokoro", "hibari", "synthetic")
TIMES = {"speechocean762": 3, "vctk-p239": 3}  # that accented readers lose nothing to the native ones
AGES = 3                                      # frames told apart by the duration model
PAUSES = 0.1                                  # of the gaps between words of text: as readers make them
IN_A_ROW = 16                                 # phones, some five words
ROOM = 3.2e6                                  # bytes of a model file for what is longer than a trigram


def labelled_sentences(feats, hold_out=()):
    """Training clips at their own speed whose labels say what follows what."""
    return [e for e in feats.select(split="train", speed=1.0)
            if e["labels"] is not None and e["corpus"] not in (*NOT_COUNTED, *hold_out)]


def log_prior(entries):
    frame = np.ones(C)
    for e in entries:
        frame += np.bincount(e["labels"][e["labels"] >= 0], minlength=C)
    return np.log(frame / frame.sum())


def runs(entries):
    """Label sequences with SIL, repeats merged; a silence goes before each clip. Clips with frames
    of unknown label (negative) are left out."""
    for x in (e["labels"] for e in entries if e["labels"].min() >= 0):
        yield [0] + [int(p) for p in x[np.r_[x[0] != 0, x[1:] != x[:-1]]]]


def counts(entries):
    """Log bigram [C, C] over phone changes, add-one, and log frame prior [C]."""
    pair = np.ones((C, C))
    np.fill_diagonal(pair, 0.0)
    for x in runs(entries):
        np.add.at(pair, (x[:-1], x[1:]), 1)
    np.fill_diagonal(pair, 1.0)       # never used, but finite
    return np.log(pair / pair.sum(1, keepdims=True)), log_prior(entries)


def clauses():
    """Of prose, each once, all of whose words are in the dictionary: the phones of each word."""
    dictionary, seen = read_dictionary(), set()
    for text in prose():
        for clause in re.split(r"(?<=[.!?;:,]) ", text):
            words = tuple(re.findall(r"[a-z']+", clause.lower()))
            if words and words not in seen and re.fullmatch(r"[A-Za-z' \"(),.;:!?-]*", clause) and \
                    all(w in dictionary for w in words):
                seen.add(words)
                yield [[INDEX[p] for p in dictionary[w]] for w in words]


def merged(phones):
    return [p for p, before in zip(phones, [None, *phones]) if p != before]


def written(judged=(), pauses=PAUSES, seed=1):
    """Phones of those clauses, as runs() gives those of clips, a pause between some words; none that shares
    IN_A_ROW phones with a clip of judged."""
    told, rng = set().union(*(in_rows(x[1:], IN_A_ROW) for x in runs(judged))), np.random.default_rng(seed)
    for words in clauses():
        paused = [[0] * bool(rng.random() < pauses) + w for w in words]
        if not in_rows(merged(sum(words, [])), IN_A_ROW) & told:
            yield merged([0, *sum(paused, []), 0])


def durations(entries, ages=AGES, smooth=10.0):
    """Log H / mean H and log (1 - H) / (1 - mean H) [C, ages]. H is drawn to that of all phones by so
    many counts. The first and last phone of a clip are cut by its ends and do not count, nor do
    clips with frames of unknown label."""
    ends, alive = np.zeros((C, ages)), np.zeros((C, ages))
    for x in (e["labels"] for e in entries if e["labels"].min() >= 0):
        cuts = np.flatnonzero(np.r_[True, x[1:] != x[:-1], True])[1:-1]
        for phone, frames in zip(x[cuts[:-1]], np.diff(cuts)):
            ends[phone, min(frames, ages) - 1] += 1
            alive[phone, :frames] += 1
            alive[phone, -1] += max(0, frames - ages)
    of_age, mean = (ends.sum(0) + 1) / (alive.sum(0) + 2), (ends.sum() + 1) / (alive.sum() + 2)
    h = (ends + smooth * of_age) / (alive + smooth)
    return np.log(h / mean), np.log((1 - h) / (1 - mean))


def sentences(entries):
    """Phones of clips, as language() wants them."""
    return list(runs(e for e in entries for _ in range(TIMES.get(e["corpus"], 1))))


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--native", default="vctk-p239", help="corpus that is left out of the counts, and judged")
    ap.add_argument("--into", help="document with this script's markers, e.g. README.md")
    a = ap.parse_args()
    feats = Features(a.features)
    of = {s: [e for e in feats.select(split=s) if e["labels"] is not None] for s in FROZEN}
    native = [e for e in labelled_sentences(feats) if e["corpus"] == a.native]
    judged = {**of, f"{a.native}, left out of the counts": native}
    lines, told = {}, ""
    for held, sets in (((), of), ([a.native], {a.native: native})):
        clips = sentences(labelled_sentences(feats, held))
        text, run_on = (list(written(sum(judged.values(), []), p)) for p in (PAUSES, 0))
        best = pruned(language(clips, text), ROOM)
        kinds = {**{f"{n}-grams": Tree(language(clips, text, n)) for n in (BASE, BASE + 1, ORDER)},
                 f"what of them fits into {ROOM / 1e6:.1f} MB": best,
                 f"{ORDER}-grams, text without pauses": Tree(language(clips, run_on)),
                 f"{ORDER}-grams, clips alone": Tree(language(clips)), f"{ORDER}-grams, text alone": Tree(language(text))}
        for kind, tree in kinds.items():
            lines.setdefault(kind, [kind]).extend(f"{perplexity(tree.log_p, list(runs(s)), ORDER):.2f}" for s in sets.values())
        contexts, ngrams = best.tables()[:2]
        told = told or (f"Perplexities, {datetime.date.today()}; clips have {sum(map(len, clips)):,} phones, the text {sum(map(len, text)):,}. "
                        f"What fits: {len(ngrams):,} n-grams and weights of {len(contexts):,} contexts.")
    told += "\n\n" + rows(["", *judged], lines.values())
    insert(a.into, "lm.py", told) if a.into else print(told)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Phones with times of recordings whose words are known, by a shoal model in the place of the GMM aligner.

    realign.py --measure RUN/apart                                   # against voices whose phones and times are known
    realign.py --speech ../../shared/speech --out RUN/realigned      # its training clips again, as prepare.py's --more takes them

The best path through the posteriors (depth 12, chunks of 0.64 s, less PRIOR of the log priors where the model tells them) over all of CMUdict's
pronunciations of each word, silence before and after any. The references of the development splits stay what they are:
only clips of the split `train` are written. A clip with a word that CMUdict lacks, or too short for its phones, keeps
the alignment it has, and is counted.

--measure: phones found and phones known are matched by the fewest edits; of those that match, how far their begins are apart.
Where the times of both lag alike, that is no fault of either: the median distance is told, and the spread around it.
"""

import argparse
import os
import re

import numpy as np
import soundfile as sf

from breakdown import matched
from capi import Engine
from corpus import read_alignments, read_manifest, write_corpus
from phones import INDEX, PHONES, pronunciations
from report import insert, rows

PRIOR = 0.3
DEPTH, CHUNK = 12, 32
FRAME = 2                               # of 10 ms


def graph(words, said):
    """States (phone index of each) and [states, most] of those before each, itself first and -1 where there is none; which
    may be the first, which the last. None where a word is not known."""
    phones, before = [0], [[]]
    ends = [0]                          # of the word before: its last phones, and the silence after
    first = [0]
    for n, word in enumerate(words):
        if word not in said:
            return None
        last = []
        for variant in said[word]:
            first += [len(phones)] if n == 0 else []
            for i, p in enumerate(variant):
                phones.append(p)
                before.append(list(ends) if i == 0 else [len(phones) - 2])
            last.append(len(phones) - 1)
        phones.append(0)
        before.append(last)
        ends = [*last, len(phones) - 1]
    table = np.full((len(phones), 1 + max(map(len, before))), -1)
    for i, b in enumerate(before):
        table[i, :1 + len(b)] = [i, *b]
    return np.array(phones), table, first, ends


def best_path(logp, phones, before, first, ends):
    """The state of each frame, or None where there are fewer frames than phones."""
    score = np.full(len(phones), -np.inf)
    score[first] = logp[0, phones[first]]
    came = np.empty((len(logp), len(phones)), np.int32)
    every = np.arange(len(phones))
    for t in range(1, len(logp)):
        from_here = np.where(before < 0, -np.inf, score[before])
        which = from_here.argmax(1)
        came[t] = before[every, which]
        score = from_here[every, which] + logp[t, phones]
    at = max(ends, key=lambda e: score[e])
    if not np.isfinite(score[at]):
        return None
    path = [at]
    for t in range(len(logp) - 1, 0, -1):
        path.append(came[t, path[-1]])
    return path[::-1]


def aligned(logp, text, said, log_prior):
    """[(phone index, begin, end)] in 10 ms, or None."""
    found = graph(re.findall(r"[a-z']+", text.lower()), said)
    path = found and best_path(logp - PRIOR * log_prior, *found)
    if not path:
        return None
    cuts = [0, *(t for t in range(1, len(path)) if path[t] != path[t - 1]), len(path)]
    return [(int(found[0][path[a]]), FRAME * a, FRAME * b) for a, b in zip(cuts, cuts[1:])]


class Model:
    def __init__(self, path, lib):
        self.engine, self.said = Engine(path, lib), pronunciations()
        shares = self.engine.engine.priors
        self.log_prior = np.zeros(self.engine.engine.classes) if shares is None else np.log(shares)

    def __call__(self, folder, clips):
        """(row, alignment or None) of each row of a manifest."""
        jobs = [(os.path.join(folder, r["path"]), r) for r in sorted(clips, key=lambda r: float(r["seconds"]))]
        for (_, row), found in self.engine.hear(jobs, DEPTH, CHUNK):
            yield row, aligned(found[DEPTH], row["text"], self.said, self.log_prior)


# ---- what it is worth ----------------------------------------------------------------------------

def same_phones(known, found):
    """Pairs (known, found) of the same phone, on the cheapest way from the one sequence to the other."""
    a, b = ([p for p in x if p[0]] for x in (known, found))
    on_the_way = matched(*([p for p, _, _ in x] for x in (a, b)))
    return [(a[i], b[j]) for i, j in on_the_way if i is not None and j is not None and a[i][0] == b[j][0]]


def distances(apart):
    """Median, and then of what is left: mean distance, and shares within 10 and 20 ms."""
    middle = np.median(apart)
    left = np.abs(apart - middle)
    return [f"{middle:+.0f}", f"{left.mean():.1f}", *(f"{100 * (left <= ms).mean():.0f}" for ms in (10, 20))]


def measured(folder, aligners):
    """A line an aligner."""
    known, lines = read_alignments(folder), []
    clips = [r for r in read_manifest(folder) if r["id"] in known]
    for name, aligner in aligners.items():
        apart, missed = [], 0
        for row, found in aligner(folder, clips):
            missed += found is None
            apart += [10 * (y[1] - x[1]) for x, y in same_phones(known[row["id"]], found or [])]
        lines.append([name, len(clips) - missed, len(apart), *distances(np.array(apart))])
    return rows(["aligner", "clips", "phones matched", "begins later by, ms (median)", "mean distance from that, ms",
                 "within 10 ms, %", "20 ms, %"], lines)


def gmm(folder, clips):
    """PocketSphinx, of CMUdict's first pronunciations, as synth.py has it."""
    from synth import aligned as by_gmm
    for row in clips:
        try:
            found = by_gmm(sf.read(os.path.join(folder, row["path"]), dtype="float32")[0], row["text"])
        except KeyError:
            found = None
        yield row, found and [(INDEX[p], a, b) for p, a, b in found]


def write(model, a):
    """The training clips of --speech again, in --out."""
    known, out, kept = read_alignments(a.speech), [], 0
    clips = [r for r in read_manifest(a.speech) if r["split"] == "train" and r["id"] in known]
    for row, found in model(a.speech, clips):
        kept += found is None
        path = os.path.relpath(os.path.join(a.speech, row["path"]), a.out)
        out.append(({**row, "path": path}, [(PHONES[p], s, e) for p, s, e in found or known[row["id"]]]))
        if len(out) % 1000 == 0:
            print(f"{len(out)} of {len(clips)}", flush=True)
    os.makedirs(a.out, exist_ok=True)
    write_corpus(a.out, out)
    print(f"{a.out}: {len(out)} clips, {kept} of them as they were")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", help="none: the built-in one")
    ap.add_argument("--measure", help="a folder of voices.py --only")
    ap.add_argument("--into", help="a document with markers, for the table")
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--out")
    ap.add_argument("--lib")
    a = ap.parse_args()
    model = Model(a.model, a.lib)
    if a.measure:
        table = measured(a.measure, {"GMM (PocketSphinx)": gmm, f"shoal {model.engine.engine.sha256[:8]}": model})
        print(table)
        if a.into:
            insert(a.into, "realign.py", table)
    if a.out:
        write(model, a)


if __name__ == "__main__":
    main()

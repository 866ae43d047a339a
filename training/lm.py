#!/usr/bin/env python3
"""What the phone decoder knows before it hears: which phone follows, how long one lasts, how common it is.

Counted over labelled clips (Features entries) and, for the phones' order, over English text beside
them: a few hours of transcripts are too small to know all triples. decoder.py turns these into the
tables of a model file; crf.py's loss takes counts().

    lm.py --features /tmp/shoal-features        # perplexities, with and without text
"""

import argparse
import re
from dataclasses import dataclass

import numpy as np

from data import Features
from phones import INDEX, PHONES, read_dictionary
from references import FROZEN
from report import rows
from texts import in_rows, prose

C = len(PHONES)
# single words, commands, and what voices.py reads from texts: no language, or not ours to count
NOT_COUNTED = ("picovoice-words", "picovoice-intent", "dspspeech", "robotutor-words", "kokoro", "hibari", "synthetic")
TIMES = {"speechocean762": 3, "vctk-p239": 3}  # that accented readers lose nothing to the native ones
AGES = 3                                      # frames told apart by the duration model
TEXT_WEIGHT = 100.0, 20.0                     # of trigram, fourgram: see mixed()
IN_A_ROW = 16                                 # phones, some five words
ENTRIES = 42000                               # of a model's fourgram: 8 bytes each


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
    """Of prose, each once, all of whose words are in the dictionary: their phones. A pause is at every comma."""
    dictionary, seen = read_dictionary(), set()
    for text in prose():
        for clause in re.split(r"(?<=[.!?;:,]) ", text):
            words = tuple(re.findall(r"[a-z']+", clause.lower()))
            if words and words not in seen and re.fullmatch(r"[A-Za-z' \"(),.;:!?-]*", clause) and \
                    all(w in dictionary for w in words):
                seen.add(words)
                yield [p for w in words for p in dictionary[w]]


def written(judged=()):
    """Phones of those clauses, as runs() gives those of clips; none that shares IN_A_ROW phones with a clip of judged."""
    told = set().union(*(in_rows(x[1:], IN_A_ROW) for x in runs(judged)))
    for clause in clauses():
        x = [0, *(INDEX[p] for p in clause)]
        x = [p for p, before in zip(x, [None] + x) if p != before]
        if not in_rows(x[1:], IN_A_ROW) & told:
            yield x + [0]


def occurrences(sequences, order):
    """How often each `order` phones stand in a row: [C] * order."""
    n = np.zeros((C,) * order, np.float32)
    for x in sequences:
        np.add.at(n, tuple(x[i:len(x) - order + 1 + i] for i in range(order)), 1)
    return n


def discounted(n, lower, discount=0.75):
    """Counts [..., C] -> probabilities; what the discount takes off goes to `lower`."""
    total = n.sum(-1, keepdims=True)
    rest = discount * (n > 0).sum(-1, keepdims=True) * lower
    return np.where(total > 0, (np.maximum(n - discount, 0) + rest) / np.maximum(total, 1), lower)


def mixed(n, clips, weight, text=None):
    """P of the clips [..., C] and that of the text: the less often the clips have a context (n: their
    counts), the more of the text's, which counts like `weight` occurrences. Without text the clips'."""
    if text is None:
        return clips
    seen = n.sum(-1, keepdims=True)
    return (seen * clips + weight * text) / (seen + weight)


@dataclass
class Language:
    """Which phone follows: interpolated Kneser-Ney (Chen and Goodman 1999) of clips and text, mixed."""
    trigram: np.ndarray         # [C, C, C] P(last | first two)
    fourgram: np.ndarray        # [C, C, C, C]
    contexts: np.ndarray        # [C, C, C] how often three phones stand in a row, over all; sums to 1


def language(entries, text=written):
    """text: None, or what gives its phones as written() does."""
    often = [e for e in entries for _ in range(TIMES.get(e["corpus"], 1))]
    sources = [list(runs(often)), *([list(text())] if text else [])]
    threes, fours = ([occurrences(s, order) for s in sources] for order in (3, 4))
    kinds = [(n > 0).sum(0) for n in threes]              # contexts in which a pair occurs
    single = [(k > 0).sum(0) + 0.5 for k in kinds]
    three = [discounted(n, discounted(k, s / s.sum())) for n, k, s in zip(threes, kinds, single)]
    trigram = mixed(threes[0], three[0], TEXT_WEIGHT[0], *three[1:])
    four = [discounted(n, discounted((n > 0).sum(0), p)) for n, p in zip(fours, (trigram, *three[1:]))]
    seen = sum(n.sum(-1) / n.sum() for n in fours)
    return Language(trigram, mixed(fours[0], four[0], TEXT_WEIGHT[1], *four[1:]), seen / seen.sum())


def pruned(lm, entries=ENTRIES):
    """The fourgrams worth keeping: ([N, 4] phones, ascending; [N] log P; [N] what follows).

    An entry with the third phone as its last is a context's back-off: the log weight of the trigram
    for the phones that the context does not list. Kept are those that change most: P(all four) times
    the change of log P (Stolcke 1998, without the change of back-off weights).
    """
    staying = np.eye(C, dtype=bool)[None, None]           # runs have no phone twice in a row
    gain = lm.contexts[..., None] * lm.fourgram * np.log(lm.fourgram / lm.trigram)
    gain = np.where(staying, 0, gain).astype(np.float32)

    def kept(threshold):
        keep = gain > threshold
        return keep, keep.any(-1)

    order = np.sort(gain, None)[::-1][:entries]
    low, high = 0, len(order) - 1                         # the lowest threshold that fits
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(k.sum() for k in kept(order[middle])) <= entries else (low, middle - 1)
    keep, context = kept(order[low])
    log_p = np.log(lm.fourgram)
    listed, listed_three = (np.where(keep, p, 0).sum(-1) for p in (lm.fourgram, lm.trigram[None]))
    g, h, q = np.nonzero(context)
    log_p[g, h, q, q] = np.log((1 - listed) / (1 - listed_three))[context]
    keep[g, h, q, q] = True
    phones = np.argwhere(keep)
    return phones, log_p[keep], phones[:, 2] == phones[:, 3]


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


def perplexity(log_p, entries):
    """Of the phones of clips, each after the first three of its clip."""
    total = count = 0
    for x in runs(entries):
        last = [x[i:len(x) - 3 + i] for i in range(4 - log_p.ndim, 4)]
        total, count = total + log_p[tuple(last)].sum(), count + len(last[0])
    return float(np.exp(-total / count))


def listed(lm, entries):
    """Log P [C, C, C, C] by the trigram and the fourgrams that a model file has room for."""
    phones, log_p, back_off = pruned(lm, entries)
    out = np.repeat(np.log(lm.trigram)[None], C, 0)
    g, h, q, _ = phones[back_off].T
    out[g, h, q] += log_p[back_off][:, None]
    out[tuple(phones[~back_off].T)] = log_p[~back_off]
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--native", default="vctk-p239", help="corpus that is left out of the counts, and judged")
    a = ap.parse_args()
    feats = Features(a.features)
    of = {s: [e for e in feats.select(split=s) if e["labels"] is not None] for s in FROZEN}
    native = [e for e in labelled_sentences(feats) if e["corpus"] == a.native]
    judged = {**of, f"{a.native}, left out of the counts": native}
    lines = {}
    for held, sets in (((), of), ([a.native], {a.native: native})):
        for text, name in ((None, "clips"), (lambda: written(sum(judged.values(), [])), "clips and text")):
            lm = language(labelled_sentences(feats, held), text)
            with np.errstate(divide="ignore", invalid="ignore"):
                kinds = {"trigram": np.log(lm.trigram), "fourgram": np.log(lm.fourgram),
                         f"its best {ENTRIES} entries": listed(lm, ENTRIES)}
            for kind, log_p in kinds.items():
                lines.setdefault((kind, name), [kind, name]).extend(f"{perplexity(log_p, s):.2f}" for s in sets.values())
    print(rows(["", "counted over", *judged], lines.values()))


if __name__ == "__main__":
    main()

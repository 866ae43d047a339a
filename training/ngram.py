"""A language model of phones: interpolated Kneser-Ney with discounts by count (Chen and Goodman 1999, section 3), of two
sources mixed, pruned to the size of a model file (after Stolcke 1998).

Sequences are lists of phones that begin with SIL. An n-gram is a number of base C, its oldest phone first (`key`); before
a sequence stands SIL without end, as the decoder has it.
"""

from dataclasses import dataclass

import numpy as np

from phones import PHONES

C = len(PHONES)
ORDER = 6               # phones of an n-gram
CLIPS = 0.5             # the first source's share of the mixture
BASE = 3                # order of the table that is never pruned


def find(keys, wanted):
    """(positions in ascending keys, whether it is there) of each."""
    if not len(keys):
        return np.zeros(len(wanted), int), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted


def ngrams(sequences, order):
    """Keys of all, each ends in a phone after its sequence's first."""
    pad = np.zeros(order - 2, np.int64)
    x = np.concatenate([np.r_[pad, s] for s in sequences])
    keys = np.zeros(len(x) - order + 1, np.int64)
    for i in range(order):
        keys = keys * C + x[i:len(keys) + i]
    first = np.cumsum([0] + [len(s) + order - 2 for s in sequences[:-1]])    # of each sequence, its pad included
    inside = np.ones(len(x), bool)
    for i in range(order - 1):
        inside[first + i] = False
    return keys[inside[order - 1:]]


def discounts(counts):
    """Of n-grams that were seen once, twice, three times and more often; [0] is 0."""
    n = [max(1, int((counts == k).sum())) for k in (1, 2, 3, 4)]
    y = n[0] / (n[0] + 2 * n[1])
    return np.clip([0] + [k - (k + 1) * y * n[k] / n[k - 1] for k in (1, 2, 3)], 0, [0, 1, 2, 3])


class KneserNey:
    def __init__(self, sequences, order):
        self.levels = {}        # order: (keys, counts less discounts, contexts, their totals, what the discounts freed)
        keys, counts = np.unique(ngrams(sequences, order), return_counts=True)
        for n in range(order, 0, -1):
            off = discounts(counts)[np.minimum(counts, 3)] if n > 1 else np.zeros(len(counts))
            contexts, first = np.unique(keys // C, return_index=True)
            self.levels[n] = (keys, counts - off, contexts, np.add.reduceat(counts.astype(float), first),
                              np.add.reduceat(off, first))
            keys, counts = np.unique(keys % C ** (n - 1), return_counts=True)   # of how many phones each comes after

    def p(self, keys, order):
        """P(last phone | those before it) of each."""
        if order == 0:
            return np.full(len(keys), 1 / C)
        lower = self.p(keys % C ** (order - 1), order - 1)
        known, counts, contexts, totals, freed = self.levels[order]
        c, seen = find(contexts, keys // C)
        k, here = find(known, keys)
        return np.where(seen, (np.where(here, counts[k], 0) + freed[c] * lower) / totals[c], lower)

    def of_context(self, keys, order):
        """How often the phones before the last stand together; sums to 1 over contexts."""
        contexts, totals = self.levels[order][2:4]
        c, seen = find(contexts, keys // C)
        return np.where(seen, totals[c], 0) / totals.sum()


@dataclass
class Language:
    """Which phone follows. ngrams: {order: (keys that were seen, P, P of the context)} above BASE."""
    trigram: np.ndarray         # [C, C, C] P(last | first two)
    ngrams: dict


def language(clips, text=None, order=ORDER):
    """Of sequences; of two sources mixed if there is text. Each order is a model by itself: what is pruned from one falls
    to the model of the next lower, not to what Kneser-Ney keeps for its own fallback (Chelba et al. 2010)."""
    weights = {0: CLIPS, 1: 1 - CLIPS} if text else {0: 1.0}
    found = {}
    for n in range(BASE, order + 1):
        models = [KneserNey(s, n) for s in (clips, text) if s]
        keys = np.arange(C ** n) if n == BASE else np.unique(np.concatenate([m.levels[n][0] for m in models]))
        found[n] = (keys, *(sum(weights[i] * of(m)(keys, n) for i, m in enumerate(models))
                            for of in (lambda m: m.p, lambda m: m.of_context)))
    return Language(found.pop(BASE)[1].reshape((C,) * BASE), found)


class Tree:
    """What is kept of a language model: n-grams whose gain is above a threshold.

    Gain: P(all of it) log (P(last | context) / what the kept shorter ones say). A context that lists some of its phones
    leaves to the others what the next shorter context says of them, times a back-off weight.
    """

    def __init__(self, lm, threshold=-np.inf):
        self.trigram = np.log(lm.trigram).ravel()
        self.orders = {}        # (keys, log P, contexts, log of their back-off weights)
        for n, (keys, p, weight) in lm.ngrams.items():
            below = self.log_p(keys, n)
            stays = keys % C == keys // C % C           # sequences have no phone twice in a row
            keep = (weight * p * (np.log(p) - below) > threshold) & ~stays
            keys, p, below = keys[keep], p[keep], below[keep]
            contexts, first = np.unique(keys // C, return_index=True)
            left, left_below = (1 - np.add.reduceat(x, first) if len(first) else first for x in (p, np.exp(below)))
            weights = np.log(np.maximum(left, 1e-4) / np.maximum(left_below, 1e-4))
            self.orders[n] = (keys, np.log(p), contexts, weights)

    def log_p(self, keys, order):
        if order == BASE:
            return self.trigram[keys]
        below = self.log_p(keys % C ** (order - 1), order - 1)
        if order not in self.orders:
            return below
        known, log_p, contexts, weights = self.orders[order]
        k, listed = find(known, keys)
        c, there = find(contexts, keys // C)
        return np.where(listed, log_p[k] if len(known) else 0, np.where(there, below + (weights[c] if len(contexts) else 0), below))

    def size(self):
        """Bytes in a model file, about."""
        return sum(8 * len(keys) + 12 * len(contexts) for keys, _, contexts, _ in self.orders.values())

    def named(self):
        """{order: contexts, ascending}: those that list phones, and the shorter ones that these end in."""
        out, longer = {}, np.zeros(0, np.int64)
        for n in sorted(self.orders, reverse=True):
            out[n] = longer = np.union1d(self.orders[n][2], longer % C ** (n - 1))
        return out

    def tables(self):
        """As model files have it (docs/model-format.md): contexts [K]; keys, log P or weight, is it a weight: [N] each.

        Contexts are numbered from C^2 on, shorter ones first; numbers below are pairs of phones, the trigram's rows.
        """
        shorter, numbers, start = np.arange(C * C), np.arange(C * C), C * C
        contexts, listed = [], []
        named = self.named()
        for n in sorted(named):
            here, oldest = named[n], C ** (n - 2)
            digits = numbers[find(shorter, here % oldest)[0]] * C + here // oldest
            by = np.argsort(digits)
            numbers = np.empty(len(here), np.int64)
            numbers[by] = start + np.arange(len(here))
            keys, log_p, lists, weights = self.orders[n]
            listed += [(numbers[find(here, k // C)[0]] * C + k % C, v, np.full(len(k), w))
                       for k, v, w in ((keys, log_p, False), (lists * C + lists % C, weights, True))]
            contexts.append(digits[by])
            shorter, start = here, start + len(here)
        keys, values, is_weight = map(np.concatenate, zip(*listed))
        by = np.argsort(keys)
        return np.concatenate(contexts), keys[by], values[by], is_weight[by]


def pruned(lm, room):
    """The Tree that keeps most in so many bytes of a model file."""
    low, high = -25.0, -5.0                             # log of the threshold
    while high - low > 0.02:
        middle = (low + high) / 2
        low, high = (low, middle) if Tree(lm, np.exp(middle)).size() <= room else (middle, high)
    return Tree(lm, np.exp(high))


def perplexity(log_p, sequences, order):
    """log_p: (keys, order) -> log P. Of all phones, each after what its sequence has before it."""
    return float(np.exp(-log_p(ngrams(sequences, order), order).mean()))

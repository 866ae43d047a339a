"""How sure a figure is: speakers (or voices) drawn anew (Bisani and Ney 2004), the same draws each time."""

import numpy as np

DRAWS, SEED = 2000, 1


def drawn(n):
    """[1 + DRAWS, n]: all n speakers as they are, then as many drawn anew."""
    return np.concatenate([[np.arange(n)], np.random.default_rng(SEED).integers(n, size=(DRAWS, n))])


def interval(values):
    """(the first, bounds of 95 % of the others) of [1 + DRAWS, ..], along its first axis."""
    return (values[0], *np.percentile(values[1:], (2.5, 97.5), axis=0))


def share(sums):
    """Of [speakers, (of, how many)] in percent; of two such pairs side by side, the first's share relative to the second's."""
    s = sums[drawn(len(sums))].sum(1)
    value = 100 * s[:, 1] / s[:, 0]
    return interval(value if s.shape[1] == 2 else value * s[:, 2] / s[:, 3])


def apart(one, other):
    """How many points the share of one is above that of the other, [speakers, (of, how many)] each."""
    at = drawn(len(one))
    a, b = one[at].sum(1), other[at].sum(1)
    return interval(100 * (a[:, 1] / a[:, 0] - b[:, 1] / b[:, 0]))


def told(interval, form=".1f"):
    return "{0:{f}} [{1:{f}}, {2:{f}}]".format(*interval, f=form)

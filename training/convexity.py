#!/usr/bin/env python3
"""Which layer is enough for a task? Graph convexity of phones, words and speakers, layer by layer (arXiv 2408.11858).

    convexity.py --into ../docs/research.md

The paper's score. Points are joined to their K nearest others (Euclidean, either way; distances of 0 make no edge). For
ordered pairs of a class, at most PAIRS a class, the shortest path is found: 1 if it is the edge between the two, 0 if there
is none, otherwise the share of the points on the way that belong to the class. A layer's score is the mean over all pairs.

The rule: keep the layers up to the score's maximum. Beside it the depth that influence would choose (the layers before
the first from which on none moves what it reads by more than the mean layer does), a random depth (the mean over all)
and all layers. What counts is a linear probe of what leaves that layer itself (frozen.py). No encoder is trained here; finetune.py does that.
"""

import datetime
import os

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

import frozen
import intervals
from evaluate import model_sha
from redundancy import DEPTH, LAYERS, alike, steps
from report import RESULTS, insert, keep, rows

K, PAIRS, POINTS = 10, 5000, 1000
COLOURS = dict(phones="#0072B2", words="#E69F00", speakers="#009E73")       # Okabe and Ito
SHAPES = dict(phones="o", words="s", speakers="^")


# ---- the score ---------------------------------------------------------------------------------

def graph(x):
    """[n, D] -> sparse [n, n] distances of points and their K nearest, both ways"""
    square = (x ** 2).sum(1)
    d = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * x @ x.T, 0))
    np.fill_diagonal(d, np.inf)
    near = np.argpartition(d, K, 1)[:, :K]
    i = np.repeat(np.arange(len(x)), K)
    w = csr_matrix((d[i, near.ravel()], (i, near.ravel())), d.shape)
    w.eliminate_zeros()
    return w.maximum(w.T)


def pair_scores(x, labels):
    """[n, n] score of the path between two points of a class; what it says of others means nothing"""
    distance, before = dijkstra(graph(x), directed=False, return_predecessors=True)
    n, me = len(x), np.arange(len(x))
    hops, hits = np.zeros((n, n), int), np.zeros((n, n), int)
    for j in np.argsort(distance, 1).T[1:]:         # nearest first: what leads to a point is known before it
        p = before[me, j]
        ok = p >= 0
        i, p, j = me[ok], p[ok], j[ok]
        hops[i, j] = hops[i, p] + 1
        hits[i, j] = hits[i, p] + ((labels[p] == labels[i]) & (p != i))
    return np.where(hops == 1, 1.0, hits / np.maximum(hops - 1, 1))


def convexity(x, labels, rng):
    """(score, standard error of the mean of the classes' scores)"""
    scores, found = pair_scores(x.astype(np.float64), labels), []
    for c in np.unique(labels):
        of = np.flatnonzero(labels == c)
        i, j = np.nonzero(~np.eye(len(of), dtype=bool))
        pick = rng.permutation(len(i))[:PAIRS]
        found.append(scores[of[i[pick]], of[j[pick]]])
    means = [f.mean() for f in found if len(f)]
    return np.concatenate(found).mean(), np.std(means) / np.sqrt(len(means))


def points(task, base, rng):
    """([layers, n, D], labels [n]) of about POINTS points, as many of each class as there are or as is fair"""
    if task == "speakers":
        parts = [(base[name]["clip.x"][:-1], frozen.speakers_of(base.lists[name])) for name in ("voices", "asked")]
        x, y = (np.concatenate([p[i] for p in parts], 1 - i) for i in range(2))
        return x[..., :x.shape[2] // 2].astype(np.float32), y
    what = dict(phones="frame", words="word")[task]
    x, y = base["learn"][what + ".x"][:-1], base["learn"][what + ".y"]
    classes = [c for c in np.unique(y) if (y == c).sum() > 1]
    pick = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:POINTS // len(classes)] for c in classes])
    return x[:, pick].astype(np.float32), y[pick]


def scored(task, base):
    """[(score, its standard error)] after layers 0 to DEPTH"""
    x, y = points(task, base, np.random.default_rng(1))
    return [convexity(layer, y, np.random.default_rng(2)) for layer in x]


def depth_of(scores):
    """Where the score is largest, of layers 1 to DEPTH."""
    return 1 + int(np.argmax([s for s, _ in scores[1:]]))


# ---- what it is good for -----------------------------------------------------------------------

def by_influence(found):
    """The depth before the first layer from which on none moves what it reads by more than the mean layer."""
    moved = steps(found["frame"]["cosine"])
    return int(np.flatnonzero(moved > moved.mean())[-1]) + 1


def picture(scores, right, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2))
    for task in frozen.TASKS:
        s = np.array(scores[task])
        axes[0].errorbar(LAYERS, 100 * s[:, 0], 100 * s[:, 1], color=COLOURS[task], marker=SHAPES[task], label=task, capsize=2)
        r = np.array([intervals.share(x) for x in right[task]])
        axes[1].errorbar(LAYERS, r[:, 0], [r[:, 0] - r[:, 1], r[:, 2] - r[:, 0]], color=COLOURS[task], marker=SHAPES[task], label=task, capsize=2)
        axes[0].axvline(depth_of(scores[task]), color=COLOURS[task], linewidth=0.8, linestyle=":")
    for axis, title in zip(axes, ("graph convexity, %", "linear probe, % right")):
        axis.set_title(title), axis.set_xlabel("layer"), axis.set_xticks(LAYERS), axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=72, metadata={"Software": None})


def chosen(scores, right, influence):
    """Lines of the table of chosen depths."""
    lines = []
    for task in frozen.TASKS:
        best = depth_of(scores[task])
        anywhere = [100 * r[:, 1].sum() / r[:, 0].sum() for r in right[task][1:]]
        lines.append([task, best, *(intervals.told(intervals.share(right[task][d])) for d in (best, DEPTH)),
                      intervals.told(intervals.apart(right[task][best], right[task][DEPTH]), "+.1f"),
                      f"{influence}: {intervals.told(intervals.apart(right[task][best], right[task][influence]), '+.1f')}",
                      f"{anywhere[best - 1] - np.mean(anywhere):+.1f}", f"{1 + int(np.argmax(anywhere))}", f"{100 * (1 - best / DEPTH):.0f}"])
    return lines


def main():
    ap = frozen.named_options(__doc__)
    ap.add_argument("--into", help="a document with markers; a picture goes beside it")
    a = ap.parse_args()
    lists, base = frozen.served(a)
    scores, right = {}, {}
    for task in frozen.TASKS:
        scores[task] = scored(task, base)
        right[task] = [frozen.asked(task, frozen.probe(task, base, d), base, d) for d in LAYERS]
        print(task, *(f"{100 * s:.1f}" for s, _ in scores[task]), flush=True)
    lines = [[task, *(f"{100 * s:.1f} ± {100 * e:.1f}" for s, e in scores[task])] for task in frozen.TASKS]
    probes = [[task, *(f"{intervals.share(r)[0]:.1f}" for r in right[task])] for task in frozen.TASKS]
    influence = by_influence(alike(base)[0])
    image = frozen.own(a, "convexity") + ".png"
    keep(os.path.join(RESULTS, frozen.own(a, "convexity") + ".json"), dict(
        model=model_sha(a.model), scores=scores, influence=influence, depth={t: depth_of(scores[t]) for t in frozen.TASKS}))
    text = (f"`training/convexity.py --limit {a.limit}`, {datetime.date.today()}, model {model_sha(a.model)}.\n\n![]({image})\n\n"
            + rows(["convexity, %, after layer", *LAYERS], lines) + "\n\n" + rows(["probe, % right, after layer", *LAYERS], probes) + "\n\n"
            + rows(["task", "depth of the maximum", "probe there, %", "at depth 12, %", "more than at 12, points", "more than at influence's depth",
                    "more than at a random depth", "the probe's own best depth", "layers saved, %"], chosen(scores, right, influence)))
    if a.into:
        picture(scores, right, os.path.join(os.path.dirname(a.into), image))
        insert(a.into, frozen.own(a, "convexity.py", " "), text)
    else:
        print(text)


if __name__ == "__main__":
    main()

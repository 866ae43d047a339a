#!/usr/bin/env python3
"""How alike are the layers as served, and how many can go without further training? (arXiv 2409.16302 on our model)

    redundancy.py --into ../docs/research.md
    redundancy.py --model unshared.safetensors --name unshared --into ../docs/research.md

Similarity: cosine, linear CKA and mutual k nearest neighbours between what leaves each layer (0: the subsampling) of the
development clips, by frame and by clip (mean over time); are there blocks?

Pruning: layers 2 to 12 are taken out one after the other, the first never, in the orders

    influence   least 1 - cosine of a layer's input and output first       forward    2, 3, 4, ...
    kNN         least 1 - mutual neighbours of the two first               backward   12, 11, 10, ...
    random      --random draws

Each is a program of a model file that the C engine runs; the mean that leaves (docs/model-format.md, "exit") is that of the
layers that remain. Probes (frozen.py) learnt at full depth and were not touched: capacity kept is what they get right, and
what the decoder does (100 - PER), relative to the whole stack. Intervals: speakers drawn anew, 95 %.
"""

import datetime
import os

import numpy as np

import frozen
import intervals
from capi import Engine
from convert import with_programs
from evaluate import model_sha
from modelfile import remaining
from probe import similarities
from report import RESULTS, insert, keep, rows, wrap

DEPTH, LAYERS = 12, range(13)
SWEPT, K = (1, 2, 4, 8, 16, 32, 64, 128), 16
MEASURES = dict(cosine="cosine", cka="linear CKA", knn=f"mutual {K} nearest neighbours")
COLOURS = dict(influence="#0072B2", kNN="#E69F00", forward="#D55E00", backward="#009E73", random="#999999")   # Okabe and Ito
SHAPES = dict(influence="o", kNN="s", forward="v", backward="^", random="x")
GONE, PAPER = (3, 5, 7), 5        # layers; so many are the paper's 40 %
TOLD = ("phones, decoder", "phones, probe", "words", "speakers")
LINE = 95


# ---- similarity -------------------------------------------------------------------------------

def compared(judged, voices):
    """{"cosine by frame": [13, 13], .., "knn 8 by clip": .., "frames", "clips": how many}"""
    frames = judged["frame.x"][:-1, ::max(1, judged["frame.x"].shape[1] // 2500)]
    dim = frames.shape[2]
    clips = np.concatenate([judged["clip.x"], voices["clip.x"]], 1)[:-1, :, :dim]
    out = dict(frames=np.array(frames.shape[1]), clips=np.array(clips.shape[1]))
    for what, x in (("frame", frozen.tensor(frames)), ("clip", frozen.tensor(clips))):
        out.update({f"{k} by {what}": np.array(v) for k, v in similarities(x, K, 1).items()})
        out.update({f"knn {k} by {what}": np.array(similarities(x, k, 1, ("knn",))["knn"]) for k in SWEPT if k < x.shape[1]})
    return out


def alike(whole):
    """{"frame", "clip": {measure: [13, 13]}}, and the neighbours at every k of SWEPT, and (frames, clips)."""
    found = frozen.kept(whole.scratch, "alike", [*whole.key, K, SWEPT, [[c.path for c in whole.lists[n]] for n in ("judge", "asked")]],
                        lambda: compared(whole["judge"], whole["asked"]))
    swept = {w: {k: found[f"knn {k} by {w}"] for k in SWEPT if f"knn {k} by {w}" in found} for w in ("frame", "clip")}
    return {w: {k: found[f"{k} by {w}"] for k in MEASURES} for w in ("frame", "clip")}, swept, (int(found["frames"]), int(found["clips"]))


def split(m):
    """The cut of layers 1..12 into two runs that makes them most alike inside and least between: (first layer of the second,
    mean inside less mean between)."""
    m, n = m[1:, 1:], len(m) - 1
    best = (0, -1.0)
    for cut in range(2, n - 1):
        near = np.arange(n) < cut
        inside = (near[:, None] == near[None]) & ~np.eye(n, dtype=bool)
        between = near[:, None] != near[None]
        best = max(best, (cut + 1, m[inside].mean() - m[between].mean()), key=lambda b: b[1])
    return best


def steps(m):
    """[12] how far each layer moves what it reads: 1 - similarity of the two"""
    return 1 - np.array([m[i - 1, i] for i in range(1, len(m))])


def map_picture(found, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(2, 3, figsize=(14, 9.4))
    for line, (what, of) in zip(axes, found.items()):
        for axis, (key, title) in zip(line, MEASURES.items()):
            axis.imshow(of[key], vmin=min(0, of[key].min()), vmax=1, cmap="cividis")
            for (i, j), v in np.ndenumerate(of[key]):
                axis.text(j, i, f"{100 * v:.0f}", ha="center", va="center", fontsize=7, color="black" if v > 0.6 else "white")
            axis.set_title(f"{title}, %, by {what}", fontsize=10)
            axis.set_xticks(LAYERS), axis.set_yticks(LAYERS)
            axis.set_xlabel("layer"), axis.set_ylabel("layer")
    figure.tight_layout()
    figure.savefig(path, dpi=72, metadata={"Software": None})


# ---- pruning ----------------------------------------------------------------------------------

def orders(found, draws):
    """{name: layers 2 to 12 (from 1) in the order in which they go}"""
    candidates = np.arange(2, DEPTH + 1)
    by = lambda key: [int(i) for i in candidates[np.argsort(steps(found["frame"][key])[1:], kind="stable")]]
    out = dict(influence=by("cosine"), kNN=by("knn"), forward=list(map(int, candidates)), backward=list(map(int, candidates[::-1])))
    for i in range(draws):
        out[f"random {i + 1}"] = [int(x) for x in np.random.default_rng(i + 1).permutation(candidates)]
    return out


def left_of(order, gone):
    """Numbers (from 0) of the layers that remain."""
    return [i for i in range(DEPTH) if i + 1 not in order[:gone]]


class Pruned:
    """Features of stacks by what remains of them; each set of layers is streamed once."""

    def __init__(self, a, lists):
        self.a, self.lists = a, lists

    def __call__(self, numbers):
        name = "layers-%03x" % sum(1 << i for i in numbers)
        return frozen.Frozen(self.a.scratch, self.a.model, self.lists, lambda: self.open(name, numbers), name, len(numbers))

    def open(self, name, numbers):
        path = os.path.join(self.a.scratch, "pruned.safetensors")
        with_programs(self.a.model, path, [lambda c: c["programs"].append(
            {"name": name, "layers": remaining(c["programs"][0]["layers"], numbers)})])
        return Engine(path, self.a.lib, program=name)


def fewer(lists):
    """Every second of what is judged by: many stacks are to be heard."""
    return {**lists, "judge": lists["judge"][::2], "asked": lists["asked"][::2]}


def right(features, probes):
    """{task: [speakers, (of, right)]}"""
    clips = features.lists["judge"]
    counts = frozen.by_speaker(features["judge"]["counts"], clips)
    out = {"phones, decoder": np.stack([counts[:, 0], counts[:, 0] - counts[:, 1]], 1)}
    for task in frozen.TASKS:
        out["phones, probe" if task == "phones" else task] = frozen.asked(task, probes[task], features)
    return out


def capacity(here, whole):
    """{task: (kept, low, high)} in percent of the whole stack's"""
    return {t: intervals.share(np.concatenate([here[t], whole[t]], 1)) for t in TOLD}


def curves(gone, order_of, pruned, probes, whole):
    """{order: {layers gone: {task: (kept, low, high)}}}"""
    out = {}
    for name, order in order_of.items():
        for n in gone:
            here = right(pruned(left_of(order, n)), probes)
            out.setdefault(name, {})[n] = capacity(here, whole)
            print(name, n, {t: round(v[0], 1) for t, v in out[name][n].items()}, flush=True)
    return out


def together(curve):
    """The random draws as one: mean, least, most."""
    draws = [c for name, c in curve.items() if name.startswith("random")]
    out = {name: c for name, c in curve.items() if not name.startswith("random")}
    out["random"] = {n: {t: (np.mean([d[n][t][0] for d in draws]), min(d[n][t][0] for d in draws), max(d[n][t][0] for d in draws))
                         for t in TOLD} for n in draws[0]}
    return out


def curve_picture(curve, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, len(TOLD), figsize=(17, 4.4), sharey=True)
    for axis, task in zip(axes, TOLD):
        for name, of in curve.items():
            x = [0] + [100 * n / DEPTH for n in of]
            y, low, high = np.array([(100, 100, 100)] + [of[n][task] for n in of]).T
            axis.plot(x, y, color=COLOURS[name], marker=SHAPES[name], label=name, markersize=4)
            axis.fill_between(x, low, high, color=COLOURS[name], alpha=0.12)
        axis.axhline(LINE, color="black", linewidth=0.8, linestyle="--")
        axis.set_title(task), axis.set_xlabel("layers removed, %"), axis.set_ylim(0, 130)
    axes[0].set_ylabel("capacity kept, %"), axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=72, metadata={"Software": None})


def reach(of, task):
    """The largest share of layers, percent, up to which a curve keeps LINE percent."""
    n = 0
    for gone in sorted(of):
        if of[gone][task][0] < LINE:
            break
        n = gone
    return 100 * n / DEPTH


# ---- what is said of it -----------------------------------------------------------------------

def blocks_text(found, swept, sizes, picture):
    cut = {(w, k): split(m) for w, of in found.items() for k, m in of.items()}
    far = {(w, k): m[1, DEPTH] for w, of in found.items() for k, m in of.items()}
    lines = [[MEASURES[k], w, *(f"{s:.3f}" for s in steps(found[w][k])), f"{far[w, k]:.2f}", f"{cut[w, k][0]}", f"{cut[w, k][1]:+.3f}"]
             for k in MEASURES for w in found]
    table = rows(["1 - similarity of a layer to the one below", "by", *range(1, DEPTH + 1), "similarity of 1 and 12", "best cut before", "inside less between"], lines)
    k_lines = [[w, *(f"{m[11, 12]:.2f}, {m[1, 12]:.2f}" for m in swept[w].values())] for w in swept]
    k_table = rows(["mutual neighbours of layers 11 and 12, of 1 and 12", *(f"k = {k}" for k in swept["clip"])], k_lines)
    return f"{sizes[0]:,} frames, {sizes[1]:,} clips.\n\n![]({picture})\n\n{table}\n\n{k_table}"


def keeping(curve, gone):
    """Which orders keep LINE percent with so many layers gone."""
    enough = {t: [name for name, of in curve.items() if of[gone][t][0] >= LINE] for t in TOLD}
    return (f"With {gone} of {DEPTH} gone, {100 * gone / DEPTH:.0f} %, at least {LINE} % are kept by: "
            + "; ".join(f"{t}: {', '.join(names) or 'no order'}" for t, names in enough.items()) + ".")


def pruning_text(order_of, curve, whole, picture):
    gone = list(next(iter(curve.values())))
    lines = [[name, ", ".join(map(str, order_of[name])) if name in order_of else "", task, *(intervals.told(of[n][task]) for n in gone), f"{reach(of, task):.0f}"]
             for task in TOLD for name, of in curve.items()]
    head = ["order", "layers in the order in which they go", "task", *(f"{n} of 12 gone: kept, %" for n in gone), f"{LINE} % kept up to, % of layers"]
    base = ", ".join(f"{t} {intervals.told(intervals.share(v))} %" for t, v in whole.items())
    return "\n\n".join([wrap(f"The whole stack: {base}."), f"![]({picture})", rows(head, lines),
                       *(wrap(keeping(curve, n)) for n in gone if n == PAPER)])


def main():
    ap = frozen.named_options(__doc__)
    ap.add_argument("--only", choices=("similarity",), help="no pruning")
    ap.add_argument("--random", type=int, default=2)
    ap.add_argument("--gone", type=int, nargs="*", default=GONE, help="how many layers are taken out")
    ap.add_argument("--into", help="a document with markers; pictures go beside it")
    a = ap.parse_args()
    lists, base = frozen.served(a)
    found, swept, sizes = alike(base)
    maps, fall = (frozen.own(a, name) + ".png" for name in ("redundancy", "pruning"))
    similar = blocks_text(found, swept, sizes, maps)
    print(similar, flush=True)
    head = f"`training/redundancy.py --limit {a.limit}`, {datetime.date.today()}, model {model_sha(a.model)}: "
    if a.into:
        map_picture(found, os.path.join(os.path.dirname(a.into), maps))
        insert(a.into, frozen.own(a, "redundancy.py similarity", " "), head + similar)
    if a.only:
        return
    probes = {t: frozen.probe(t, base) for t in frozen.TASKS}
    order_of, lists = orders(found, a.random), fewer(lists)
    pruned = Pruned(a, lists)
    whole = right(pruned(range(DEPTH)), probes)
    curve = together(curves(a.gone, order_of, pruned, probes, whole))
    keep(os.path.join(RESULTS, frozen.own(a, "redundancy") + ".json"), dict(model=model_sha(a.model), order=order_of, curve=curve, steps={k: list(steps(m)) for k, m in found["frame"].items()}))
    told = f"{head}{len(lists['judge'])} clips, {len(lists['asked'])} of {frozen.SPEAKERS} speakers.\n\n" + pruning_text(order_of, curve, whole, fall)
    if a.into:
        curve_picture(curve, os.path.join(os.path.dirname(a.into), fall))
        insert(a.into, frozen.own(a, "redundancy.py pruning", " "), told)
    else:
        print(told)


if __name__ == "__main__":
    main()

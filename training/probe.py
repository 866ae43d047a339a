#!/usr/bin/env python3
"""Layer consistency, measured: what a probe learnt at one depth reads at all others.

    probe.py --model ../models/shoal-base.safetensors [--compare /tmp/claim/unshared-12/last.pt]

For each model (a model file or a checkpoint; a second one, e.g. unshared, to compare with), on the
outputs of its layers (not the mean of several that may leave at a depth, which would make depths alike
by construction) at chunk 320 ms and the model's left context:

- cross-depth probe matrix: a linear phone classifier (softmax regression with a small L2 penalty,
  L-BFGS) is trained on the embeddings h_N of each depth N over clips of the training split, and
  its accuracy on speech frames of the development split is taken at every depth L. Inputs are
  standardised by the statistics of depth N only;
- similarity of layers over development frames: mean cosine, linear CKA, mutual k nearest
  neighbours (by inner product, as in arXiv 2409.16302).

Writes a JSON and a picture, and the figures between the markers of docs/consistency.md.
"""

import argparse
import json
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from data import Features, shift
from export import load_model
from report import insert, matrix_table, wrap

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../docs")
NEIGHBOURS = 10
MEASURES = (("probe", "accuracy of a probe"), ("cosine", "mean cosine"), ("cka", "linear CKA"),
            ("knn", f"mutual {NEIGHBOURS} nearest neighbours"))


@torch.no_grad()
def embeddings(model, feats, entries, per_clip, seed=1):
    """Some frames of each clip -> (layer outputs x [depth, n, D] float32, labels [n])."""
    rng, depth = np.random.default_rng(seed), model.config.depth
    model.config.exit_from = 0
    xs, ys = [], []
    for e in entries:
        labels = shift(e["labels"], model.config.delay)
        pick = rng.permutation(len(labels))[:per_clip]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, seen = model(torch.from_numpy(feats.get(e))[None], depth, 16, model.config.left,
                            taps=range(1, depth + 1))
        xs.append(torch.stack([seen[d][0, pick].float() for d in range(1, depth + 1)]))
        ys.append(labels[pick])
    return torch.cat(xs, 1), torch.from_numpy(np.concatenate(ys))


def regression(x, y, classes, penalty=1e-4, rounds=40):
    """Softmax regression [n, D] -> (w [classes, D], b [classes]): logits are w x + b."""
    mean, std = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / std
    w, b = torch.zeros(classes, x.shape[1]), torch.zeros(classes)
    w.requires_grad_(), b.requires_grad_()
    optim = torch.optim.LBFGS([w, b], max_iter=rounds, line_search_fn="strong_wolfe")

    def loss():
        optim.zero_grad()
        value = F.cross_entropy(F.linear(x, w, b), y) + penalty * w.square().sum()
        value.backward()
        return value

    optim.step(loss)
    w = w.detach() / std
    return w, b.detach() - w @ mean


def fit(x, y, classes, penalty=1e-4, rounds=40):
    """The same as a function from [m, D] to labels [m]."""
    w, b = regression(x, y, classes, penalty, rounds)
    return lambda z: F.linear(z, w, b).argmax(-1)


def accuracy(labels, y):
    """Over frames labelled as speech."""
    return float((labels == y)[y != 0].float().mean())


def probe_matrix(train, test, classes):
    """[N][L]: accuracy at depth L of the probe learnt at depth N."""
    (x, y), (z, t) = train, test
    probes = [fit(h, y, classes) for h in x]
    with torch.no_grad():
        return [[accuracy(p(h), t) for h in z] for p in probes]


@torch.no_grad()
def neighbours(h, k):
    s = h @ h.T
    s.fill_diagonal_(-1e8)
    return torch.zeros_like(s).scatter_(1, s.topk(k).indices, 1.0)


@torch.no_grad()
def similarities(x, k=NEIGHBOURS, every=5, measures=("cosine", "cka", "knn")):
    """{measure: [depth][depth]} of embeddings x [depth, n, D]; of them every fifth is asked for its neighbours."""
    depth = len(x)
    unit = F.normalize(x, dim=-1)
    centred = x - x.mean(1, keepdim=True)
    near = [neighbours(h[::every], k) for h in x]
    norm = [(c.T @ c).norm() for c in centred]
    out = {m: [[0.0] * depth for _ in range(depth)] for m in measures}
    for i in range(depth):
        for j in range(depth):
            of = dict(cosine=lambda: (unit[i] * unit[j]).sum(-1).mean(),
                      cka=lambda: (centred[i].T @ centred[j]).norm() ** 2 / (norm[i] * norm[j]),
                      knn=lambda: (near[i] * near[j]).sum(1).mean() / k)
            for m in measures:
                out[m][i][j] = float(of[m]())
    return out


def name_of(path):
    """A checkpoint goes by the name of its run's folder."""
    return os.path.basename(os.path.dirname(path) if path.endswith(".pt") else path)


def measure(path, feats, clips, per_clip):
    """Everything about one model; clips, per_clip: (for training, for test)."""
    model = load_model(path)
    train, test = (embeddings(model, feats, c, n) for c, n in zip(clips, per_clip))
    with torch.no_grad():
        head = [accuracy(model.head(h).argmax(-1), test[1]) for h in test[0]]
    c = model.config
    return dict(model=name_of(path), blocks=c.blocks, norms=c.norms, layers=c.depth,
                frames_train=len(train[1]), frames_test=len(test[1]), head=head,
                probe=probe_matrix(train, test, c.classes), **similarities(test[0]))


def picture(results, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(len(results), 4, figsize=(19, 4.9 * len(results)), squeeze=False)
    for row, r in zip(axes, results):
        for axis, (key, title) in zip(row, MEASURES):
            m = np.array(r[key])
            low = 0.0 if key == "probe" else min(0.0, m.min())
            axis.imshow(m, vmin=low, vmax=m.max() if key == "probe" else 1.0, cmap="viridis")
            for (i, j), v in np.ndenumerate(m):
                axis.text(j, i, f"{100 * v:.0f}", ha="center", va="center", fontsize=7,
                          color="white" if v < 0.7 * m.max() else "black")
            axis.set_xticks(range(len(m)), range(1, len(m) + 1))
            axis.set_yticks(range(len(m)), range(1, len(m) + 1))
            axis.set_title(f"{title}, %\n{r['model']}, {r['blocks']} block(s), {r['norms']} norm set(s)",
                           fontsize=9)
            axis.set_xlabel("tested at depth" if key == "probe" else "depth")
            axis.set_ylabel("trained at depth" if key == "probe" else "depth")
    figure.tight_layout()
    figure.savefig(path, dpi=72, metadata={"Software": None})


def sentences(r):
    """What the figures say, computed."""
    m = 100 * np.array(r["probe"])
    own, n = m.diagonal(), len(m)
    deep = slice(n // 3, n)
    loss = (own[None, deep] - m[deep, deep]).max()
    off = ~np.eye(n, dtype=bool)
    return wrap(f"`{r['model']}`: {r['blocks']} block(s), {r['norms']} norm set(s), {n} virtual layers. "
            f"Each depth read by its own probe gives {own.min():.1f} to {own.max():.1f} % "
            f"(best at depth {own.argmax() + 1}; the model's own head {100 * min(r['head']):.1f} to "
            f"{100 * max(r['head']):.1f} %). Read by the probe of another depth the mean is "
            f"{m[off].mean():.1f} %, the worst {m[off].min():.1f} %. Among depths {n // 3 + 1} to {n} no "
            f"foreign probe loses more than {loss:.1f} points to the depth's own. The probe of depth "
            f"{n} reads depth {n // 2} at {m[n - 1, n // 2 - 1]:.1f} % (own probe {own[n // 2 - 1]:.1f} %), "
            f"depth {n // 4} at {m[n - 1, n // 4 - 1]:.1f} % (own {own[n // 4 - 1]:.1f} %). Depths 1 and {n}: cosine "
            f"{r['cosine'][0][-1]:.2f}, CKA {r['cka'][0][-1]:.2f}, mutual neighbours {r['knn'][0][-1]:.2f}; "
            f"depths {n // 2} and {n}: {r['cosine'][n // 2 - 1][-1]:.2f}, {r['cka'][n // 2 - 1][-1]:.2f}, "
            f"{r['knn'][n // 2 - 1][-1]:.2f}.")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", default="../models/shoal-base.safetensors")
    ap.add_argument("--compare", nargs="*", default=[], help="other model files or checkpoints")
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--train-clips", type=int, default=500)
    ap.add_argument("--test-clips", type=int, default=300)
    ap.add_argument("--docs", default=DOCS, help="folder of consistency.{md,json,png}")
    a = ap.parse_args()
    torch.set_num_threads(1)
    feats, begin = Features(a.features), time.time()
    want = dict(corpus="speechocean762", speed=1.0)
    clips = []
    for split, n in (("train", a.train_clips), ("dev", a.test_clips)):
        all_ = [e for e in feats.select(split=split, **want) if e["labels"] is not None]
        clips.append(all_[::max(1, len(all_) // n)][:n])
    results = []
    for path in [a.model] + a.compare:
        results.append(measure(path, feats, clips, (40, 30)))
        print(sentences(results[-1]), f"\n({time.time() - begin:.0f} s)", flush=True)
    with open(os.path.join(a.docs, "consistency.json"), "w") as f:
        json.dump(results, f)
        f.write("\n")
    picture(results, os.path.join(a.docs, "consistency.png"))
    speakers = [len({e["speaker"] for e in c}) for c in clips]
    r = results[0]
    text = [wrap(f"Trained on {r['frames_train']:,} frames of {len(clips[0])} clips ({speakers[0]} speakers of the "
                 f"training split), tested on the {r['frames_test']:,} frames of {len(clips[1])} clips "
                 f"({speakers[1]} other speakers, development split)."), "![](consistency.png)"]
    for r in results:
        text += [sentences(r), matrix_table(r["probe"], "trained at \\ tested at", extra=("own head", r["head"]))]
    insert(os.path.join(a.docs, "consistency.md"), "probe.py", "\n\n".join(text))


if __name__ == "__main__":
    main()

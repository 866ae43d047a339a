#!/usr/bin/env python3
"""Shared sparsely-gated experts (arXiv 2209.08326) beside the shipped model: size, errors, speed, who uses which.

    experts.py                          # all parts; docs/experts.{json,png}, docs/research.md, docs/performance.md
    experts.py --only speed --rounds 9

size     weights of the layers beside those of twelve blocks and of one; arithmetic a frame (shoald --explain)
errors   PER of development clips through the C engine at depths 3, 6 and 12; intervals by speaker, 95 %
speed    streams a core of both models in turn, products in fp32 and int8: CPU time, the median of the rounds
routes   C beside PyTorch on a minute of speech: C's routes, read off its layers, and features with those routes
use      which experts the frames of each phone go through, layer by layer (experts_use.py)

What a part found is kept in docs/experts.json, so they may run one by one; figures go between the documents' markers.
"""

import argparse
import datetime
import json
import os
import tempfile

import numpy as np
import torch

import intervals
from capi import Engine
from crowd import CHUNK, LEFT, Crowd, by_turns, explained, whole
from evaluate import BUILT_IN, model_sha
from experts_use import picture, use, use_text
from export import export, load_model
from frontend import log_mel
from judge import sets
from model import Config, Encoder, chunk_mask, picked, rope_table
from phones import edits
from report import insert, rows
from verify import minute

HERE = os.path.dirname(os.path.abspath(__file__))
DOCS = os.path.join(HERE, "../docs")
MODEL = os.path.join(HERE, "../models/shoal-experts.safetensors")
DEPTHS = (3, 6, 12)
NEAR = 1e-3             # of logits: routes closer than that may differ


# ---- size ---------------------------------------------------------------------------------------

def layer_weights(m):
    return sum(p.numel() for part in (m.blocks, m.norms, m.routers) for p in part.parameters())


def size(a):
    m = load_model(a.model)
    c = m.config
    others = {"dense": Config(**{**c.dict(), "experts": 0, "routers": 0, "blocks": c.depth}),
              "shared": Config(**{**c.dict(), "experts": 0, "routers": 0, "blocks": 1})}
    return dict(layers=layer_weights(m), depth=c.depth, blocks=c.blocks, experts=c.experts,
                **{name: layer_weights(Encoder(o)) for name, o in others.items()},
                flops=whole(explained(a.shoald, a.model)["base"]), flops_base=whole(explained(a.shoald, a.base)["base"]))


def size_text(s):
    return (f"Its layers have {s['layers'] / 1e6:.2f} million weights, {s['layers'] / s['dense']:.3f} of those of {s['depth']} blocks "
            f"({s['dense'] / 1e6:.2f}) and {s['layers'] / s['shared']:.2f} times those of one ({s['shared'] / 1e6:.2f}). A frame at full "
            f"depth takes {s['flops'][0] / 1e6:.1f} MFLOP, of which the shipped model's takes {s['flops_base'][0] / 1e6:.1f}: the "
            f"routers are the difference, {100 * (s['flops'][0] / s['flops_base'][0] - 1):.2f} %. A stream remembers as much in both, "
            f"{s['flops'][1] / 1e6:.2f} MB.")


# ---- errors -------------------------------------------------------------------------------------

def edits_by_speaker(a, model, precision):
    """{set: {speaker: [phones, edits at each of DEPTHS]}}"""
    out, engine = {}, Engine(model, a.lib, precision=precision)
    for name, clips in sets(a).items():
        found = out.setdefault(name, {})
        order = sorted(clips, key=lambda c: os.path.getsize(c[0]))
        for (_, align, speaker), logp in engine.hear(order, max(DEPTHS), CHUNK):
            ref = [p for p, _, _ in align if p]
            found[speaker] = found.get(speaker, 0) + np.array(
                [len(ref), *(edits(ref, [p[0] for p in engine.decode(logp[d])]) for d in DEPTHS)])
    engine.close()
    return {n: {s: v.tolist() for s, v in sorted(f.items())} for n, f in out.items()}


def errors(a):
    return {"shared": edits_by_speaker(a, a.base, "fp32"), "experts": edits_by_speaker(a, a.model, "fp32")}


def errors_text(found):
    lines = []
    for name, first in found["shared"].items():
        base = np.array(list(first.values()), float)
        drawn = intervals.drawn(len(base))
        for which, of in found.items():
            mine = np.array(list(of[name].values()), float)
            per = 100 * mine.sum(0)[1:] / mine.sum(0)[0]
            change, low, high = intervals.interval(100 * (mine[drawn].sum(1) / base[drawn].sum(1) - 1)[:, 1:])
            cells = [f"{p:.1f}" + ("" if which == "shared" else f" ({c:+.1f} [{l:+.1f}, {h:+.1f}])")
                     for p, c, l, h in zip(per, change, low, high)]
            lines.append([name, len(base), which, *cells])
    return ("PER, %, decoded with the language model, chunks of 160 ms; in brackets the change against the shipped model, "
            "relative, %.\n\n" + rows(["set", "speakers", "model", *(f"depth {d}" for d in DEPTHS)], lines))


# ---- speed --------------------------------------------------------------------------------------

def speed(a):
    pcm, out = minute(a.speech), {}
    for precision in ("fp32", "int8"):
        for streams in (1, 8, 32):
            pairs = by_turns([Crowd(a.lib, model, precision, pcm, streams) for model in (a.base, a.model)], a.rounds, a.seconds)
            out[f"{precision}|{streams}"] = pairs
            print(precision, streams, np.median(pairs, 0), flush=True)
    return dict(pairs=out)


def speed_text(found):
    lines = []
    for key, pairs in found["pairs"].items():
        precision, streams = key.split("|")
        pairs = np.array(pairs)
        ratio = 100 * pairs[:, 1] / pairs[:, 0]
        lines.append([precision, streams, *(f"{x:.1f}" for x in np.median(pairs, 0)),
                      f"{np.median(ratio):.1f} ({ratio.min():.1f}..{ratio.max():.1f})"])
    return rows(["products", "streams at once", "shared, streams a core", "experts, streams a core",
                 "experts of shared, %"], lines)


# ---- routes -------------------------------------------------------------------------------------

def layers_of(a, m, pcm):
    """[depth, T, D]: what leaves each layer in C. m: has no exits and no delay."""
    depth = m.config.depth
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        export(m, "routes", path)
        engine = Engine(path, a.lib, m.config.dim, m.config.classes, hidden_frames=depth * CHUNK)
        _, last, below = engine.layers([pcm], range(1, depth), depth, CHUNK, LEFT)[0]
        engine.close()
    return np.stack([*below.values(), last])


def c_routes(m, x, theirs, layer, masks, logits):
    """C's routes of a layer: the one of the two likeliest from which its output follows, for input x."""
    y = m.layer(layer, x, *masks)
    order = picked(logits[-1], 2)
    chosen = order[..., :1].clone()
    other = (y - theirs).abs().amax(-1) > 1e-2
    chosen[other] = order[..., 1:][other]
    y = m.layer(layer, x, *masks, routes=chosen)
    assert (y - theirs).abs().max() < 1e-2, f"layer {layer + 1}: C went another way than the two likeliest"
    return chosen


@torch.no_grad()
def routes(a):
    m = load_model(a.model)
    m.config.exit_from = m.config.delay = 0
    pcm = minute(a.speech)
    theirs = torch.from_numpy(layers_of(a, m, pcm))
    T, logits = theirs.shape[1], []
    for r in m.routers:
        r.register_forward_hook(lambda _, __, out: logits.append(out))
    mel = log_mel(np.concatenate([pcm, np.zeros(320 * T + 240 - len(pcm), np.float32)]))
    bias = torch.zeros(T, T).masked_fill_(~chunk_mask(T, CHUNK, LEFT), -1e9)
    masks = (bias, *rope_table(T, m.config.dim // m.config.heads))
    x = m.subsample((torch.from_numpy(mel)[None] - m.mel_mean) * m.mel_istd)
    told = [c_routes(m, theirs[None, i - 1] if i else x, theirs[None, i], i, masks, logits) for i in range(m.config.depth)]
    margins, differ, most = [], [], 0.0
    for i, given in enumerate(told):
        x = m.layer(i, x, *masks, routes=given)
        best = logits[-1].sort(-1, descending=True).values
        margins.append((best[..., 0] - best[..., 1]).numpy().ravel())
        differ.append((picked(logits[-1], 1) != given).numpy().ravel())
        most = max(most, float((x[0] - theirs[i]).abs().max() / theirs[i].abs().max()))
    margins, differ = np.concatenate(margins), np.concatenate(differ)
    return dict(decisions=len(margins), near=int((margins <= NEAR).sum()), smallest=float(margins.min()), differ=int(differ.sum()),
                differ_margin=float(margins[differ].max()) if differ.any() else 0.0, features=most, frames=T)


def routes_text(r):
    ok = r["differ_margin"] <= NEAR and r["features"] <= 1e-4
    return (f"C and PyTorch on a minute of speech ({r['frames']} frames, {r['decisions']} routes, of which {r['near']} have a margin of "
            f"{NEAR:g} or less, the smallest {r['smallest']:.1e}): {r['differ']} routes differ"
            + (f", none with a margin above {r['differ_margin']:.1e}" if r["differ"] else "") +
            f"; with C's routes given, features of all layers differ by at most {r['features']:.1e} of the largest. "
            f"{'Both within what was asked.' if ok else 'NOT within what was asked.'}")


# ---- all ----------------------------------------------------------------------------------------

PARTS = dict(size=size, errors=errors, speed=speed, routes=routes, use=use)


def write(found, a):
    head = f"`training/experts.py`, {found['date']}, models {model_sha(a.base)} (shared) and {model_sha(a.model)} (experts)."
    texts = [size_text(found["size"]), routes_text(found["routes"]), errors_text(found["errors"]), use_text(found["use"])]
    insert(os.path.join(DOCS, "research.md"), "experts.py", "\n\n".join([head, *texts]))
    insert(os.path.join(DOCS, "performance.md"), "experts.py", f"{head}\n\n{speed_text(found['speed'])}")
    picture(found["use"], os.path.join(DOCS, "experts.png"))


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", default=MODEL)
    ap.add_argument("--base", default=BUILT_IN)
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    ap.add_argument("--limit", type=int, default=320, help="about this many clips a set; 0: all")
    ap.add_argument("--rounds", type=int, default=7)
    ap.add_argument("--seconds", type=float, default=1.0, help="CPU time of a turn")
    ap.add_argument("--lib")
    ap.add_argument("--shoald", default=os.path.join(HERE, "../build/daemon/shoald"))
    a = ap.parse_args()
    a.apart = []
    torch.set_num_threads(1)
    path = os.path.join(DOCS, "experts.json")
    found = {}
    if os.path.exists(path):
        with open(path) as f:
            found = json.load(f)
    for part in a.only:
        found[part] = PARTS[part](a)
        found["date"] = datetime.date.today().isoformat()
        with open(path, "w") as f:
            json.dump(found, f)
            f.write("\n")
        print(part, "done", flush=True)
    if all(part in found for part in PARTS):
        write(found, a)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Does one shared block hold what Layer Consistency claims? One table, same budget for all.

    claim.py --out /tmp/claim --steps 1500        # resumes where it stopped; docs/claim.{md,json}

Trains every arm by train.py with the same data, seed, steps and audio a step:

    unshared-12     twelve blocks, every step at full depth: an ordinary Conformer
    shared-12       one block twelve times, every step at full depth
    shared-uniform  one block twelve times, depth drawn uniformly: what shoal ships
    shared-3, -6, unshared-3, -6   shallow models trained alone: what a depth of 3 or 6 competes with

then gives each its own decoder scales (decoder.py), exports it, streams the development clips
through the C engine (chunk 320 ms, fp32) and reports error rates at every depth. Times are CPU time
with one thread, all arms taking turns in one process: a training step on the same batch, and
the engine on eight streams of noise.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
import torch

from capi import Engine
from corpus import dev_clips
from data import Features, batches
from decoder import counts, tables
from evaluate import file_facts, measure
from model import Config, Encoder
from optim import MuonAdamW
from report import rows
from train import corpus_weight, draw_depths, update

HERE = os.path.dirname(os.path.abspath(__file__))
BASE, OURS = "unshared-12", "shared-uniform"
ARMS = {BASE: (12, 12, "fixed"), "shared-12": (12, 1, "fixed"), OURS: (12, 1, "uniform"),
        "shared-3": (3, 1, "fixed"), "shared-6": (6, 1, "fixed"),
        "unshared-3": (3, 3, "fixed"), "unshared-6": (6, 6, "fixed")}     # layers, blocks, law


def norm_sets(a, arm):
    layers, blocks, _ = ARMS[arm]
    return layers if blocks > 1 or a.norms > 1 else 1


def summary(a, arm):
    try:
        with open(os.path.join(a.out, arm, "summary.json")) as f:
            return json.load(f)
    except OSError:
        return {"steps": 0}


def script(name, *args):
    subprocess.run([sys.executable, os.path.join(HERE, name), *map(str, args)], check=True)


def train(a, arm):
    layers, blocks, law = ARMS[arm]
    if summary(a, arm)["steps"] >= a.steps:
        return
    print(f"== {arm}: training", flush=True)
    script("train.py", "--out", os.path.join(a.out, arm), "--features", a.features, "--steps", a.steps,
           "--seconds", a.seconds, "--seed", a.seed, "--threads", a.threads, "--layers", layers,
           "--blocks", blocks, "--norms", norm_sets(a, arm), "--depth-law", law,
           "--crf-from", a.steps // 2, "--eval-every", a.steps)


def step_times(a):
    """{arm: mean CPU seconds a step}; the second half of the rounds with the sequence loss."""
    feats = Features(a.features)
    clips = [e for e in feats.select(split="train") if e["labels"] is not None]
    stream = batches(feats, clips, [corpus_weight(e) for e in clips], feats.select(corpus="esc10-noise"),
                     a.seed, Config().delay, a.seconds)
    paths = [torch.from_numpy(x) for x in tables(*counts(clips[::10]), 0.6, 2.0, 0.2)]
    torch.set_num_threads(1)
    models = {n: Encoder(Config(depth=l, blocks=b, norms=norm_sets(a, n))) for n, (l, b, _) in ARMS.items()}
    optims = {n: MuonAdamW(m) for n, m in models.items()}
    spent, rng = {n: [] for n in ARMS}, np.random.default_rng(a.seed)
    depths = rng.permutation(12)
    for r in range(-1, a.time_rounds):
        batch = next(stream)
        for n, (layers, _, law) in ARMS.items():
            chosen = draw_depths(rng, layers, law)
            if law == "uniform":                # every depth as often
                deep = int(depths[r % 12]) + 1
                chosen = deep, 1 + (deep - 1) // 2
            begin = time.process_time()
            update(models[n], optims[n], batch, chosen, (16, 64), 1e-4,
                   (1.0, *paths) if 2 * r >= a.time_rounds else None)
            if r >= 0:                          # round -1 warms up
                spent[n].append(time.process_time() - begin)
        print(f"\rtiming of training steps: {r + 1}/{a.time_rounds}", end="", flush=True)
    print()
    return {n: float(np.mean(t)) for n, t in spent.items()}


def judge(a, arm, clips):
    """Decoder, export, error rates through the C engine; kept in the arm's folder."""
    folder, done = os.path.join(a.out, arm), os.path.join(a.out, arm, "judged.json")
    layers, _, law = ARMS[arm]
    model, key = model_file(a, arm), dict(steps=summary(a, arm)["steps"], clips=len(clips))
    if os.path.exists(done):
        with open(done) as f:
            kept = json.load(f)
        if kept["key"] == key:
            return kept
    print(f"== {arm}: decoder and error rates", flush=True)
    last, tables_ = os.path.join(folder, "last.pt"), os.path.join(folder, "decoder.npz")
    script("decoder.py", "--features", a.features, "--checkpoint", last, "--out", tables_, "--every", 8,
           "--depth", layers if law == "fixed" else 6)
    script("export.py", "--checkpoint", last, "--decoder", tables_, "--name", arm, "--out", model)
    c = Config()
    r = measure((model, a.lib, c.dim, c.classes, "auto", "fp32"), clips, 16, layers, a.jobs)
    result = dict(key=key, parameters=file_facts(model)[1], per={d: v[1] for d, v in r.items()},
                  accuracy={d: v[2] for d, v in r.items()})
    with open(done, "w") as f:
        json.dump(result, f)
    return json.loads(json.dumps(result))


def model_file(a, arm):
    return os.path.join(a.out, arm, "model.safetensors")


def stream_costs(a):
    """{arm: {depth: CPU ms a second of audio}}, median of rounds in which all take turns."""
    pcm = np.random.default_rng(1).normal(0, 0.05, 5120 * 8).astype(np.float32)
    engines = {n: Engine(model_file(a, n), a.lib) for n in ARMS}
    spent = {n: {d: [] for d in range(1, ARMS[n][0] + 1)} for n in ARMS}
    for _ in range(a.cost_rounds):
        for n, e in engines.items():
            for d in spent[n]:
                spent[n][d].append(1000 * e.cost(pcm, d))
    return {n: {str(d): float(np.median(t)) for d, t in s.items()} for n, s in spent.items()}


def claims(r):
    """[(claim, measured, held)]"""
    base, ours = r["arms"][BASE], r["arms"][OURS]
    ratio = base["parameters"] / ours["parameters"]
    saved = 1 - ours["step_seconds"] / base["step_seconds"]
    depth = max((int(d) for d, c in ours["cost"].items() if c <= 0.6 * ours["cost"]["12"]), default=1)
    loss = ours["per"][str(depth)] / ours["per"]["12"] - 1
    full = ours["per"]["12"] / base["per"]["12"] - 1
    return [("at least 8 times fewer parameters than twelve blocks", f"{ratio:.1f} times", ratio >= 8),
            ("at least 40 % of the training time saved", f"{100 * saved:.1f} %", saved >= 0.4),
            (f"the deepest depth at 60 % of the full streaming cost or less ({depth}) loses at most 3 % "
             "relative PER to depth 12", f"{100 * loss:+.1f} %", loss <= 0.03),
            ("at full depth at most 5 % relative PER lost to twelve blocks", f"{100 * full:+.1f} %",
             full <= 0.05)]


def by_depth(r, key, scale, digits):
    lines = [[n] + [f"{scale * x[key][str(d)]:.{digits}f}" if str(d) in x[key] else "" for d in range(1, 13)]
             for n, x in r["arms"].items()]
    return rows(["arm"] + list(range(1, 13)), lines)


def document(r):
    base = r["arms"][BASE]
    head = ["arm", "layers", "blocks", "depth in training", "parameters", "CPU s a step", "of unshared-12",
            "PER at its full depth", "streaming, CPU ms/s"]
    lines = []
    for n, x in r["arms"].items():
        layers, blocks, law = ARMS[n]
        lines.append([n, layers, blocks, "uniform" if law == "uniform" else layers, f"{x['parameters']:,}",
                      f"{x['step_seconds']:.2f}", f"{100 * x['step_seconds'] / base['step_seconds']:.0f} %",
                      f"{100 * x['per'][str(layers)]:.1f} %", f"{x['cost'][str(layers)]:.2f}"])
    verdicts = rows(["claim", "measured", "held"], [(c, m, "yes" if h else "no") for c, m, h in claims(r)])
    return f"""# Layer Consistency, put to the test

Written by `training/claim.py`; every figure is computed by that run. Each arm: {r['steps']} steps of about
{r['seconds']:.0f} s of audio, seed {r['seed']}, the same data, optimiser, schedule and losses (sequence loss in the
second half), decoder scales chosen for each arm alone. One seed and a short budget: differences
of one or two per cent relative are within noise, and longer training may rank the arms otherwise.

{verdicts}

## The arms

CPU time of a training step and of streaming (8 streams together, chunks of 320 ms, fp32) on one thread,
all arms taking turns in one process.

{rows(head, lines)}

## Phone error rate by depth

Decoded, {r['clips']} clips of the development split, streamed by the C engine, chunks of 320 ms, in %. An arm
that trained at one depth only shows what its other depths are worth without depth sampling.

{by_depth(r, 'per', 100, 1)}

## Accuracy of speech frames by depth, %

{by_depth(r, 'accuracy', 100, 1)}

## Streaming cost by depth, CPU ms a second of audio

{by_depth(r, 'cost', 1, 2)}
"""


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", required=True, help="folder of the arms' runs")
    ap.add_argument("--steps", type=int, default=1500)
    ap.add_argument("--seconds", type=float, default=100.0, help="audio a step")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--norms", type=int, default=1, help="of shared arms: 1, or more for private ones")
    ap.add_argument("--threads", type=int, default=1, help="of training; times are taken with one")
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--limit", type=int, default=400, help="development clips; 0: all")
    ap.add_argument("--time-rounds", type=int, default=12)
    ap.add_argument("--cost-rounds", type=int, default=5)
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--lib", help="libshoal.so")
    ap.add_argument("--docs", default=os.path.join(HERE, "../docs"), help="folder of claim.{md,json}")
    a = ap.parse_args()
    for arm in ARMS:
        train(a, arm)
    clips = dev_clips(a.speech, a.limit)
    arms = {arm: judge(a, arm, clips) for arm in ARMS}
    costs, times = stream_costs(a), step_times(a)
    for n, x in arms.items():
        x.update(cost=costs[n], step_seconds=times[n], training_wall_seconds=summary(a, n)["seconds"])
    result = dict(steps=a.steps, seconds=a.seconds, seed=a.seed, norms=a.norms, clips=len(clips), arms=arms)
    result["claims"] = [dict(claim=c, measured=m, held=bool(h)) for c, m, h in claims(result)]
    with open(os.path.join(a.docs, "claim.json"), "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    with open(os.path.join(a.docs, "claim.md"), "w") as f:
        f.write(document(result))
    for c in result["claims"]:
        print(("held    " if c["held"] else "NOT HELD"), c["claim"] + ":", c["measured"])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Does one shared block hold what Layer Consistency claims? One table, same budget for all.

    claim.py --out /tmp/claim --steps 1500        # resumes where it stopped; docs/claim.{md,json}

Trains every arm by train.py with the same data, seed, steps and audio a step:

    unshared-12     twelve blocks, every step at full depth: an ordinary Conformer
    shared-12       one block twelve times, every step at full depth
    shared-uniform  one block twelve times, depth drawn uniformly: what shoal ships
    shared-longer   that with the plain mean of layers 3 to d leaving at depth d (what ships weighs them), for
                    --longer times the steps: still less training time than unshared-12
    unshared-6, -3  shallow models trained alone: what the same FLOPs buy without sharing

and, because a short budget favours whoever has more weights, two more from the weights that ship
(--init), at a quarter of the rate:

    untied, tied    the shipped model with a copy of the block for each layer, trained on at full
                    depth, and as it is, trained on as it was: as much further for both

then gives each its own decoder scales (decoder.py), exports it, streams the development clips and
a corpus that no arm heard (--hold-out: a native speaker) through the C engine (chunk 320 ms, fp32)
and reports error rates at every depth. Times are CPU time with one thread, all arms taking turns in
one process: a training step on the same batch, and the engine on eight streams of noise.
"""

import argparse
import os
import time

import numpy as np
import torch

import arms
from arms import Arm, model_file, summary
from capi import Engine
from crowd import depth_costs
from data import Features, batches
from decoder import tables
from lm import counts
from model import Config, Encoder
from optim import MuonAdamW
from report import rows
from train import corpus_weight, draw_depths, update

BASE, OURS, LONGER = "unshared-12", "shared-uniform", "shared-longer"
LAYOUTS = {BASE: (12, 12, "fixed"), OURS: (12, 1, "uniform"), LONGER: (12, 1, "uniform"),
           "shared-12": (12, 1, "fixed"), "unshared-6": (6, 6, "fixed"), "unshared-3": (3, 3, "fixed")}     # layers, blocks, law
FURTHER = {"untied": Arm(("--blocks", 12, "--norms", 12, "--depth-law", "fixed"), decode_depth=12),
           "tied": Arm(("--norms", 12, "--deep", 0.5), decode_depth=12)}


def norm_sets(a, name):
    layers, blocks, _ = LAYOUTS[name]
    return layers if blocks > 1 or a.norms > 1 else 1


def arm(a, name):
    layers, blocks, law = LAYOUTS[name]
    return Arm(("--layers", layers, "--blocks", blocks, "--norms", norm_sets(a, name), "--depth-law", law,
                "--exit-from", 3 if name == LONGER else 0), layers, layers if law == "fixed" else 6)


def step_times(a):
    """{arm: mean CPU seconds a step}; the second half of the rounds with the sequence loss."""
    feats = Features(a.features)
    clips = [e for e in feats.select(split="train") if e["labels"] is not None]
    stream = batches(feats, clips, [corpus_weight(e) for e in clips], feats.select(corpus="esc10-noise"),
                     a.seed, Config().delay, a.seconds)
    paths = [torch.from_numpy(x) for x in tables(*counts(clips[::10]), 0.6, 2.0, 0.2)]
    torch.set_num_threads(1)
    models = {n: Encoder(Config(depth=l, blocks=b, norms=norm_sets(a, n))) for n, (l, b, _) in LAYOUTS.items()}
    optims = {n: MuonAdamW(m) for n, m in models.items()}
    spent, rng = {n: [] for n in LAYOUTS}, np.random.default_rng(a.seed)
    depths = rng.permutation(12)
    for r in range(-1, a.time_rounds):
        batch = next(stream)
        for n, (layers, _, law) in LAYOUTS.items():
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


def stream_costs(a):
    """{arm: {depth: CPU ms a second of audio}}, median of rounds in which all take turns."""
    engines = {n: (Engine(model_file(os.path.join(a.out, n)), a.lib), layers) for n, (layers, *_) in LAYOUTS.items()}
    return {n: {str(d): ms for d, ms in enumerate(of, 1)} for n, of in depth_costs(engines, 8, a.cost_rounds).items()}


def claims(r):
    """[(claim, measured, held)]"""
    base, ours = r["arms"][BASE], r["arms"][OURS]
    ratio = base["parameters"] / ours["parameters"]
    saved = 1 - ours["step_seconds"] / base["step_seconds"]
    depth = max((int(d) for d, c in ours["cost"].items() if c <= 0.6 * ours["cost"]["12"]), default=1)
    loss = ours["per"][str(depth)] / ours["per"]["12"] - 1
    full = ours["per"]["12"] / base["per"]["12"] - 1
    longer = r["arms"][LONGER]
    time = longer["steps"] * longer["step_seconds"] / (base["steps"] * base["step_seconds"])
    same_time = longer["per"]["12"] / base["per"]["12"] - 1
    further = r["further"]["tied"]["per"]["12"] / r["further"]["untied"]["per"]["12"] - 1
    return [("at least 8 times fewer parameters than twelve blocks", f"{ratio:.1f} times", ratio >= 8),
            ("at least 40 % of the training time saved", f"{100 * saved:.1f} %", saved >= 0.4),
            (f"the deepest depth at 60 % of the full streaming cost or less ({depth}) loses at most 3 % "
             "relative PER to depth 12", f"{100 * loss:+.1f} %", loss <= 0.03),
            ("at full depth at most 5 % relative PER lost to twelve blocks, from random weights, same number of steps",
             f"{100 * full:+.1f} %", full <= 0.05),
            (f"the same in {100 * time:.0f} % of its training time ({LONGER})", f"{100 * same_time:+.1f} %",
             same_time <= 0.05 and time <= 1.05),
            ("the same, both from the weights that ship", f"{100 * further:+.1f} %", further <= 0.05)]


def by_depth(r, key, scale, digits):
    lines = [[n] + [f"{scale * x[key][str(d)]:.{digits}f}" if str(d) in x[key] else "" for d in range(1, 13)]
             for n, x in r["arms"].items()]
    return rows(["arm"] + list(range(1, 13)), lines)


def interrupted(r):
    """Arms that were not trained in one go: their rate went up again."""
    found = {n: x["resumed_at"] for n, x in r["arms"].items() if x["resumed_at"]}
    return "" if not found else "\nTrained on, with the schedule of the new number of steps: " + ", ".join(
        f"{n} from step {', '.join(map(str, at))}" for n, at in found.items()) + "."


def document(r):
    base = r["arms"][BASE]
    head = ["arm", "layers", "blocks", "depth in training", "parameters", "steps", "CPU s a step", "of unshared-12",
            "PER at its full depth", "streaming, CPU ms/s"]
    lines = []
    for n, x in r["arms"].items():
        layers, blocks, law = LAYOUTS[n]
        lines.append([n, layers, blocks, "uniform" if law == "uniform" else layers, f"{x['parameters']:,}",
                      x["steps"], f"{x['step_seconds']:.2f}", f"{100 * x['step_seconds'] / base['step_seconds']:.0f} %",
                      f"{100 * x['per'][str(layers)]:.1f} %", f"{x['cost'][str(layers)]:.2f}"])
    further = [[n, f"{x['parameters']:,}"] + [f"{100 * v:.1f}" for v in x["per"].values()]
               for n, x in r["further"].items()]
    verdicts = rows(["claim", "measured", "held"], [(c, m, "yes" if h else "no") for c, m, h in claims(r)])
    return f"""# Layer Consistency, put to the test

Written by `training/claim.py`; every figure is computed by that run. Each arm: {r['steps']} steps of
about {r['seconds']:.0f} s of audio, seed {r['seed']}, the same data (without {r['hold_out']}), optimiser, schedule
and losses (sequence loss in the second half), decoder scales chosen for each arm alone. One seed and a short budget: differences
of one or two per cent relative are within noise, and longer training may rank the arms otherwise.{interrupted(r)}

{verdicts}

## The arms

CPU time of a training step and of streaming (8 streams together, chunks of 320 ms, fp32) on one thread,
all arms taking turns in one process.

{rows(head, lines)}

## Phone error rate by depth

Decoded, {r['clips']} clips of the development split, streamed by the C engine, chunks of 320 ms, in %. An arm
that trained at one depth only shows what its other depths are worth without depth sampling.

{by_depth(r, 'per', 100, 1)}

## From the weights that ship

A short budget from random weights says little about trained models. So the model that shipped then
({r['init']}) goes on for {r['further_steps']} steps at {r['lr'] / 4:g}, once
with a copy of its block for each of the twelve layers (`untied`, always at full depth) and once as
it is (`tied`). PER of the development clips in %:

{rows(["arm", "parameters"] + list(range(1, 13)), further)}

## Phone error rate by depth, a speaker that no arm heard

The same on {r['held_out_clips']} clips of {r['hold_out']}, native read speech, in %.

{by_depth(r, 'per_held_out', 100, 1)}

## Accuracy of speech frames by depth, %

{by_depth(r, 'accuracy', 100, 1)}

## Streaming cost by depth, CPU ms a second of audio

{by_depth(r, 'cost', 1, 2)}
"""


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arms.standard_options(ap)
    ap.add_argument("--norms", type=int, default=12, help="of shared arms: 12, private ones, or 1")
    ap.add_argument("--init", default=os.path.join(arms.HERE, "../models/shoal-base.safetensors"))
    ap.add_argument("--longer", type=float, default=2.0, help=f"steps of {LONGER}, in units of the others'")
    ap.add_argument("--further-steps", type=int, default=600, help="of the arms that start from --init")
    ap.add_argument("--time-rounds", type=int, default=12)
    ap.add_argument("--cost-rounds", type=int, default=5)
    a = ap.parse_args()
    common, sets = arms.common_options(a), arms.judged_sets(a)
    scratch = (*common, "--lr", a.lr, "--hold-out", a.hold_out)
    further = (*common, "--lr", a.lr / 4, "--crf-from", 0, "--init", a.init)
    steps = {n: round(a.steps * (a.longer if n == LONGER else 1)) for n in LAYOUTS}
    plan = {n: (arm(a, n), steps[n], (*scratch, "--crf-from", steps[n] // 2)) for n in LAYOUTS}
    plan.update({n: (x, a.further_steps, further) for n, x in FURTHER.items()})
    for name in arms.chosen(a, plan):
        one, steps, options = plan[name]
        arms.train(os.path.join(a.out, name), one, steps, options)
    judged = {n: arms.judge(os.path.join(a.out, n), plan[n][0], a.features, sets, a.lib, a.jobs)
              for n in arms.chosen(a, plan)}
    if a.only:
        return
    costs, times = stream_costs(a), step_times(a)
    runs = {n: summary(os.path.join(a.out, n)) for n in plan}
    found = {n: dict(parameters=judged[n]["parameters"], per=judged[n]["per"]["dev"],
                     accuracy=judged[n]["accuracy"]["dev"], per_held_out=judged[n]["per"]["held out"],
                     cost=costs[n], step_seconds=times[n],
                     steps=runs[n]["steps"], resumed_at=runs[n].get("starts", [0])[1:],
                     training_wall_seconds=runs[n]["seconds"]) for n in LAYOUTS}
    more = {n: dict(parameters=judged[n]["parameters"], per=judged[n]["per"]["dev"]) for n in FURTHER}
    result = dict(steps=a.steps, seconds=a.seconds, seed=a.seed, norms=a.norms, lr=a.lr, tail=a.tail,
                  clips=len(sets["dev"]), hold_out=a.hold_out, held_out_clips=len(sets["held out"]), arms=found,
                  init=arms.file_name(a.init), further_steps=a.further_steps, further=more)
    result["claims"] = [dict(claim=c, measured=m, held=bool(h)) for c, m, h in claims(result)]
    arms.publish(a, "claim", result, document(result))
    for c in result["claims"]:
        print(("held    " if c["held"] else "NOT HELD"), c["claim"] + ":", c["measured"])


if __name__ == "__main__":
    main()

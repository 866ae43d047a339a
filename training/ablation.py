#!/usr/bin/env python3
"""What each ingredient of training is worth, at equal budget: one table, docs/ablation.{md,json}.

    ablation.py --out /tmp/ablation --steps 600 --seconds 40      # resumes where it stopped

Two groups. `scratch`: from random weights, against the recipe as it is. `ships`: from the model that
ships (--model), half the steps at a quarter of the rate, because some things matter only to a model that
knows phones already. An arm differs from its group's first in the one thing that its name says. Each
gets decoder scales of its own and is judged through the C engine (arms.py). --only trains some; the table has
all that are there.
"""

import argparse
import os

import arms
from arms import Arm, summary
from report import rows

DEPTHS = (3, 6, 12)
ADDED = "librispeech picovoice-intent synthetic kokoro hibari".split()


def groups(a):
    """{group: (steps, options, {arm: (what it shows, Arm, steps in units of the group's)})}"""
    recipe = ("--norms", 12, "--deep", 0.3)
    pre = (*arms.common_options(a), "--steps", a.steps, "--lr", a.lr, "--hold-out", a.hold_out)
    later = ("--crf-from", a.steps // 2)
    scratch = {
        "recipe": ("as shoal-base is trained", Arm(later), 1),
        "one norm set": ("all layers share their norms too", Arm((*later, "--norms", 1)), 1),
        "two blocks": ("layers 1-6 and 7-12 have a block each: twice the bytes, the same FLOPs",
                       Arm((*later, "--blocks", 2)), 1),
        "exits averaged": ("what leaves at depth d is the mean of layers 3 to d", Arm((*later, "--exit-from", 3)), 1),
        "uniform depth": ("no extra steps at full depth", Arm((*later, "--deep", 0)), 1),
        "pre-trained": ("as many steps of pretrain.py before", Arm(later, before=pre), 1),
        "twice the steps": ("instead of pre-training: the same time", Arm(("--crf-from", a.steps)), 2),
    }
    ships = {
        "further": ("the recipe goes on", Arm(()), 1),
        "distilled": ("the deep posteriors teach the shallow depth", Arm(("--distill", 0.5)), 1),
        "no sequence loss": ("frame cross-entropy alone", Arm(("--crf-from", 10 ** 9)), 1),
        "warped": ("vocal tract length perturbation, up to 12 %", Arm(("--warp", 0.12)), 1),
        "layers dropped": ("every layer but the first left out in 15 % of the steps", Arm(("--drop", 0.15)), 1),
        "labelled only": ("without the recogniser's texts and synthetic speech", Arm(("--hold-out", *ADDED)), 1),
    }
    return {"scratch": (a.steps, (*recipe, "--lr", a.lr, "--hold-out", a.hold_out), scratch),
            "ships": (a.steps // 2, (*recipe, "--init", a.model, "--lr", a.lr / 4, "--crf-from", 0), ships)}


def table(group, found):
    """Rows of one group; differences are to its first arm."""
    first = next(iter(found.values()))
    lines = []
    for name, r in found.items():
        per = [f"{100 * r['per']['dev'][str(d)]:.1f}" for d in DEPTHS]
        change = 100 * (r["per"]["dev"]["12"] / first["per"]["dev"]["12"] - 1)
        native = f"{100 * r['per']['held out']['12']:.1f}" if group == "scratch" else ""
        lines.append([name, r["what"], f"{r['parameters'] / 1e6:.2f} M", r["key"]["steps"], *per,
                      "" if r is first else f"{change:+.1f} %", native])
    return rows(["arm", "", "parameters", "steps"] + [f"depth {d}" for d in DEPTHS] +
                ["relative, depth 12", "native, depth 12"], lines)


def document(a, result):
    scratch, ships = (table(g, result["groups"][g]) for g in ("scratch", "ships"))
    return f"""# What each ingredient is worth

Written by `training/ablation.py`; every figure is computed by that run. Decoded PER in % on {result['clips']}
clips of the development split through the C engine, chunks of 320 ms; about {a.seconds:.0f} s of audio a step,
seed {a.seed}. One seed and short runs: differences of 1 or 2 % relative are within noise.

## From random weights

`{a.hold_out}` is held out of these, and is the native speaker of the last column
({result['held_out_clips']} clips).

{scratch}

## From the weights that ship

{result['model']}; a quarter of the rate, half the steps.

{ships}

{f"Not run yet: {', '.join(result['missing'])}." if result['missing'] else ""}
"""


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arms.standard_options(ap)
    ap.add_argument("--model", default="../models/shoal-base.safetensors", help="what ships")
    a = ap.parse_args()
    common, sets = arms.common_options(a), arms.judged_sets(a)
    found, missing = {"scratch": {}, "ships": {}}, []
    for group, (steps, options, members) in groups(a).items():
        for name, (what, arm, times) in members.items():
            folder = os.path.join(a.out, f"{group} {name}".replace(" ", "-"))
            if name in arms.chosen(a, members):
                arms.train(folder, arm, steps * times, (*common, *options))
            elif summary(folder)["steps"] < steps * times:
                missing.append(name)
                continue
            judged = arms.judge(folder, arm, a.features, sets, a.lib, a.jobs)
            found[group][name] = dict(judged, what=what, seconds=summary(folder)["seconds"])
    result = dict(seed=a.seed, seconds=a.seconds, lr=a.lr, model=arms.file_name(a.model), clips=len(sets["dev"]),
                  held_out_clips=len(sets["held out"]), groups=found, missing=missing)
    arms.publish(a, "ablation", result, document(a, result))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What the shape of the model is worth, from random weights at equal budget: a table in docs/ablation.md, docs/ablation.json.

    ablation.py --out /tmp/ablation --steps 600 --seconds 40      # resumes where it stopped

An arm differs from the first in the one thing that its name says. Each gets decoder scales of its own and is judged through
the C engine (arms.py). --only trains some; the table has all that are there. What matters only to a model that knows phones
already (voices, losses) is ingredients.py's.
"""

import argparse
import os

import arms
from arms import Arm, summary
from report import insert, keep, rows

DEPTHS = (3, 6, 12)


def members(a):
    """{arm: (what it shows, Arm, steps in units of --steps)}"""
    pre = (*arms.common_options(a), "--steps", a.steps, "--lr", a.lr, "--hold-out", a.hold_out)
    later = ("--crf-from", a.steps // 2)
    return {
        "recipe": ("as shoal-base is trained", Arm(later), 1),
        "one norm set": ("all layers share their norms too", Arm((*later, "--norms", 1)), 1),
        "two blocks": ("layers 1-6 and 7-12 have a block each: twice the bytes, the same FLOPs",
                       Arm((*later, "--blocks", 2)), 1),
        "exits averaged": ("what leaves at depth d is the mean of layers 3 to d", Arm((*later, "--exit-from", 3)), 1),
        "uniform depth": ("no extra steps at full depth", Arm((*later, "--deep", 0)), 1),
        "pre-trained": ("as many steps of pretrain.py before", Arm(later, before=pre), 1),
        "twice the steps": ("instead of pre-training: the same time", Arm(("--crf-from", a.steps)), 2),
    }


def table(found):
    """Differences are to the first arm."""
    first = next(iter(found.values()))
    lines = []
    for name, r in found.items():
        per = [f"{100 * r['per']['dev'][str(d)]:.1f}" for d in DEPTHS]
        change = 100 * (r["per"]["dev"]["12"] / first["per"]["dev"]["12"] - 1)
        lines.append([name, r["what"], f"{r['parameters'] / 1e6:.2f} M", r["key"]["steps"], *per,
                      "" if r is first else f"{change:+.1f} %", f"{100 * r['per']['held out']['12']:.1f}"])
    return rows(["arm", "", "parameters", "steps"] + [f"depth {d}" for d in DEPTHS] +
                ["relative, depth 12", "native, depth 12"], lines)


def document(a, result):
    left = f"\n\nNot run: {', '.join(result['missing'])}." if result["missing"] else ""
    return (f"`ablation.py`: decoded PER in % on {result['clips']} clips of the development split through the C engine, chunks of 320 ms; "
            f"about {a.seconds:.0f} s of audio a step, seed {a.seed}. `{a.hold_out}` is held out of these, and is the native speaker of the "
            f"last column ({result['held_out_clips']} clips). One seed and short runs: differences of 1 or 2 % relative are within noise."
            f"\n\n{table(result['arms'])}{left}")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arms.standard_options(ap)
    a = ap.parse_args()
    sets, found, missing = arms.judged_sets(a), {}, []
    common = (*arms.common_options(a), "--norms", 12, "--deep", 0.3, "--lr", a.lr, "--hold-out", a.hold_out)
    for name, (what, arm, times) in members(a).items():
        folder = os.path.join(a.out, name.replace(" ", "-"))
        if name in arms.chosen(a, members(a)):
            arms.train(folder, arm, a.steps * times, common)
        elif summary(folder)["steps"] < a.steps * times:
            missing.append(name)
            continue
        judged = arms.judge(folder, arm, a.features, sets, a.lib, a.jobs)
        found[name] = dict(judged, what=what, seconds=summary(folder)["seconds"])
    result = dict(seed=a.seed, seconds=a.seconds, lr=a.lr, clips=len(sets["dev"]),
                  held_out_clips=len(sets["held out"]), arms=found, missing=missing)
    keep(os.path.join(a.docs, "ablation.json"), result)
    insert(os.path.join(a.docs, "ablation.md"), "ablation.py", document(a, result))


if __name__ == "__main__":
    main()

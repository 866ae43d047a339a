#!/usr/bin/env python3
"""Mean of the weights of several checkpoints or model files of one descent, as a run's folder.

    average.py --out /tmp/mean ../models/shoal-base.safetensors /tmp/run/1750.pt /tmp/run/last.pt

Writes last.pt, with the configuration of the last part, and summary.json: `parts`, each with its share and
what is known of its run: the JSON of a model file's card, the summary.json beside a checkpoint, or what the
checkpoint itself tells. A part that is named twice weighs twice.

Weights from along one run lie in one basin, and their mean generalises better than any of them
(Izmailov et al., arXiv 1803.05407; Wortsman et al., arXiv 2203.05482).
"""

import argparse
import json
import os
from collections import Counter

import torch

from corpus import read_manifest
from export import load_model
from train import save_run


def read(path):
    with open(path) as f:
        return json.load(f)


def trained_on(speech):
    """{corpus: clips, hours} of what is there to train on; how often an epoch had them nothing tells."""
    out = {}
    for r in read_manifest(speech):
        if r["split"] == "train":
            c = out.setdefault(r["corpus"], dict(clips=0, hours=0.0, labelled=0.0))
            c["clips"] += 1
            c["hours"] = c["labelled"] = c["hours"] + float(r["seconds"]) / 3600
    return out


def told(path, speech):
    """How a part was made, as far as anything tells."""
    stem, suffix = os.path.splitext(path)
    beside = stem + ".json" if suffix != ".pt" else os.path.join(os.path.dirname(path), "summary.json")
    if os.path.exists(beside) or suffix != ".pt":
        run = read(beside) if os.path.exists(beside) else {}
        run = run.get("training", run)
        return dict(averaged=[p["name"] for p in run["parts"]]) if "parts" in run else run
    s = torch.load(path, map_location="cpu")
    args = s.get("args", {})
    options = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in args.items() if v not in ("", [], False, None))
    return dict(seed=args.get("seed"), steps=s["step"], audio_seconds=args.get("seconds"), seconds=s.get("seconds"),
                command=options, corpora=trained_on(speech) if speech else {})


def parts_of(paths, speech):
    """One entry a part, in the order of the command."""
    return [dict(told(p, speech), name="/".join(os.path.abspath(p).split("/")[-2:]), share=n / len(paths)) for p, n in Counter(paths).items()]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", required=True, help="folder")
    ap.add_argument("--exit-power", type=float, help="weigh the layers of what leaves otherwise than in training")
    ap.add_argument("--speech", help="recordings that a checkpoint without a summary was trained on, for the card")
    ap.add_argument("parts", nargs="+", help="checkpoints (.pt) or model files, of one configuration")
    a = ap.parse_args()
    models = [load_model(p) for p in a.parts]
    states = [m.state_dict() for m in models]
    mean = {k: sum(s[k] for s in states) / len(states) for k in states[0]}
    summary, config = dict(parts=parts_of(a.parts, a.speech)), models[-1].config
    if a.exit_power is not None:
        config.exit_power = summary["exit_power"] = a.exit_power
    os.makedirs(a.out, exist_ok=True)
    save_run(a.out, dict(ema=mean, config=config.dict()), summary)
    print(f"{a.out}: mean of {len(states)}")


if __name__ == "__main__":
    main()

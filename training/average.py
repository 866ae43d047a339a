#!/usr/bin/env python3
"""Mean of the weights of several checkpoints or model files of one descent, as a run's folder.

    average.py --out /tmp/mean ../models/shoal-base.safetensors /tmp/run/1750.pt /tmp/run/last.pt

Writes last.pt and summary.json, those of the last part (its configuration, its run with `averaged` in it).

Weights from along one run lie in one basin, and their mean generalises better than any of them
(Izmailov et al., arXiv 1803.05407; Wortsman et al., arXiv 2203.05482).
"""

import argparse
import json
import os

from export import load_model
from train import save_run


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", required=True, help="folder")
    ap.add_argument("--exit-power", type=float, help="weigh the layers of what leaves otherwise than in training")
    ap.add_argument("parts", nargs="+", help="checkpoints (.pt) or model files, of one configuration; "
                    "beside the last there is the summary.json of its run")
    a = ap.parse_args()
    models = [load_model(p) for p in a.parts]
    states = [m.state_dict() for m in models]
    mean = {k: sum(s[k] for s in states) / len(states) for k in states[0]}
    with open(os.path.join(os.path.dirname(a.parts[-1]), "summary.json")) as f:
        summary = dict(json.load(f), averaged=[os.path.basename(p) for p in a.parts])
    config = models[-1].config
    if a.exit_power is not None:
        config.exit_power = summary["exit_power"] = a.exit_power
    os.makedirs(a.out, exist_ok=True)
    save_run(a.out, dict(ema=mean, config=config.dict()), summary)
    print(f"{a.out}: mean of {len(states)}")


if __name__ == "__main__":
    main()

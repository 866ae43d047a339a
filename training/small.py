#!/usr/bin/env python3
"""shoal-small: the model of half the size, for small boards, made of the one that ships.

    small.py --run /tmp/shoal-run --work /tmp/small

The same weights, matrices in 8 bits by rows; of the language model what fits into a third of the room, the decoder's
scales chosen anew; temperature and smoothing as they are. What that costs is told at the end of the card, beside the model
that it was made of, on the same clips. A step that is done is not done again.
"""

import json
import os
import re

import numpy as np

import export
import intervals
from convert import with_programs
from evaluate import BUILT_IN, file_facts
from judge import COUNTS
from modelfile import read_safetensors
from report import insert, rows
from ship import HERE, Steps, options

ROOM = 1.0e6                            # bytes for what is longer than a trigram
OUT = os.path.join(HERE, "../models/shoal-small")
DEPTHS = (3, 6, 12)
CARD_SETS = 5                           # times as many clips are heard for the card


def make(base, network, decoder, out):
    """The model file, of a checkpoint and decoder.py's tables."""
    config = json.loads(read_safetensors(base)[1]["shoal"])
    temperature = config.get("temperature", 1.0)
    export.export(export.load_model(network), "shoal-small", out, export.divided(export.decoder_of(decoder), temperature), "int8",
                  temperature)
    kept = {k: v for k, v in config.items() if k.startswith("smoothing_")}
    with_programs(out, out, [lambda c: c.update(kept)])


def by_speaker(judged, key, depth):
    """[speakers, (phones, errors)]."""
    of = judged["cells"][key][str(depth)]["speakers"]
    return np.array([of[s] for s in sorted(of)])[:, [COUNTS.index("phones"), COUNTS.index("on")]]


def beside(base, small):
    """Both on the same clips, as a table."""
    lines = []
    for key in small["cells"]:
        for d in DEPTHS:
            b, s = (by_speaker(j, key, d) for j in (base, small))
            relative = intervals.share(np.concatenate([s, b], 1))
            change = [x - 100 for x in relative]
            lines.append([key.split("|")[0], d, *(f"{100 * x[:, 1].sum() / x[:, 0].sum():.1f}" for x in (b, s)),
                          intervals.told(change, "+.1f")])
    clips = ", ".join(f"{n} of {name}" for name, n in small["clips"].items())
    return (f"Phone error rate, %, chunk 320 ms, fp32, `lm=on`, of {clips} clips (`small.py`; judge.py's cells of "
            f"{base['model']} {base['sha256'][:12]} and {small['model']} {small['sha256'][:12]}); in brackets 95 % of {intervals.DRAWS} "
            "draws of the speakers.\n\n" + rows(["set", "depth", base["model"], small["model"], "relative change, %"], lines))


def main():
    ap = options(__doc__.split("\n")[0], 130)
    ap.add_argument("--base", default=BUILT_IN)
    ap.add_argument("--checkpoint", help="of its network; RUN/train/last.pt")
    ap.add_argument("--run", required=True, help="the folder of recipe.py: its features, its training for the card")
    a = ap.parse_args()
    steps = Steps(a.work, file_facts(a.base)[3])
    network = a.checkpoint or os.path.join(a.run, "train/last.pt")
    decoder, out = os.path.join(steps.folder, "decoder.npz"), OUT + ".safetensors"
    lib = ("--lib", a.lib) if a.lib else ()
    steps.once("decoder", "decoder.py", "--features", os.path.join(a.run, "features"), "--checkpoint", network, "--room", ROOM,
               "--out", decoder, *lib)
    make(a.base, network, decoder, out)
    common = ("--speech", a.speech, "--jobs", a.jobs, *lib)
    told = []
    for name, model in (("base", a.base), ("small", out)):
        judged = os.path.join(steps.folder, name)
        steps.once(f"judge-{name}", "judge.py", "--model", model, "--out", judged, "--depths", *DEPTHS, "--chunks", 16,
                   "--conditions", "clean", "--precisions", "fp32", "--limit", a.limit, *common)
        with open(judged + ".json") as f:
            told.append(json.load(f))
    steps.once("card", "evaluate.py", "--model", out, "--run", os.path.dirname(network), "--limit", CARD_SETS * a.limit, "--chunks", 8, 16,
               "--precisions", "fp32", "--break-depths", 12, "--card", OUT + ".md", "--json", OUT + ".json", *common)
    with open(os.path.join(steps.folder, "small.md")) as f:
        insert(OUT + ".md", "judge.py", f.read().strip())
    heading = f"## Beside {told[0]['model']}"
    with open(OUT + ".md") as f:
        card = f.read().split("\n" + heading)[0].rstrip()
    card = re.sub(r"## Words by example\n.*?<!-- words.py end -->\n\n", "", card, flags=re.S)     # are not heard again
    with open(OUT + ".md", "w") as f:
        f.write(f"{card}\n\n{heading}\n\n{beside(*told)}\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A model file into the house, with all that is derived from its weights, by one command.

    ship.py --model /tmp/shoal-run/shoal-base.safetensors --run /tmp/shoal-run/train \\
            --unheard /tmp/shoal-run/unheard --words /tmp/shoal-run/words-* --work /tmp/ship

Copies it to ../models, then measures and writes what hangs on it: the card (errors, confusions, settled phones,
priors), what hurry and narrow products cost (docs/settling.md, docs/performance.md), one table of what it
is worth (in the card), whether full depth is the best (README.md), and compares C with PyTorch. A step that is done for these very weights is not done
again, so that an interrupted run goes on; NEWS and sentences that interpret figures remain for people.
"""

import argparse
import os
import shutil
import subprocess
import sys

from evaluate import BUILT_IN, file_facts
from report import insert

HERE = os.path.dirname(os.path.abspath(__file__))
DOCS = os.path.join(HERE, "../docs")
CARD, TOLD = (os.path.splitext(BUILT_IN)[0] + end for end in (".md", ".json"))


class Steps:
    """Steps by name, each once for one model file."""

    def __init__(self, folder, sha):
        self.folder = os.path.join(folder, sha[:12])
        os.makedirs(self.folder, exist_ok=True)

    def once(self, name, script, *args):
        done = os.path.join(self.folder, name)
        if os.path.exists(done):
            return
        print(f"== {name}: {script} {' '.join(map(str, args))}", flush=True)
        subprocess.run([sys.executable, os.path.join(HERE, script), *map(str, args)], check=True)
        open(done, "w").close()


def options(description, limit):
    """What all have that measure a model in steps."""
    ap = argparse.ArgumentParser(description=description)
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--work", required=True, help="where it is kept what is done")
    ap.add_argument("--limit", type=int, default=limit, help="clips of a set that judge.py hears")
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--lib")
    return ap


def judged(steps, a, common):
    """The table of judge.py at the end of the card."""
    out = os.path.join(steps.folder, "judged")
    steps.once("judge", "judge.py", *common, "--out", out, "--depths", 3, 6, 12, "--chunks", 4, 16, "--limit", a.limit,
               "--jobs", a.jobs, *(("--apart", a.apart) if a.apart else ()))
    with open(out + ".md") as f:
        insert(CARD, "judge.py", f.read().strip())


def main():
    ap = options(__doc__.split("\n")[0], 200)
    ap.add_argument("--model", required=True)
    ap.add_argument("--run", required=True, help="folder of its run, for the card")
    ap.add_argument("--unheard", required=True, help="synth.py --unheard")
    ap.add_argument("--apart", help="voices.py --only")
    ap.add_argument("--words", nargs="*", default=[], help="synth.py and voices.py with --each words.txt")
    a = ap.parse_args()
    if os.path.abspath(a.model) != os.path.abspath(BUILT_IN):
        shutil.copyfile(a.model, BUILT_IN)
    steps = Steps(a.work, file_facts(BUILT_IN)[3])
    common = ("--model", BUILT_IN, "--speech", a.speech, *(("--lib", a.lib) if a.lib else ()))
    steps.once("card", "evaluate.py", *common, "--run", a.run, "--also", a.unheard, "--card", CARD, "--json", TOLD,
               "--jobs", a.jobs)
    steps.once("settled", "settle.py", *common, "--card", TOLD, "--every", 16)
    steps.once("settling", "settle.py", *common, "--every", 2, "--into", os.path.join(DOCS, "settling.md"))
    for split, every in (("devcv", 1), ("dev", 6)):
        steps.once(f"narrow-{split}", "narrow.py", *common, "--split", split, "--every", every, "--into",
                   os.path.join(DOCS, "performance.md"))
    judged(steps, a, common)
    if a.words:
        steps.once("words", "words.py", *common, "--clips", *a.words, "--card", CARD)
    steps.once("paired", "paired.py", *common, "--jobs", a.jobs, "--into", os.path.join(HERE, "README.md"))
    steps.once("verify", "verify.py", *common, "--checkpoint", BUILT_IN)


if __name__ == "__main__":
    main()

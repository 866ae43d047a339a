#!/usr/bin/env python3
"""All of it in one command: recordings -> features -> training -> decoder -> model file -> its card.

    recipe.py --run /tmp/shoal-run                              # as shoal-base
    recipe.py --run /tmp/libri-run --librispeech /data/LibriSpeech [--alignments TEXTGRIDS|CTM] --steps 50000

Runs the scripts of this folder one after the other, each into a folder below --run. What is there is
not made again and training goes on from its checkpoint, so an interrupted run is started again with
the same command. Needs the engine built (../bootstrap build).
"""

import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = os.path.join(HERE, "words.txt")
# of train.py, but for when the sequence loss begins
TRAINING = ("--norms", 12, "--deep", 0.4, "--tail", 0.95, "--exit-from", 3, "--exit-power", 0.5, "--warp", 0.12, "--masks", 1.3,
            "--maps", 0.3, "--distill", 0.5, "--whole", 0.5, "--crf-weight", 1.0)


def script(name, *args):
    print(f"== {name} {' '.join(map(str, args))}", flush=True)
    subprocess.run([sys.executable, os.path.join(HERE, name), *map(str, args)], check=True)


def once(made, name, *args):
    """Unless what it makes last is there. Scripts write that file when all else is done."""
    if not os.path.exists(made):
        script(name, *args)


def voices(a, at):
    """Folders of open neural voices to train on; beside them `apart`, to judge by. voices.py goes on by itself."""
    home, made = at("voices"), []
    common = "--home", home, "--speech", a.speech
    once(os.path.join(home, "package", "LICENSE"), "voices.py", "setup", "--home", home)
    for seed, (kind, hours) in enumerate((("kokoro", a.kokoro), ("hibari", a.hibari)), a.seed):
        if hours:
            made.append(at(kind))
            script("voices.py", kind, *common, "--hours", hours, "--seed", seed, "--out", made[-1])
    script("voices.py", "kokoro", *common, "--only", "--hours", 0.3, "--seed", 99, "--out", at("apart"))
    script("voices.py", "kokoro", *common, "--only", "--each", WORDS, "--seed", 9, "--out", at("words-kokoro"))
    return made


def recordings(a, at):
    """The options of prepare.py that name the recordings; (those options, folder to be judged on)."""
    if a.librispeech:
        folder = at("recordings")
        once(os.path.join(folder, "align.tsv"), "librispeech.py", "--corpus", a.librispeech, "--out", folder,
             "--jobs", a.jobs, *(("--alignments", a.alignments) if a.alignments else ()))
        return ("--speech", folder, *(("--more", *a.more) if a.more else ())), folder
    for name, seed, what in ("unheard", 2, ("--hours", 0.3)), ("words-espeak", 9, ("--each", WORDS)):
        once(os.path.join(at(name), "align.tsv"), "synth.py", "--out", at(name), "--speech", a.speech, "--unheard", *what,
             "--seed", seed, "--jobs", a.jobs)
    return ("--speech", a.speech, "--more", *voices(a, at), *a.more), a.speech


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--run", required=True, help="folder for everything that is made")
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--more", nargs="*", default=[], help="further folders of recordings")
    ap.add_argument("--librispeech", help="the folder LibriSpeech, in the place of --speech")
    ap.add_argument("--alignments", help="of LibriSpeech: folder of TextGrids, or a CTM file")
    ap.add_argument("--kokoro", type=float, default=10.0, help="hours of its voices (0.5 h of wall time an hour)")
    ap.add_argument("--hibari", type=float, default=5.0)
    ap.add_argument("--init", help="train.py's: weights to start from")
    ap.add_argument("--pretrain", type=int, default=0, help="steps of pretrain.py before")
    ap.add_argument("--steps", type=int, default=15000)
    ap.add_argument("--seconds", type=float, default=100.0, help="audio a step")
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--hold-out", nargs="*", default=[], help="corpora left out of training")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--name", default="shoal-base")
    ap.add_argument("--limit", type=int, default=0, help="judge on about this many clips; 0: all")
    ap.add_argument("--decoder-limit", type=int, default=130, help="choose its scales on about so many clips of a set")
    ap.add_argument("--lib", help="libshoal.so")
    a = ap.parse_args()

    def at(*names):
        return os.path.join(a.run, *names)

    os.makedirs(a.run, exist_ok=True)
    sources, judged = recordings(a, at)
    features, lib = at("features"), ("--lib", a.lib) if a.lib else ()
    once(os.path.join(features, "index.json"), "prepare.py", *sources, "--out", features, "--jobs", a.jobs,
         "--seed", a.seed)
    once(os.path.join(features, "misfits.txt"), "misfits.py", "--features", features, "--threads", a.threads,
         "--model", a.init or os.path.join(HERE, "../models/shoal-base.safetensors"))
    held = ("--hold-out", *a.hold_out)
    common = ("--features", features, "--seconds", a.seconds, "--seed", a.seed, "--threads", a.threads,
              "--lr", a.lr, *held)
    first = ("--init", a.init) if a.init else ()
    if a.pretrain:
        script("pretrain.py", "--out", at("pre"), "--steps", a.pretrain, *common)
        first = "--init", at("pre", "last.pt")
    script("train.py", "--out", at("train"), "--steps", a.steps, *TRAINING, "--crf-from", a.steps // 3,
           "--eval-every", max(1, a.steps // 10), *common, *first)
    last, model = at("train", "last.pt"), at(a.name + ".safetensors")
    script("decoder.py", "--features", features, "--checkpoint", last, "--out", at("decoder.npz"),
           "--limit", a.decoder_limit, *held, *lib)
    script("export.py", "--checkpoint", last, "--decoder", at("decoder.npz"), "--name", a.name, "--out", model)
    script("smoothing.py", "--model", model, "--out", model, "--speech", judged, "--limit", a.limit or 200, *lib)
    also = ("--also", at("unheard"), at("apart")) if not a.librispeech else ()
    script("evaluate.py", "--model", model, "--speech", judged, "--run", at("train"), "--card", at(a.name + ".md"),
           "--json", at(a.name + ".json"), "--jobs", a.jobs, "--limit", a.limit, *also, *lib)
    if not a.librispeech:
        script("judge.py", "--model", model, "--speech", judged, "--apart", at("apart"), "--out", at("judged"), "--jobs",
               a.jobs, "--limit", a.limit, *lib)
        script("words.py", "--model", model, "--speech", judged, "--clips", at("words-kokoro"), at("words-espeak"),
               "--card", at(a.name + ".md"), *lib)


if __name__ == "__main__":
    main()

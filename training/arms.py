"""Models that compete at equal budget: train, decode, judge each in a folder of its own.

What claim.py and ablation.py share. An arm is a line of train.py's options; all other options are
the same for all arms of a table. Whatever an arm's folder already holds is not done again.
"""

import json
import os
from dataclasses import dataclass

from breakdown import labelled
from corpus import dev_clips
from evaluate import file_facts, measure
from model import Config
from recipe import script
from report import keep

HERE = os.path.dirname(os.path.abspath(__file__))
CHUNK = 16              # frames of 20 ms


@dataclass
class Arm:
    options: tuple                      # of train.py
    layers: int = 12
    decode_depth: int = 6               # at which decoder.py chooses the scales
    before: tuple = ()                  # options of pretrain.py, if it comes first


def summary(folder):
    try:
        with open(os.path.join(folder, "summary.json")) as f:
            return json.load(f)
    except OSError:
        return {"steps": 0, "seconds": 0.0}


def model_file(folder):
    return os.path.join(folder, "model.safetensors")


def file_name(path):
    """For a table: a model file's name and the start of its hash."""
    return f"{os.path.basename(path)}, SHA-256 {file_facts(path)[3][:12]}"


def train(folder, arm, steps, common):
    """To `steps` steps; an interrupted arm goes on from its checkpoint."""
    if summary(folder)["steps"] >= steps:
        return
    first = ()
    if arm.before:
        script("pretrain.py", "--out", folder + "-pre", *arm.before)
        first = "--init", os.path.join(folder + "-pre", "last.pt")
    print(f"== {os.path.basename(folder)}: training", flush=True)
    script("train.py", "--out", folder, "--steps", steps, "--eval-every", steps, *common, *first, *arm.options)


def judge(folder, arm, features, sets, lib, jobs):
    """Decoder, export, error rates through the C engine; kept in the arm's folder.

    sets: {name: [(path, alignment)]} -> dict(parameters, per={set: {depth: PER}}, accuracy=...).
    """
    model, done, last, tables = model_file(folder), *(os.path.join(folder, n)
                                                      for n in ("judged.json", "last.pt", "decoder.npz"))
    key = dict(steps=summary(folder)["steps"], clips={n: len(c) for n, c in sets.items()})
    if os.path.exists(done):
        with open(done) as f:
            kept = json.load(f)
        if kept["key"] == key:
            return kept
    print(f"== {os.path.basename(folder)}: decoder and error rates", flush=True)
    script("decoder.py", "--features", features, "--checkpoint", last, "--out", tables, "--limit", 100,
           "--depths", arm.decode_depth, "--hold-out", *summary(folder)["hold_out"], *(("--lib", lib) if lib else ()))
    script("export.py", "--checkpoint", last, "--decoder", tables, "--name", os.path.basename(folder), "--out", model)
    c = Config()
    engine = (model, lib, c.dim, c.classes, "auto", "fp32")
    heard = {n: measure(engine, clips, CHUNK, arm.layers, jobs) for n, clips in sets.items()}
    result = dict(key=key, parameters=file_facts(model)[1],
                  per={n: {str(d): v[1] for d, v in r.items()} for n, r in heard.items()},
                  accuracy={n: {str(d): v[2] for d, v in r.items()} for n, r in heard.items()})
    with open(done, "w") as f:
        json.dump(result, f)
    return result


def standard_options(ap):
    """What every comparison lets one choose."""
    ap.add_argument("--out", required=True, help="folder of the arms' runs")
    ap.add_argument("--steps", type=int, default=1500)
    ap.add_argument("--seconds", type=float, default=100.0, help="audio a step")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--tail", type=float, default=0.8, help="share of the steps in which it decays")
    ap.add_argument("--threads", type=int, default=1, help="of training; times are taken with one")
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--hold-out", default="vctk-p239", help="corpus that no arm hears")
    ap.add_argument("--limit", type=int, default=400, help="development clips; 0: all")
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--lib", help="libshoal.so")
    ap.add_argument("--only", nargs="*", help="arms to train now")
    ap.add_argument("--docs", default=os.path.join(HERE, "../docs"), help="folder of the tables")


def common_options(a):
    """Of train.py and pretrain.py, for every arm."""
    return ("--features", a.features, "--seconds", a.seconds, "--seed", a.seed, "--threads", a.threads,
            "--tail", a.tail)


def judged_sets(a):
    """What arms are judged on, for judge()."""
    return {"dev": dev_clips(a.speech, a.limit),
            "held out": [c[:2] for c in labelled(a.speech, lambda r: r["corpus"] == a.hold_out)][::2]}


def publish(a, name, result, text):
    """<docs>/<name>.json and .md"""
    keep(os.path.join(a.docs, name + ".json"), result)
    with open(os.path.join(a.docs, name + ".md"), "w") as f:
        f.write(text)


def chosen(a, arms):
    return [n for n in arms if not a.only or n in a.only]

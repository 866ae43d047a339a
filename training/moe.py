#!/usr/bin/env python3
"""Shared sparsely-gated experts (arXiv 2209.08326) taken apart on our data: each ingredient by itself, at equal steps.

    moe.py --features RUN/features --out RUN/experts --teacher RUN/distill/teacher/last.pt --into ../docs/research.md

Goes on where it stopped; --table: of what has been trained so far. Twelve layers at 20 ms, if not said otherwise:

    dense-12            each its own block and norms
    dense-4, dense-narrow       as many weights as the experts: four such layers; twelve of half the dimensions
    shared-12           two blocks, one for six layers, each with its norms
    experts             the same; in each block four experts, of which a frame goes through one, and a router
    private-routers     the same, with a router for each layer
    private-norms       the same, with norms for each layer: the paper's
    distilled           the same, which learns besides what leaves the last layer of distill.py's teacher
    1x0 .. 3x8          as private-norms with so many blocks, and so many experts in each; 0: without
    2x0-distilled       as `distilled`, without experts
    ...-x8              trained on to eight times the steps, the rate starting anew

sparse.py has their losses and the training. Arms of a seed hear the same batches. All are model files in 16 bits that the C engine
streams, 320 ms a chunk: PER with the shipped decoder, frames right by the own head, what `shoald --explain` counts, streams a core; C's
routes beside PyTorch's (experts.py), and how evenly experts are used (experts_use.py).

--model-out: a folder for some arms of the first seed as served, experts-ARM.safetensors (compare.py).
"""

import argparse
import os
import shutil
import sys

import numpy as np
import torch

import arms
import distill
import experts
import experts_use
import frozen
import intervals
from capi import Engine
from crowd import explained, whole
from data import Features
from export import load_model
from mimic import cost_table
from report import RESULTS, rows, wrap
from model import Encoder
from sparse import (ARMS, BEFORE, BEST, CONTROL, DENSE, DISTILLED, EXPERTS, GRID, GROUPS, LADDER, LONGER, SHARED, TAUGHT, config_of, done,
                    encoder_of, folder_of, longer, trained)
from students import Teacher, summary

REPEATED = [n for n in (*LADDER, CONTROL, TAUGHT) if n not in ("dense-4", "dense-narrow")]
EQUAL = ("dense-4", "dense-narrow")
SERVED = tuple(map(longer, (DENSE, CONTROL, BEST, DISTILLED)))
SMALL, WITHIN, SHARE = 2, 3, 0.35       # percent that one seed cannot tell; percent of the errors; of the weights
STEPS = (("Experts help a stack of two shared blocks", "experts", SHARED),
         ("Routers of each layer's own help", "private-routers", "experts"), ("Norms of each layer's own help", BEST, "private-routers"),
         ("Distillation helps", DISTILLED, BEST),
         ("Experts help where layers have norms of their own", BEST, CONTROL), ("Experts help where there is a teacher", DISTILLED, TAUGHT),
         *(("Experts help, trained longer", longer(one), longer(other)) for one, other in ((BEST, CONTROL), (DISTILLED, TAUGHT))))


def plan(a):
    """[(seed, arm)], what matters most first."""
    first, *others = a.seeds
    all_ = [*((first, n) for n in ARMS), *((s, n) for s in others for n in REPEATED), *((s, n) for s in others for n in EQUAL)]
    return [(s, n) for s, n in all_ if not a.only or n in a.only]


def model_files(a, like):
    """{name: {seed: model file}} of all that were trained to the end"""
    out = {}
    for name, arm in ARMS.items():
        for seed in a.seeds:
            if done(a, name, seed):
                folder = folder_of(a, name, seed)
                out.setdefault(name, {})[seed] = distill.written(a, f"{name}-{seed}", os.path.join(folder, "last.pt"),
                                                                 lambda: encoder_of(folder, arm, a.dim, like))
    return out


# ---- what they are worth ----------------------------------------------------------------------

def judged(a, path, lists, depth):
    """{"PER": [speakers, (phones, edits)], "own": [speakers, (frames of speech, of them right)]} of a model file."""
    heard = frozen.Frozen(a.scratch, path, lists, lambda: Engine(path, a.lib), depth=depth)["judge"]
    counts = frozen.by_speaker(heard["counts"], lists["judge"])
    return {"PER": counts[:, :2].tolist(), "own": counts[:, 2:].tolist()}


def size(a, name, path):
    encoder = Encoder(config_of(ARMS[name], a.dim))
    layers = experts.layer_weights(encoder)
    flops, memory = whole(explained(a.shoald, path)["base"])
    return dict(layers=layers, parameters=layers + sum(p.numel() for p in encoder.subsample.parameters()), mflops=flops * 50 / 1e6,
                bytes_a_stream=memory, megabytes=os.path.getsize(path) / 1e6)


def used(a, path):
    """Of each layer: the share of the frames that go through its busiest expert; what an expert tells of the phone, bits."""
    def make():
        counts = np.array(experts_use.use(argparse.Namespace(model=path, speech=a.speech, limit=a.use_clips, apart=[]))["counts"], float)
        share = counts.sum(1) / counts.sum((1, 2))[:, None]
        return dict(busiest=share.max(1), tells=np.array([experts_use.told(c) for c in counts]), unused=(share == 0).sum(1))
    return {k: v.tolist() for k, v in frozen.kept(a.scratch, "experts-used", [frozen.sha_of(path), a.use_clips], make).items()}


def routes(a, path):
    """C beside PyTorch on a minute of speech."""
    at = argparse.Namespace(model=path, lib=a.lib, speech=a.speech)
    found = frozen.kept(a.scratch, "experts-routes", [frozen.sha_of(path)], lambda: {k: np.array(v) for k, v in experts.routes(at).items()})
    return {k: v.item() for k, v in found.items()}


def facts(a, name, seeds, lists):
    first = seeds[min(seeds)]
    out = dict(**size(a, name, first), **(used(a, first) if ARMS[name].experts else {}), seeds={})
    for seed, path in seeds.items():
        run = summary(folder_of(a, name, seed))
        read = judged(a, path, lists, ARMS[name].depth)
        out["seeds"][str(seed)] = dict(read=read, **{k: run[k] for k in ("steps", "cpu_seconds", "loss")})
        print(name, seed, {k: round(intervals.share(np.array(v))[0], 1) for k, v in read.items()}, flush=True)
    return out


def speeds(a, files):
    """{name: streams a core} of the first seed of each, all in turn."""
    engines = {n: (Engine(seeds[min(seeds)], a.lib), ARMS[n].depth) for n, seeds in files.items()}
    found = cost_table(engines, a.rounds)
    for engine, _ in engines.values():
        engine.close()
    return found


# ---- the document -----------------------------------------------------------------------------

def held(gap, each, sign=-1):
    """Whether errors fall (sign -1), by the interval over speakers and at every seed; None where they disagree or one seed says little."""
    if len(each) < 2 and abs(gap[0]) < SMALL:
        return None
    signs = {distill.outside(gap), *(int(np.sign(x)) for x in each)}
    return None if len(signs) > 1 or None in signs else signs == {sign}


def change(r, one, other):
    """(interval of the relative errors, the same by seed, its text)"""
    gap, each = distill.relative(r, one, other), distill.by_seed(r, one, other)
    frames = distill.points(r, one, other, "own")
    return gap, each, (f"{intervals.told(gap, '+.1f')} % of the errors, by seed {', '.join(f'{x:+.1f}' for x in each)} "
                       f"(frames right {intervals.told(frames, '+.1f')} points)")


def ratio(r, name, what):
    return r["models"][name][what] / r["models"][DENSE][what]


def of_steps(r):
    for text, one, other in STEPS:
        if {one, other} <= r["models"].keys():
            gap, each, said = change(r, one, other)
            yield distill.told(f"{text} (`{one}` beside `{other}`)", held(gap, each), said)


def of_dense(r):
    for n in (n for n in (BEST, DISTILLED, GRID[1, 8], *map(longer, (BEST, DISTILLED, CONTROL, TAUGHT))) if n in r["models"]):
        gap, each, said = change(r, n, longer(DENSE) if n in BEFORE else DENSE)
        small, near = ratio(r, n, "layers") <= SHARE, distill.within(gap, each if len(each) > 1 else (), WITHIN)
        claim = f"At most {SHARE} of the weights of `{DENSE}` and within {WITHIN} % of its errors (`{n}`)"
        yield distill.told(claim, small and near, f"{ratio(r, n, 'layers'):.3f} of the layers' ({ratio(r, n, 'parameters'):.3f} with "
                           f"the subsampling), {said}")
    for best, n in ((longer(BEST) if n in BEFORE else BEST, n) for n in (*EQUAL, longer("dense-4")) if n in r["models"]):
        gap, each, said = change(r, best, n)
        weights = r["models"][n]["layers"] / r["models"][best]["layers"]
        yield distill.told(f"Better than `{n}`, of {weights:.2f} times the weights (`{best}`)", held(gap, each), said)


def of_budget(r):
    """Whether what separates arms changes with training."""
    for one, other in ((BEST, DENSE), (DISTILLED, DENSE), (BEST, CONTROL), (DISTILLED, TAUGHT), (DISTILLED, BEST)):
        pairs = [p for p in ((one, other), (longer(one), longer(other))) if {*p} <= r["models"].keys()]
        if len(pairs) > 1:
            said = "; ".join(f"after {r['steps'] * by} steps {intervals.told(distill.relative(r, *p), '+.1f')} %"
                             for by, p in zip((1, LONGER), pairs))
            yield f"- *Is it the budget?* Errors of `{one}` above those of `{other}`: {said} (the longer ones of one seed)."


def of_cost(r):
    for n in (n for n in (BEST, GRID[2, 8]) if n in r["models"]):
        more = 100 * (r["models"][n]["mflops"] / r["models"][SHARED]["mflops"] - 1)
        core = 100 * (r["models"][n]["streams"] / r["models"][SHARED]["streams"] - 1)
        yield distill.told(f"No more computation than `{SHARED}` (`{n}`)", more <= 1, f"{more:+.2f} % of the arithmetic, the routers', and as "
                           f"many bytes a stream ({r['models'][n]['bytes_a_stream']:,}); {core:+.0f} % streams a core, 32 side by side")


def of_routes(r):
    return [f"- *C and PyTorch take the same ways* (`{r['routes']['arm']}`). {experts.routes_text(r['routes'])}"]


def main_table(r):
    lines = []
    for n in (n for n in (*LADDER, CONTROL, TAUGHT, *BEFORE) if n in r["models"]):
        m = r["models"][n]
        cpu = np.mean([s["cpu_seconds"] / s["steps"] for s in m["seeds"].values()])
        busiest = f"{100 * np.mean(m['busiest']):.0f} ({100 * max(m['busiest']):.0f})" if "busiest" in m else ""
        lines.append([f"`{n}`", f"{m['parameters']:,}", f"{ratio(r, n, 'parameters'):.3f} ({ratio(r, n, 'layers'):.3f})", len(m["seeds"]),
                      *(distill.over_seeds(r, n, k) for k in ("PER", "own")), f"{m['mflops']:.1f}", f"{m['streams']:.0f}",
                      f"{m['bytes_a_stream']:,}", f"{cpu:.2f}", busiest])
    return rows(["arm", "weights of the encoder", "of `dense-12`'s (of the layers')", "seeds", "PER, %", "frames right by its own head, %",
                 "MFLOP/s of audio", "streams a core", "bytes a stream", "CPU seconds a step",
                 "frames of the busiest expert, %, mean of the layers (most)"], lines)


def grid_table(r):
    first, lines = str(r["seeds"][0]), []
    for g in sorted(GROUPS):
        cells = []
        for e in EXPERTS:
            n = GRID[g, e]
            seeds = r["models"].get(n, {}).get("seeds", {})
            cells.append(f"{distill.values(r, n, 'PER')[first]:.1f} ({ratio(r, n, 'layers'):.2f}; {r['models'][n]['mflops']:.1f})"
                         if first in seeds else "")
        lines.append([g, *cells])
    return rows(["blocks", "no experts", *(f"{e} experts" for e in EXPERTS[1:])], lines)


def budget(r):
    t, minutes = r["teacher"], r["steps"] * r["seconds"] / 60
    cpu = {(n, seed): s["cpu_seconds"] for n, m in r["models"].items() for seed, s in m["seeds"].items()}
    cpu = sum(v - cpu.get((BEFORE.get(n), seed), 0) for (n, seed), v in cpu.items())
    return wrap(f"`{r['command']}`, {r['date']}. A tiny budget: each arm has had {r['steps']} steps of {r['seconds']:.0f} s of audio "
                f"({minutes:.0f} minutes of speech; {cpu / 60:.0f} CPU minutes for all of them), {r['dim']} dimensions, one rate for all (`-x{LONGER}`: so many times the steps); "
                f"the teacher, an unshared stack, {t['steps']} of about {t['audio_seconds']:.0f} s. {r['clips']} clips of dev and devcv judge. "
                "Where there are several seeds the table has their mean and range; else, and in what follows the tables, where the seeds that "
                "two arms have in common are taken together, 95 % of 2,000 draws of the speakers. A claim holds where that interval and every "
                f"seed say so; a single one is not asked about less than {SMALL} %.")


def document(r):
    grid = wrap(f"Blocks and experts in each, with routers and norms of each layer's own, seed {r['seeds'][0]}: PER, % (share of `{DENSE}`'s "
                "layer weights; MFLOP/s of audio).")
    claims = "\n".join((*of_steps(r), *of_dense(r), *of_budget(r), *of_cost(r), *of_routes(r)))
    return "\n\n".join((budget(r), main_table(r), grid, grid_table(r), "![](moe.png)", claims))


def picture(r, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots(figsize=(7.5, 4.6))
    for i, n in enumerate(n for n in ARMS if n in r["models"]):
        v, x = list(distill.values(r, n, "PER").values()), ratio(r, n, "layers")
        colour = distill.COLOURS[i % len(distill.COLOURS)] if n in LADDER else "#999999"
        axis.vlines(x, min(v), max(v), color=colour)
        axis.scatter([x], [np.mean(v)], color=colour, s=22)
        axis.annotate(n, (x, np.mean(v)), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axis.set_xscale("log")
    axis.set_xticks((0.1, 0.2, 0.35, 0.5, 1), ("0.1", "0.2", "0.35", "0.5", "1"))
    axis.minorticks_off()
    axis.set_xlabel(f"weights of the layers, of {DENSE}'s")
    axis.set_ylabel("PER, %")
    figure.tight_layout()
    figure.savefig(path, dpi=80, metadata={"Software": None})


# ---- all of it --------------------------------------------------------------------------------

def arguments():
    ap = frozen.options(__doc__)
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--out", required=True, help="folder of the runs")
    ap.add_argument("--teacher", required=True, help="checkpoint of distill.py's")
    ap.add_argument("--seeds", type=int, nargs="*", default=(1, 2, 3))
    ap.add_argument("--only", nargs="*", help="arms to train now")
    ap.add_argument("--steps", type=int, default=250)
    ap.add_argument("--seconds", type=float, default=20.0, help="audio a step")
    ap.add_argument("--dim", type=int, default=128)
    ap.add_argument("--lr", type=float, default=4e-3, help="so few steps want long ones")
    ap.add_argument("--tail", type=float, default=0.8, help="share of the steps in which it decays")
    ap.add_argument("--rounds", type=int, default=3, help="of the clock")
    ap.add_argument("--use-clips", type=int, default=48, help="a quarter of about this many of each set say who uses which expert")
    ap.add_argument("--table", action="store_true", help="of what has been trained so far")
    ap.add_argument("--shoald", default=os.path.join(arms.HERE, "../build/daemon/shoald"))
    ap.add_argument("--model-out", help="folder")
    ap.add_argument("--json", default=os.path.join(RESULTS, "moe.json"))
    ap.add_argument("--into", help="a document with markers; the picture goes beside it")
    return ap.parse_args()


def found(a, files):
    lists = frozen.clip_lists(a.speech, a.limit)
    models = {n: facts(a, n, seeds, lists) for n, seeds in files.items()}
    for n, streams in speeds(a, files).items():
        models[n]["streams"] = streams
    seeds = sorted({s for of in files.values() for s in of})
    return dict(**distill.told_of_run(a, "moe.py", seeds), clips=len(lists["judge"]), models=models,
                routes=dict(arm=BEST, **routes(a, files[BEST][min(files[BEST])])))


def main():
    a = arguments()
    torch.set_num_threads(1)
    if not a.table:
        trained(a, lambda: Features(a.features), Teacher(a.teacher), plan(a))
    files = model_files(a, load_model(a.teacher))
    for name in SERVED if a.model_out else ():
        if name in files:
            os.makedirs(a.model_out, exist_ok=True)
            shutil.copyfile(files[name][min(files[name])], os.path.join(a.model_out, f"experts-{name}.safetensors"))
    r = found(a, files)
    distill.tell(a, "moe.py", r, document(r), picture)


if __name__ == "__main__":
    main()

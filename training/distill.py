#!/usr/bin/env python3
"""Attention maps reused and masking distillation (arXiv 2305.11685) on our data: teacher, students, what each is worth.

    distill.py --features RUN/features --out RUN/distill --into ../docs/research.md        # goes on where it stopped

The teacher is a supervised Conformer of twelve unshared blocks (train.py, every step at full depth). Students are narrower, of equally many
parameters all; students.py has their losses. Arms of a seed hear the same batches, in turn:

    both            a map for two layers, the masked and the unmasked loss: the paper's
    masked, unmasked, plain     the same with one of the losses, or with none of the masks
    no-reuse        every layer makes its map, narrower feed-forward modules
    uniform         those that would take a map weigh all that they see alike
    three-a-map     a map for three layers
    labels          the student of `both`, no teacher, the frames' labels instead
    both-x2, plain-x2, -x4      those two trained on to so many times the steps, their rate starting anew each time

and `random` is that student as it was before training. All are model files in 16 bits that
the C engine streams, 320 ms a chunk: linear probes of what leaves the last layer (frozen.py) of phones, words and speakers, and what the
student says itself: its last map to the teacher's dimensions goes before the teacher's head, so it recognises phones without having seen a label.

--teacher: another checkpoint, e.g. selfsup.py's: of one that learnt units the students say no phones, and probes alone judge (--name).

--model-out: a folder for the teacher and three students of the first seed as served (redundancy.py, convexity.py, compare.py).
"""

import datetime
import json
import os
import shutil
import sys

import numpy as np
import torch

import arms
import frozen
import intervals
from capi import Engine
from crowd import explained, whole
from data import Features
from evaluate import file_facts
from export import decoder_of, export, load_model
from report import RESULTS, insert, rows, wrap
from students import ARMS, BEFORE, BOTH, LONGER, LOSSES, Student, done, student_of, summary, taking, trained

TEACHER, RANDOM = "unshared", "random"
SERVED = {TEACHER: "unshared", BOTH: "reuse-distilled", "plain": "reuse-distilled-plain", "no-reuse": "reuse-distilled-none", "three-a-map": "reuse-distilled-three"}
READ = {"phones": "frames right by a linear probe", "own": "frames right by its own head", "PER": "PER", "words": "words by a probe",
        "speakers": "speakers by a probe"}
COLOURS = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000", "#999999", "#F0E442")      # Okabe and Ito


# ---- the models -------------------------------------------------------------------------------

def plan(a):
    """[(seed, arms to train together)]"""
    first = a.seeds[0]
    groups = [*((s, [n for n in ARMS if n not in BEFORE]) for s in a.seeds), *((first, of) for of in LONGER.values())]
    return [(s, [n for n in names if not a.only or n in a.only]) for s, names in groups]


def teach(a):
    """The teacher's checkpoint."""
    folder = os.path.join(a.out, "teacher")
    options = ("--dim", a.teacher_dim, "--blocks", 12, "--norms", 12, "--depth-law", "fixed", "--seconds", a.teacher_seconds, "--lr", a.teacher_lr, "--tail", a.tail,
               "--crf-from", 1000000, "--features", a.features, "--seed", a.seeds[0])
    arms.train(folder, arms.Arm(options), a.teacher_steps, ())
    return os.path.join(folder, "last.pt")


def untrained(a, teacher):
    torch.manual_seed(a.seeds[0] + 1)
    return Student(ARMS[BOTH], a.dim, a.ffn, teacher).served(teacher)


def written(a, name, source, make):
    """The model file of that name; anew if `source` is younger."""
    path = os.path.join(a.out, name + ".safetensors")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
        decoder = {k: v for k, v in decoder_of(a.model).items() if k.startswith("decoder.")}
        export(make(), name, path, decoder, "f16")
    return path


def model_files(a):
    """{name: {seed: model file}} of all that were trained to the end"""
    teacher, first = load_model(a.teacher), a.seeds[0]
    out = {TEACHER: {first: written(a, TEACHER, a.teacher, lambda: teacher)},
           RANDOM: {first: written(a, RANDOM, a.teacher, lambda: untrained(a, teacher))}}
    for seed in a.seeds:
        for name, arm in ARMS.items():
            folder = os.path.join(a.out, f"{name}-{seed}")
            if done(a, name, seed):
                out.setdefault(name, {})[seed] = written(a, f"{name}-{seed}", os.path.join(folder, "last.pt"),
                                                         lambda: student_of(folder, arm, a, teacher))
    return {n: out[n] for n in (TEACHER, *ARMS, RANDOM) if n in out}


# ---- what they are worth ----------------------------------------------------------------------

def judged(a, path, lists):
    """{of READ: [speakers, (asked, right)], of PER (phones, edits)} of a model file; kept in a.out."""
    def make():
        found = frozen.Frozen(a.scratch, path, lists, lambda: Engine(path, a.lib))
        counts = frozen.by_speaker(found["judge"]["counts"], lists["judge"])
        return {"PER": counts[:, :2], "own": counts[:, 2:], **{t: frozen.asked(t, frozen.probe(t, found), found) for t in frozen.TASKS}}
    key = [frozen.sha_of(path), {of: [c.path for c in clips] for of, clips in lists.items()}]
    return {k: v.tolist() for k, v in frozen.kept(a.scratch, "distilled", key, make).items()}


def size(a, name, path):
    """Parameters, and what a stream takes, as the engine counts; queries and keys of zero are none."""
    parameters, plan = file_facts(path)[1], next(iter(explained(a.shoald, path).values()))
    flops, memory = whole(plan)
    if name == "uniform":
        parameters -= len(taking(ARMS[name])) * 2 * (a.dim * a.dim + a.dim)
    return dict(parameters=parameters, megabytes=os.path.getsize(path) / 1e6, mflops=flops * 50 / 1e6, bytes_a_stream=memory)


def facts(a, name, seeds, lists):
    out = dict(**size(a, name, next(iter(seeds.values()))), seeds={})
    for seed, path in seeds.items():
        run = summary(os.path.join(a.out, f"{name}-{seed}")) if name in ARMS else {}
        out["seeds"][str(seed)] = dict(read=judged(a, path, lists), **{k: run.get(k) for k in ("steps", "cpu_seconds", "loss")})
        print(name, seed, {k: round(intervals.share(np.array(v))[0], 1) for k, v in out["seeds"][str(seed)]["read"].items()}, flush=True)
    return out


# ---- the document -----------------------------------------------------------------------------

def values(r, name, what):
    """Percent, of each seed."""
    return {s: 100 * np.sum(v["read"][what], 0)[1] / np.sum(v["read"][what], 0)[0] for s, v in r["models"][name]["seeds"].items()}


def over_seeds(r, name, what):
    """The mean and the range of the seeds; of one seed, what other speakers would make of it."""
    v = list(values(r, name, what).values())
    if len(v) > 1:
        return f"{np.mean(v):.1f} ({min(v):.1f} to {max(v):.1f})"
    return intervals.told(intervals.share(np.array(next(iter(r["models"][name]["seeds"].values()))["read"][what])))


def reads(r):
    """What is read off these students: those of a teacher that knows no phones say none."""
    return {k: v for k, v in READ.items() if r["phones"] or k not in ("own", "PER")}


def main_table(r):
    lines = []
    for n, m in r["models"].items():
        cpu = [s["cpu_seconds"] / s["steps"] for s in m["seeds"].values() if s["steps"]]
        lines.append([f"`{n}`", f"{m['parameters']:,}", len(m["seeds"]), *(over_seeds(r, n, k) for k in reads(r)),
                      f"{np.mean(cpu):.2f}" if cpu else "", f"{m['mflops']:.0f}", f"{m['bytes_a_stream']:,}"])
    return rows(["model", "parameters", "seeds", *(f"{v}, %" for v in reads(r).values()), "CPU seconds a step, without the teacher's",
                 "MFLOP/s of audio", "bytes a stream"], lines)


def beside(r, one, other, what):
    """Points that one is above another: (mean, [of each seed that both have])."""
    a, b = values(r, one, what), values(r, other, what)
    found = [a[s] - b[s] for s in a if s in b]
    return np.mean(found), found


def verdict(found, sign=1):
    """Of differences by seed."""
    if len(found) < 2:
        return "one seed cannot tell"
    return "better at every seed" if min(sign * x for x in found) > 0 else "worse at every seed" if max(sign * x for x in found) < 0 else "not told apart by the seeds"


def order_of(r, what):
    """Losses, the best first."""
    sign = -1 if what == "PER" else 1
    return sorted((n for n in LOSSES if n in r["models"]), key=lambda n: -sign * np.mean(list(values(r, n, what).values())))


def losses_table(r):
    lines = []
    for n in LOSSES[1:]:
        if n in r["models"]:
            lines.append([f"`{n}`", *(f"{np.mean(d):+.1f} ({', '.join(f'{x:+.1f}' for x in d)}): {verdict(d, -1 if k == 'PER' else 1)}"
                                      for k in reads(r) for d in [beside(r, BOTH, n, k)[1]])])
    return rows(["`both` above", *(f"{v}, points" for v in reads(r).values())], lines)


def pooled(r, one, other, what):
    """[speakers, (asked, right)] of each, the seeds that both have together"""
    a, b = (r["models"][n]["seeds"] for n in (one, other))
    both = [s for s in a if s in b]
    return [sum(np.array(m[s]["read"][what]) for s in both) for m in (a, b)]


def relative(r, one, other):
    """Percent that the errors of one are above another's, speakers drawn anew."""
    return tuple(x - 100 for x in intervals.share(np.concatenate(pooled(r, one, other, "PER"), 1)))


def by_seed(r, one, other):
    """The same of each seed that both have: the chance of training, which speakers' intervals do not hold."""
    a, b = values(r, one, "PER"), values(r, other, "PER")
    return [100 * (a[s] / b[s] - 1) for s in a if s in b]


def points(r, one, other, what="phones"):
    return intervals.apart(*pooled(r, one, other, what))


def told(claim, held, measured):
    """held: None where this cannot be told."""
    return f"- *{claim}* {'cannot be told here' if held is None else 'holds' if held else 'does not hold'}: {measured}."


def outside(interval):
    """1 above zero, -1 below, None where the interval has it."""
    return 1 if interval[1] > 0 else -1 if interval[2] < 0 else None


def within(interval, each, most):
    """Whether errors rise by no more than that; None where speakers or seeds disagree."""
    rises = [interval[1] > most, interval[2] > most, *(x > most for x in each)]
    return None if any(rises) and not all(rises) else not any(rises)


def of_losses(r):
    rank = ", ".join(f"`{n}` {np.mean(list(values(r, n, 'phones').values())):.1f}" for n in order_of(r, "phones"))
    per = "; by PER " + ", ".join(f"`{n}` {np.mean(list(values(r, n, 'PER').values())):.1f}" for n in order_of(r, "PER")) if r["phones"] else ""
    against = [beside(r, BOTH, n, "phones")[1] for n in LOSSES[1:]]
    held = None if len(r["seeds"]) < 2 else all(min(d) > 0 for d in against) or (False if any(max(d) < 0 for d in against) else None)
    return told("Both losses together are better than each alone and than none", held,
                f"the order, by frames right of a probe (mean of the seeds), is {rank}{per}")


def of_reuse(r):
    out, base = [], r["models"].get("no-reuse")
    for n, least in ((BOTH, 24), ("three-a-map", 32)):
        if base and n in r["models"]:
            lost, each, fewer = relative(r, n, "no-reuse"), by_seed(r, n, "no-reuse"), 100 * (1 - r["models"][n]["bytes_a_stream"] / base["bytes_a_stream"])
            layers = ARMS[n].maps
            out.append(told(f"A map for {layers} layers costs at most 1 % of the errors, at equal parameters", within(lost, each, 1),
                            f"{intervals.told(lost, '+.1f')} %, by seed {', '.join(f'{x:+.1f}' for x in each)} (frames by a probe: {intervals.told(points(r, n, 'no-reuse'), '+.1f')} points)"))
            out.append(told(f"... and saves {least} % of what a stream remembers", fewer >= least, f"{fewer:.1f} %"))
    return out


def of_controls(r):
    out = []
    if "uniform" in r["models"]:
        gap = points(r, BOTH, "uniform")
        out.append(told("A reused map is better than a uniform one", None if outside(gap) is None else outside(gap) > 0,
                        f"{intervals.told(gap, '+.1f')} points of a probe's frames, {intervals.told(relative(r, BOTH, 'uniform'), '+.1f')} % of the errors"))
    for n in (BOTH, "plain") if "labels" in r["models"] else ():
        gap, own = points(r, n, "labels"), points(r, n, "labels", "own")
        out.append(told(f"A teacher's layers teach more than labels do, in as many steps (`{n}`)", None if outside(gap) is None else outside(gap) > 0,
                        f"{intervals.told(gap, '+.1f')} points of a probe's frames, {intervals.told(own, '+.1f')} of the own head's, "
                        f"{intervals.told(relative(r, n, 'labels'), '+.1f')} % of the errors"))
    for n in (n for n in (BOTH, "plain", *LONGER[4]) if n in r["models"]):
        gap, shrunk = points(r, n, TEACHER), r["models"][n]["parameters"] / r["models"][TEACHER]["parameters"]
        out.append(told(f"A student of {100 * shrunk:.0f} % of the weights makes at most 1 % more errors than its teacher (`{n}`)",
                        within(relative(r, n, TEACHER), (), 1), f"{intervals.told(gap, '+.1f')} points of a probe's frames, {intervals.told(relative(r, n, TEACHER), '+.1f')} % of the errors"))
    return out


def of_steps(r):
    """Whether what separates `both` from `plain` shrinks with training."""
    gaps = {by: (relative(r, *of), points(r, *of)) for by, of in ((1, (BOTH, "plain")), *LONGER.items()) if all(n in r["models"] for n in of)}
    lines = [f"after {r['steps'] * by} steps {intervals.told(errors, '+.1f')} % ({intervals.told(frames, '+.1f')} points)"
             for by, of in gaps.items() for errors, frames in [of]]
    return [f"- *Is it the budget?* Errors of `{BOTH}` above those of `plain`, the longer ones of one seed (and frames right of a probe): {'; '.join(lines)}."]


def budget(r):
    t, minutes = r["teacher"], r["steps"] * r["seconds"] / 60
    cpu = {(n, seed): s["cpu_seconds"] or 0 for n, m in r["models"].items() for seed, s in m["seeds"].items()}
    cpu = sum(v - cpu.get((BEFORE.get(n), seed), 0) for (n, seed), v in cpu.items())
    return wrap(f"`{r['command']}`, {r['date']}. A tiny budget: the teacher has had {t['steps']} steps of about {t['audio_seconds']:.0f} s of audio "
                f"({t['seconds'] / 60:.0f} minutes of wall time on a shared core), each student {r['steps']} of {r['seconds']:.0f} s "
                f"({minutes:.0f} minutes of speech; {cpu / 60:.0f} CPU minutes for all of them, the teacher's answers apart). Seeds "
                f"{', '.join(map(str, r['seeds']))}; the table says how many an arm has. {r['clips']['learn']} clips teach the probes, "
                f"{r['clips']['judge']} of dev and devcv judge. Where there are several seeds: their mean and range; else, and in what follows the "
                "tables, where the seeds that two arms have in common are taken together, 95 % of 2,000 draws of the speakers.")


def document(r, image="distill.png"):
    claims = (of_steps, of_reuse, of_controls) if r["phones"] else ()
    return "\n\n".join((budget(r), main_table(r), f"![]({image})", losses_table(r), "\n".join([of_losses(r), *(line for of in claims for line in of(r))])))


def picture(r, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, len(reads(r)), figsize=(3.4 * len(reads(r)), 3.8))
    for axis, (what, title) in zip(axes, reads(r).items()):
        for i, n in enumerate(r["models"]):
            v = list(values(r, n, what).values())
            axis.scatter([i] * len(v), v, color=COLOURS[i % len(COLOURS)], s=16)
            axis.hlines(np.mean(v), i - 0.3, i + 0.3, color=COLOURS[i % len(COLOURS)])
        axis.set_xticks(range(len(r["models"])), r["models"], rotation=70, fontsize=8)
        axis.set_title(title + ", %", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=72, metadata={"Software": None})


# ---- all of it --------------------------------------------------------------------------------

def arguments():
    ap = frozen.options(__doc__)
    ap.add_argument("--name", default="", help="of another teacher than the supervised one: it has figures, a picture and markers of its own")
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--out", required=True, help="folder of the runs")
    ap.add_argument("--seeds", type=int, nargs="*", default=(1, 2, 3))
    ap.add_argument("--only", nargs="*", help="arms to train now")
    ap.add_argument("--steps", type=int, default=1000, help="of a student")
    ap.add_argument("--seconds", type=float, default=20.0, help="audio a step")
    ap.add_argument("--dim", type=int, default=64, help="of a student")
    ap.add_argument("--ffn", type=int, default=256, help="of `no-reuse`; the others are wider by what they save")
    ap.add_argument("--lr", type=float, default=4e-3, help="of a student: so few steps want long ones")
    ap.add_argument("--tail", type=float, default=0.8, help="share of the steps in which it decays")
    ap.add_argument("--teacher", help="checkpoint; else it is trained")
    ap.add_argument("--teacher-dim", type=int, default=128)
    ap.add_argument("--teacher-steps", type=int, default=2000)
    ap.add_argument("--teacher-lr", type=float, default=2e-3)
    ap.add_argument("--teacher-seconds", type=float, default=30.0)
    ap.add_argument("--clips", type=int, default=300, help="that probes learn from")
    ap.add_argument("--table", action="store_true", help="of what has been trained so far")
    ap.add_argument("--shoald", default=os.path.join(arms.HERE, "../build/daemon/shoald"))
    ap.add_argument("--model-out", help="folder")
    ap.add_argument("--json", help="default: training/results")
    ap.add_argument("--into", help="a document with markers; the picture goes beside it")
    a = ap.parse_args()
    a.json = a.json or os.path.join(RESULTS, frozen.own(a, "distill") + ".json")
    return a


def told_of_run(a, script, seeds):
    """What a table says of how its arms were made, the teacher included."""
    with open(os.path.join(os.path.dirname(a.teacher), "summary.json")) as f:
        run = json.load(f)
    teacher = {k: v for k, v in run.items() if k in ("steps", "audio_seconds", "seconds", "seed", "command")}
    command = f"training/{script} --steps {a.steps} --seconds {a.seconds:g} --seeds {' '.join(map(str, seeds))}"
    return dict(command=command, arguments=sys.argv[1:], date=str(datetime.date.today()), steps=a.steps, seconds=a.seconds, dim=a.dim,
                seeds=list(seeds), teacher=teacher, phones="units" not in run)


def tell(a, script, r, text, draw, name=""):
    """What was found, to --json and into the document, or as text; draw(r, path): its picture, beside the document; name: after the
    script's, in the markers and the picture's file."""
    with open(a.json, "w") as f:            # by speaker: many short lists
        f.write(json.dumps(r) + "\n")
    if a.into:
        draw(r, os.path.join(os.path.dirname(a.into), script.replace(".py", name and "-" + name) + ".png"))
        insert(a.into, f"{script} {name}".strip(), text)
    else:
        print(text)


def found(a, files):
    lists = frozen.clip_lists(a.speech, a.limit)
    lists["learn"] = frozen.spread(lists["learn"], a.clips)
    models = {n: facts(a, n, seeds, lists) for n, seeds in files.items()}
    return dict(**told_of_run(a, "distill.py", a.seeds), ffn=a.ffn, clips={of: len(c) for of, c in lists.items()}, models=models)


def main():
    a = arguments()
    torch.set_num_threads(1)
    a.teacher = a.teacher or teach(a)
    if not a.table:
        trained(a, lambda: Features(a.features), plan(a))
    files = model_files(a)
    for name in SERVED if a.model_out else ():
        if name in files:
            os.makedirs(a.model_out, exist_ok=True)
            shutil.copyfile(next(iter(files[name].values())), os.path.join(a.model_out, SERVED[name] + ".safetensors"))
    r = found(a, files)
    tell(a, "distill.py", r, document(r, frozen.own(a, "distill") + ".png"), picture, a.name)


if __name__ == "__main__":
    main()

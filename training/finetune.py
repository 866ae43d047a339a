#!/usr/bin/env python3
"""Convexity-based pruning to its end (arXiv 2408.11858): what is kept of a stack, trained on to name words and speakers.

    finetune.py --models ssl-unshared=RUN/unshared-12.safetensors .. --out RUN/finetune --into ../docs/research.md   # goes on where it stopped

For each model and task the layers above a depth are cut off, and what is left is trained whole. Rules that choose the depth:

    convexity   the maximum of the graph convexity of the task's classes, before any fine-tuning (convexity.py)
    influence   before the first layer from which on none moves what it reads by more than the mean layer does
    random      drawn for each seed
    full        all layers: what the others are held beside

Words: the mean over a word's frames; speakers: mean and standard deviation over a clip; then a linear layer, which starts as the
probe of the untrained features (frozen.py), so that `probe` is where the training began. Speech is that of frozen.py: words are
judged on speakers that nobody heard, speakers by other clips of the same. Streaming as served: chunks of all lengths in training,
320 ms when judged. Convexity is scored again on the full stack after its training.
"""

import datetime
import json
import os
import time
from dataclasses import replace

import numpy as np
import soundfile as sf
import torch
import torch.nn.functional as F

import distill
import frozen
import intervals
from capi import Engine
from convexity import by_influence, depth_of, scored
from crowd import depth_costs
from data import FLOOR_LOG, groups
from export import export, load_model
from frontend import log_mel
from model import Config, Encoder
from optim import MuonAdamW
from probe import regression
from redundancy import DEPTH, alike
from report import RESULTS, insert, keep, rows, wrap
from train import draw_context, keep_average, schedule

TASKS = ("words", "speakers")
RULES = ("convexity", "influence", "random", "full")
CHUNK, LEFT = 16, 64
LOSS_MOST = 1.0             # points below the full stack that count as a loss


def cases(task, clips, words):
    """[{frames, mel [frames, 80] with silence for the delay, spans [(first, end, class)] of the encoder's output, speaker}] of clips
    of which something is asked"""
    who, out, delay = frozen.speakers_of(clips), [], Config().delay
    for clip, speaker in zip(clips, who):
        mel = log_mel(sf.read(clip.path, dtype="float32")[0])
        mel = np.concatenate([mel[:len(mel) // 2 * 2], np.full((2 * delay, 80), FLOOR_LOG, np.float32)])
        frames = len(mel) // 2
        spans = [(delay, frames, speaker)] if task == "speakers" else \
            [(a // 2 + delay, max(a // 2 + 1, b // 2) + delay, words.index(w)) for w, a, b in clip.words if w in words]
        spans = [s for s in spans if s[1] <= frames]
        if spans:
            out.append(dict(frames=len(mel), mel=mel, spans=spans, speaker=speaker))
    return out


# ---- a stack that names -----------------------------------------------------------------------

def cut(model, depth):
    """An encoder of the first layers alone, what the last of them gives leaves."""
    c = model.config
    blocks, norms = (1 if n == 1 else depth for n in (c.blocks, c.norms))       # all share one, or each has its own
    out = Encoder(replace(c, depth=depth, blocks=blocks, norms=norms, exit_from=0))
    out.load_state_dict({k: v for k, v in model.state_dict().items() if k in out.state_dict()})
    return out


class Namer(torch.nn.Module):
    def __init__(self, encoder, task):
        super().__init__()
        self.encoder, self.task = encoder, task
        self.out = torch.nn.Linear(encoder.config.dim * (2 if task == "speakers" else 1), frozen.CLASSES[task])

    def pooled(self, mel, spans, context):
        """mel [B, F, 80], spans [(clip, first, end)] -> [spans, D or 2 D]"""
        depth = self.encoder.config.depth
        x = self.encoder(mel, depth, *context, taps=(depth,))[1][depth].float()
        parts = [x[b, first:end] for b, first, end in spans]
        if self.task == "words":
            return torch.stack([p.mean(0) for p in parts])
        return torch.stack([torch.cat([p.mean(0), p.std(0, unbiased=False)]) for p in parts])

    def forward(self, *inputs):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = self.pooled(*inputs)
        return self.out(x)


def collated(group, context):
    """((mel, spans, context), classes)"""
    mel = np.full((len(group), max(c["frames"] for c in group), 80), FLOOR_LOG, np.float32)
    for row, c in zip(mel, group):
        row[:c["frames"]] = c["mel"]
    spans = [(b, *s) for b, c in enumerate(group) for s in c["spans"]]
    return (torch.from_numpy(mel), [s[:3] for s in spans], context), torch.tensor([s[3] for s in spans])


@torch.no_grad()
def seen(namer, of):
    """(pooled features, classes, speakers) of cases as they are served"""
    parts = [(namer.pooled(*inputs), y, np.repeat(c["speaker"], len(y)))
             for c in of for inputs, y in [collated([c], (CHUNK, LEFT))]]
    return torch.cat([x for x, _, _ in parts]), torch.cat([y for _, y, _ in parts]), np.concatenate([w for _, _, w in parts])


def judged(namer, of):
    """[speakers, (asked, right)]"""
    x, y, who = seen(namer, of)
    right = (namer.out(x).argmax(-1) == y).numpy()
    return np.stack([np.bincount(who), np.bincount(who, right)], 1)


def begun(model, task, depth, learn):
    """A cut stack whose linear layer is the probe of its features."""
    namer = Namer(cut(model, depth), task)
    x, y, _ = seen(namer, learn)
    w, b = regression(x, y, frozen.CLASSES[task], frozen.PENALTY[task])
    namer.out.weight.data, namer.out.bias.data = w, b
    return namer


def tuned(namer, learn, a, seed):
    """(the same with the average of its weights after training, CPU seconds)"""
    rng, begin = np.random.default_rng(seed), time.process_time()
    optim, average = MuonAdamW(namer), {k: v.clone() for k, v in namer.state_dict().items()}
    stream = groups(learn, np.ones(len(learn)), rng, a.seconds)
    for step in range(a.steps):
        inputs, y = collated(next(stream), draw_context(rng))
        F.cross_entropy(namer(*inputs), y).backward()
        torch.nn.utils.clip_grad_norm_(namer.parameters(), 5.0)
        optim.step(schedule(step, a.steps, a.lr, a.steps // 10, 0.8))
        optim.zero_grad()
        keep_average(average, namer, step + 1)
    namer.load_state_dict(average)
    return namer, time.process_time() - begin


# ---- all of them ------------------------------------------------------------------------------

def depths(task, scores, influence, seed):
    """{rule: depth}"""
    drawn = 1 + int(np.random.default_rng(seed).integers(DEPTH - 1))
    return dict(zip(RULES, (depth_of(scores[task]), influence, drawn, DEPTH)))


def tuned_file(a, name, task):
    """The full stack of the first seed, after its training."""
    return os.path.join(a.out, f"{name}-{task}.safetensors")


def run(a, name, task, depth, seed, speech):
    """What came of one training, kept in a.out; of the full stack of the first seed a model file as well."""
    path = os.path.join(a.out, f"{name}-{task}-{depth}-{seed}.json")
    served = tuned_file(a, name, task)
    again = depth == DEPTH and seed == a.seeds[0]
    if not os.path.exists(path) or again and not os.path.exists(served):
        torch.manual_seed(seed)
        learn, judge = speech(task)
        namer = begun(load_model(a.models[name]), task, depth, learn)
        before = judged(namer, judge)
        namer, cpu = tuned(namer, learn, a, seed)
        after = judged(namer, judge)
        if again:
            export(namer.encoder.eval(), f"{name}-{task}", served)
        keep(path, dict(steps=a.steps, cpu_seconds=cpu, read={"probe": before.tolist(), "right": after.tolist()}))
        print(name, task, depth, seed, *(f"{intervals.share(x)[0]:.1f}" for x in (before, after)), f"{cpu:.0f} s", flush=True)
    with open(path) as f:
        return json.load(f)


def sizes(a, name):
    """{depth: (megabytes in 16 bits, CPU ms a second of audio)} of the stack cut there."""
    path = os.path.join(a.out, "cut.safetensors")
    model, out = load_model(a.models[name]), {}
    for depth in range(1, DEPTH + 1):
        export(cut(model, depth).eval(), "cut", path, dtype="f16")
        out[depth] = [os.path.getsize(path) / 1e6]
    engine = Engine(a.models[name], a.lib)
    cost = depth_costs({name: (engine, DEPTH)}, 4, a.rounds)[name]
    engine.close()
    return {d: (*size, cost[d - 1]) for d, size in out.items()}


def found(a):
    lists = frozen.clip_lists(a.speech, a.limit)
    words, memo, models = frozen.common_words(lists["learn"]), {}, {}

    def speech(task):
        if task not in memo:
            memo[task] = [cases(task, lists[of], words) for of in frozen.LISTS[task]]
        return memo[task]

    for name, path in a.models.items():
        base = frozen.whole_stack(a, path, lists)
        scores, influence = {t: scored(t, base) for t in TASKS}, by_influence(alike(base)[0])
        print(name, "influence", influence, {t: depth_of(s) for t, s in scores.items()}, flush=True)
        models[name] = dict(scores=scores, influence=influence, sizes=sizes(a, name), runs={})
        for task in TASKS:
            for seed in a.seeds:
                for rule, depth in depths(task, scores, influence, seed).items():
                    models[name]["runs"].setdefault(f"{task}|{rule}", dict(seeds={}))["seeds"][str(seed)] = \
                        dict(depth=depth, **run(a, name, task, depth, seed, speech))
        models[name]["after"] = {t: scored(t, frozen.whole_stack(a, tuned_file(a, name, t), lists)) for t in TASKS}
    return dict(date=str(datetime.date.today()), steps=a.steps, seconds=a.seconds, lr=a.lr, seeds=list(a.seeds), models=models,
                clips={of: len(c) for of, c in lists.items()})


# ---- the document -----------------------------------------------------------------------------

def compared(runs, task, rule):
    """(points above the full stack: their interval over speakers, those of each seed)"""
    r, one, full = dict(models=runs), f"{task}|{rule}", f"{task}|full"
    return distill.points(r, one, full, "right"), distill.beside(r, one, full, "right")[1]


def scores_table(r):
    lines = []
    for n, m in r["models"].items():
        for when, of in (("before", m["scores"]), ("after", m["after"])):
            lines += [[f"`{n}`", t, when, *(f"{100 * s:.1f}" for s, _ in of[t]), depth_of(of[t])] for t in TASKS]
    return rows(["model", "task", "fine-tuning", *range(DEPTH + 1), "maximum at"], lines)


def main_table(r):
    lines = []
    for n, m in r["models"].items():
        for task in TASKS:
            for rule in RULES:
                of = m["runs"][f"{task}|{rule}"]["seeds"]
                ds = [s["depth"] for s in of.values()]
                megabytes, ms = np.mean([m["sizes"][d] for d in ds], 0)
                gap, each = compared(m["runs"], task, rule)
                lines.append([f"`{n}`", task, rule, ", ".join(map(str, sorted(set(ds)))),
                              *(distill.over_seeds(dict(models=m["runs"]), f"{task}|{rule}", k) for k in ("probe", "right")),
                              "" if rule == "full" else f"{intervals.told(gap, '+.1f')} ({', '.join(f'{x:+.1f}' for x in each)})",
                              f"{megabytes:.1f}", f"{np.mean([s['cpu_seconds'] for s in of.values()]):.0f}", f"{ms:.1f}"])
    return rows(["model", "task", "rule", "layers kept", "probe before, % right", "fine-tuned, % right", "points above `full` (by seed)",
                 "MB", "CPU seconds of training", "streaming, CPU ms a second of audio"], lines)


def saved(m, task):
    """Percent of (size, training, inference) that convexity saves beside the full stack."""
    kept, full = (m["runs"][f"{task}|{rule}"]["seeds"].values() for rule in ("convexity", "full"))
    of = [np.mean([[*m["sizes"][s["depth"]], s["cpu_seconds"]] for s in x], 0) for x in (kept, full)]
    return [100 * (1 - one / other) for one, other in zip(*of)]


def claims(r):
    for n, m in r["models"].items():
        for task in TASKS:
            claim, depth = f"Layers up to the maximum are as good as all, {task} (`{n}`)", depth_of(m["scores"][task])
            if depth == DEPTH:
                yield distill.told(claim, None, "the maximum is at the last layer, so nothing is cut off")
                continue
            gap, each = compared(m["runs"], task, "convexity")
            size, ms, cpu = saved(m, task)
            other = {rule: distill.points(dict(models=m["runs"]), f"{task}|convexity", f"{task}|{rule}", "right") for rule in ("influence", "random")}
            held = distill.within(tuple(-x for x in (gap[0], gap[2], gap[1])), [-x for x in each], LOSS_MOST)
            yield distill.told(claim, held,
                               f"{depth} layers, {intervals.told(gap, '+.1f')} points, by seed {', '.join(f'{x:+.1f}' for x in each)}; "
                               f"{size:.0f} % of the size, {cpu:.0f} % of the training and {ms:.0f} % of the inference saved; above influence's depth "
                               f"({m['influence']}) by {intervals.told(other['influence'], '+.1f')}, above random ones by {intervals.told(other['random'], '+.1f')} points")


def document(r):
    head = wrap(f"`training/finetune.py --steps {r['steps']} --seconds {r['seconds']:g} --lr {r['lr']:g}`, {r['date']}, seeds "
                f"{', '.join(map(str, r['seeds']))}: {r['clips']['learn']} clips teach words, {r['clips']['judge']} judge them; "
                f"{r['clips']['voices']} and {r['clips']['asked']} for speakers. *As good*: at most {LOSS_MOST:g} point below `full`, by the "
                "interval over speakers (the seeds together) and at every seed. Mean and range of the seeds in the table.")
    return "\n\n".join((head, scores_table(r), main_table(r), "\n".join(claims(r))))


def arguments():
    ap = frozen.options(__doc__)
    ap.add_argument("--models", nargs="+", required=True, metavar="NAME=FILE")
    ap.add_argument("--out", required=True, help="folder of the runs")
    ap.add_argument("--seeds", type=int, nargs="*", default=(1, 2, 3))
    ap.add_argument("--steps", type=int, default=150)
    ap.add_argument("--seconds", type=float, default=20.0, help="audio a step")
    ap.add_argument("--lr", type=float, default=5e-4)
    ap.add_argument("--rounds", type=int, default=3, help="of the clock")
    ap.add_argument("--json", default=os.path.join(RESULTS, "finetune.json"))
    ap.add_argument("--into", help="a document with markers")
    a = ap.parse_args()
    a.models = dict(m.split("=", 1) for m in a.models)
    return a


def main():
    a = arguments()
    torch.set_num_threads(1)
    os.makedirs(a.out, exist_ok=True)
    r = found(a)
    with open(a.json, "w") as f:
        f.write(json.dumps(r) + "\n")
    if a.into:
        insert(a.into, "finetune.py", document(r))
    else:
        print(document(r))


if __name__ == "__main__":
    main()

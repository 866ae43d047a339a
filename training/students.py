"""Recycle-and-Distill (arXiv 2305.11685): a narrow student whose layers share attention maps learns what a teacher's layers give.

This file is the training; distill.py is the command, and judges. The paper's losses, of layer l (x: the log-mels, x~: the same with
spans hidden, H: what the teacher's layer gives, y: what the student's gives, through a linear map of its own for each):

    masked      1/T sum over hidden frames      mean over dimensions of (y(x~) - H(x))^2
    unmasked    1/T sum over all other frames   mean over dimensions of (y(x~) - H(x~))^2
    plain       1/T sum over all frames         mean over dimensions of (y(x) - H(x))^2

The last layer's loss weighs 1, those of the others HIDDEN. Spans are SPAN frames, at least one apart, MASKED of a clip; they show the
clip's mean, as SpecAugment's did to the teacher. A frame counts as hidden where its own input is, though what leaves there also tells
of frames before it (Config.delay). The paper's code scales the gradients of layers besides; this does not.

A layer that takes another's map has no queries and keys: they are there in training (they get no gradient) and are neither counted nor
exported. What that saves is spent on the feed-forward modules, so that all arms have equally many parameters. As fused.c wants widths
in multiples of 32, modules are padded with units that are 0 on both sides, and stay so.
"""

import json
import os
import shutil
import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from data import FLOOR_LOG, groups, shift
from export import configured, load_model
from model import Config, Encoder
from optim import MuonAdamW
from train import corpus_weight, draw_context, keep_average, save_run, schedule

DEPTH, HIDDEN, SPAN, MASKED = 12, 0.1, 10, 0.4


class Arm(NamedTuple):
    losses: tuple           # of "masked", "unmasked", "plain", "labels"
    maps: int = 2           # layers that share a map
    uniform: bool = False   # those that would take another's map weigh all that they see alike


BOTH = "both"
ARMS = {BOTH: Arm(("masked", "unmasked")), "masked": Arm(("masked",)), "unmasked": Arm(("unmasked",)), "plain": Arm(("plain",)),
        "no-reuse": Arm(("masked", "unmasked"), 1), "uniform": Arm(("masked", "unmasked"), uniform=True),
        "three-a-map": Arm(("masked", "unmasked"), 3), "labels": Arm(("labels",))}
LOSSES = (BOTH, "masked", "unmasked", "plain")          # the arms that tell the losses apart
LONGER = {2: {f"{n}-x2": n for n in (BOTH, "plain")}, 4: {f"{n}-x4": f"{n}-x2" for n in (BOTH, "plain")}}
FACTOR = {n: by for by, of in LONGER.items() for n in of}       # steps, in units of the others'
BEFORE = {n: before for of in LONGER.values() for n, before in of.items()}      # whose weights they go on from
for name, before in BEFORE.items():
    ARMS[name] = ARMS[before]


# ---- what there is to learn from --------------------------------------------------------------

def spans(frames, rng):
    """[frames] bool: MASKED of them, in spans of SPAN with a frame or more between."""
    n = int(MASKED * frames / SPAN + rng.random())
    n = min(n, (frames + 1) // (SPAN + 1))
    free = frames + 1 - n * (SPAN + 1)
    mask = np.zeros(frames, bool)
    for i, gap in enumerate(np.sort(rng.integers(0, free + 1, n))):
        at = gap + i * (SPAN + 1)
        mask[at:at + SPAN] = True
    return mask


class Batch(NamedTuple):
    mel: torch.Tensor       # [B, F, 80]
    hidden: torch.Tensor    # [B, F, 80], the same with spans hidden
    masked: torch.Tensor    # [B, T] bool
    real: torch.Tensor      # [B, T] bool: not padding
    labels: torch.Tensor    # [B, T], -100 where there are none
    context: tuple          # (chunk, left context), frames


def collated(feats, group, rng, delay):
    longest = max(e["frames"] for e in group)
    mel = np.full((len(group), longest, 80), FLOOR_LOG, np.float32)
    masked, real = np.zeros((2, len(group), longest // 2), bool)
    labels = np.full(masked.shape, -100, np.int64)
    hidden = mel.copy()
    for b, e in enumerate(group):
        x, frames = feats.get(e), e["frames"] // 2
        mask = spans(frames, rng)
        mel[b, :len(x)] = hidden[b, :len(x)] = x
        hidden[b, :2 * frames][np.repeat(mask, 2)] = x.mean()
        masked[b, :frames], real[b, :frames] = mask, True
        labels[b, :frames] = shift(e["labels"], delay)
    return Batch(*map(torch.from_numpy, (mel, hidden, masked, real, labels)), draw_context(rng))


def batches(feats, clips, delay, seconds, seed):
    """Endless, of about `seconds` of audio each."""
    rng = np.random.default_rng(seed)
    for group in groups(clips, [corpus_weight(e) for e in clips], rng, seconds):
        yield collated(feats, group, rng, delay)


class Teacher:
    def __init__(self, path):
        self.encoder = load_model(path).train()         # it has no dropout; fused.c runs what trains
        self.encoder.requires_grad_(False)

    def __call__(self, batch):
        """(what its layers give of mel, of hidden): [DEPTH, B, T, D] each"""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, seen = self.encoder(torch.cat([batch.mel, batch.hidden]), DEPTH, *batch.context, taps=range(1, DEPTH + 1))
        return torch.stack([seen[d] for d in range(1, DEPTH + 1)]).chunk(2, 1)


# ---- the student ------------------------------------------------------------------------------

def taking(arm):
    """Numbers (from 0) of the layers without queries and keys."""
    return [i for i in range(DEPTH) if i % arm.maps]


def width(arm, dim, ffn):
    """Of the feed-forward modules: `ffn` where each layer has its map, wider by what queries and keys save otherwise."""
    return ffn + round(len(taking(arm)) * 2 * (dim * dim + dim) / (DEPTH * 2 * (2 * dim + 1)))


def config_of(arm, dim, ffn):
    """As trained: padded."""
    wide = -(-width(arm, dim, ffn) // 32) * 32
    return Config(dim=dim, ffn=wide, heads=dim // 32, blocks=DEPTH, norms=DEPTH, maps=1 if arm.uniform else arm.maps)


@torch.no_grad()
def padded(encoder, live):
    """Units of the feed-forward modules from `live` on give nothing, and get no gradient."""
    for block in encoder.blocks:
        for ffn in (block.ffn1, block.ffn2):
            ffn.up.weight[live:] = 0
            ffn.up.bias[live:] = 0
            ffn.down.weight[:, live:] = 0


@torch.no_grad()
def levelled(encoder, layers):
    """Their maps are uniform: queries and keys of 0 get no gradient either."""
    for i in layers:
        qkv = encoder.blocks[i].att.qkv
        qkv.weight[:2 * encoder.config.dim] = 0
        qkv.bias[:2 * encoder.config.dim] = 0


class Student(nn.Module):
    """An encoder, and for each layer a linear map to the teacher's dimensions."""

    def __init__(self, arm, dim, ffn, teacher):
        super().__init__()
        self.arm, self.live = arm, width(arm, dim, ffn)
        self.encoder = Encoder(config_of(arm, dim, ffn))
        self.encoder.mel_mean.copy_(teacher.mel_mean)
        self.encoder.mel_istd.copy_(teacher.mel_istd)
        self.project = nn.ModuleList(nn.Linear(dim, teacher.config.dim) for _ in range(DEPTH))
        padded(self.encoder, self.live)
        if arm.uniform:
            levelled(self.encoder, taking(arm))

    def forward(self, batch, clean, hidden):
        """The loss; clean, hidden: of the teacher."""
        mel = batch.hidden if {"masked", "unmasked"} & {*self.arm.losses} else batch.mel
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, seen = self.encoder(mel, DEPTH, *batch.context, taps=range(1, DEPTH + 1))
            if "labels" in self.arm.losses:
                logits = self.encoder.head(seen[DEPTH]).float()
                return F.cross_entropy(logits.transpose(1, 2), batch.labels, label_smoothing=0.05)
        loss, frames = 0.0, batch.real.sum()
        for name in self.arm.losses:
            where = dict(masked=batch.masked, unmasked=batch.real & ~batch.masked, plain=batch.real)[name]
            target = hidden if name == "unmasked" else clean
            for l, project in enumerate(self.project):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    said = project(seen[l + 1][where])
                part = (said.float() - target[l][where]).square().mean(-1).sum() / frames
                loss = loss + (1.0 if l == DEPTH - 1 else HIDDEN) * part
        return loss

    @torch.no_grad()
    def served(self, teacher):
        """The encoder as it is exported: no padding, and the teacher's head behind the last map (its own, if it learnt from labels)."""
        out = Encoder(replace(self.encoder.config, ffn=self.live))
        views = out.state_dict()
        for k, v in self.encoder.state_dict().items():
            views[k].copy_(v[tuple(slice(n) for n in views[k].shape)])
        if "labels" not in self.arm.losses:
            last, head = self.project[-1], teacher.head
            out.head.weight.copy_(head.weight @ last.weight)
            out.head.bias.copy_(head.weight @ last.bias + head.bias)
        return out.eval()


# ---- training ---------------------------------------------------------------------------------

class Run:
    """A student that learns; goes on from out/last.pt if that is there. make: () -> it, with its `encoder` and `arm`."""

    def __init__(self, out, make, seed):
        torch.manual_seed(seed)
        self.out, self.student = out, make()
        self.optim = MuonAdamW(self.student)
        self.ema = {k: v.clone() for k, v in self.student.state_dict().items()}
        self.step, self.cpu, self.told = 0, 0.0, []
        os.makedirs(out, exist_ok=True)
        last = os.path.join(out, "last.pt")
        if os.path.exists(last):
            s = torch.load(last)
            self.student.load_state_dict(s["model"])
            self.optim.load_state_dict(s["optim"])
            self.ema, self.step, self.cpu = s["ema"], s["step"], s["cpu"]

    def update(self, batch, seen, steps, lr, tail):
        begin = time.process_time()
        loss = self.student(batch, *seen)
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optim.step(schedule(self.step, steps, lr, min(100, steps // 10), tail))
        self.optim.zero_grad()
        self.step += 1
        keep_average(self.ema, self.student, self.step)
        self.cpu += time.process_time() - begin
        self.told.append(loss.item())

    def save(self, **more):
        loss, self.told = float(np.mean(self.told)), []
        save_run(self.out, dict(model=self.student.state_dict(), ema=self.ema, optim=self.optim.state_dict(), step=self.step,
                                cpu=self.cpu, config=self.student.encoder.config.dict()),
                 dict(steps=self.step, cpu_seconds=self.cpu, loss=loss, arm=self.student.arm._asdict(), **more))
        return loss


def seed_batches(feats, delay, seconds, seed, step):
    """Labelled clips of the training split; the same for all arms of a seed."""
    clips = [e for e in feats.index if e["split"] == "train" and e["labels"] is not None]
    return batches(feats, clips, delay, seconds, seed * 1000003 + step)


def train(a, feats, teacher, seed, names):
    """These arms of a seed to the end, in turn, on the same batches; the teacher is asked once for all."""
    runs = {n: Run(os.path.join(a.out, f"{n}-{seed}"), lambda: Student(ARMS[n], a.dim, a.ffn, teacher.encoder), seed) for n in names}
    step, steps, begin, asked = min(r.step for r in runs.values()), steps_of(a, names[0]), time.time(), 0.0
    first = step
    stream = seed_batches(feats, teacher.encoder.config.delay, a.seconds, seed, step)
    while step < steps:
        batch = next(stream)
        cpu = time.process_time()
        seen = teacher(batch)
        asked += time.process_time() - cpu
        for r in runs.values():
            if r.step == step:
                r.update(batch, seen, steps, a.lr, a.tail)
        step += 1
        if step % 100 == 0 or step == steps:
            losses = {n: r.save(seed=seed, audio_seconds=a.seconds) for n, r in runs.items() if r.told}
            print(f"seed {seed}, step {step}: " + ", ".join(f"{n} {v:.3f} ({runs[n].cpu / runs[n].step:.2f} CPU s)" for n, v in losses.items())
                  + f"; teacher {asked / (step - first):.2f} CPU s; {time.time() - begin:.0f} s", flush=True)


def summary(folder):
    try:
        with open(os.path.join(folder, "summary.json")) as f:
            return json.load(f)
    except OSError:
        return dict(steps=0)


def steps_of(a, name):
    return a.steps * FACTOR.get(name, 1)


def done(a, name, seed):
    return summary(os.path.join(a.out, f"{name}-{seed}"))["steps"] >= steps_of(a, name)


def trained(a, feats, plan):
    """plan: [(seed, names of arms)]. feats: () -> data.Features, only if need be."""
    for seed, names in plan:
        names = [n for n in names if not done(a, n, seed)]
        for n in names:
            folder = os.path.join(a.out, f"{n}-{seed}")
            if n in BEFORE and not os.path.exists(folder):
                shutil.copytree(os.path.join(a.out, f"{BEFORE[n]}-{seed}"), folder)
        if names:
            train(a, feats(), Teacher(a.teacher), seed, names)


def student_of(folder, arm, a, teacher):
    """The average of its weights, ready to be exported."""
    s = torch.load(os.path.join(folder, "last.pt"))
    student = Student(arm, a.dim, a.ffn, teacher)
    assert student.encoder.config == configured(s["config"])
    student.load_state_dict(s["ema"])
    return student.served(teacher)

"""Arms that take shared sparsely-gated experts (arXiv 2209.08326) apart, one ingredient more in each, and their training.

This file is the training; moe.py is the command, and judges. What all learn, of the labels (CE), of the routers of L layers
and, where it is distilled, of what leaves the last layer of a teacher (H; h: of the arm itself, W: a linear map, D: dimensions):

    loss = CE + BALANCE 1/L sum over layers E sum_e f_e P_e + HIDDEN mean over frames |W h - H|^2 / D

f_e: the share of the frames that go to expert e of E, P_e: its mean probability. This is the balance loss of the Switch Transformer
(arXiv 2101.03961, (4) to (6), with its weight), for each layer by itself, so that layers of a block may use its experts differently: it is
1 where all are used alike, and E where one is alone. Whether the paper's own loss is the same could not be looked up here, nor which of
its teacher's hidden layers it distils. Only frames that are no padding count. Routers compute in float32, also under autocast.
"""

import itertools
import os
import shutil
import time
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F

from export import configured
from model import Config, Encoder, picked
from students import DEPTH, Run, seed_batches, summary

BALANCE, HIDDEN = 0.01, 1.0
LONGER = 8              # times the steps of the arms that are trained on


def longer(name):
    return f"{name}-x{LONGER}"


class Arm(NamedTuple):
    groups: int = 2             # blocks, each for as many layers one after the other
    experts: int = 4            # of each, in place of its second feed-forward module; 0: none
    routers: bool = True        # each layer has its own; else each block
    norms: bool = True          # likewise
    distilled: bool = False
    depth: int = DEPTH
    dim: int = 0                # 0: as all others
    ffn: int = 0                # 0: four times the dimensions


DENSE, SHARED, BEST, DISTILLED = "dense-12", "shared-12", "private-norms", "distilled"
LADDER = {DENSE: Arm(DEPTH, 0), "dense-4": Arm(4, 0, depth=4), "dense-narrow": Arm(DEPTH, 0, dim=64, ffn=384),
          SHARED: Arm(experts=0, norms=False), "experts": Arm(routers=False, norms=False), "private-routers": Arm(norms=False),
          BEST: Arm(), DISTILLED: Arm(distilled=True)}
GROUPS, EXPERTS = (2, 1, 3), (0, 2, 4, 8)           # those of two blocks come first
GRID = {(g, e): BEST if (g, e) == (2, 4) else f"{g}x{e}" for g in GROUPS for e in EXPERTS}     # private routers and norms
CONTROL, TAUGHT = GRID[2, 0], "2x0-distilled"       # own norms, no experts; the same with the teacher
ARMS = {**LADDER, **{n: Arm(*cell) for cell, n in GRID.items() if n != BEST}, TAUGHT: Arm(experts=0, distilled=True)}
BEFORE = {longer(n): n for n in (DENSE, BEST, DISTILLED, CONTROL, TAUGHT, "dense-4")}       # trained on to LONGER times the steps, from whose weights
ARMS.update({n: ARMS[before] for n, before in BEFORE.items()})


def config_of(arm, dim):
    dim = arm.dim or dim
    return Config(dim=dim, ffn=arm.ffn or 4 * dim, heads=dim // 32, depth=arm.depth, blocks=arm.groups,
                  norms=arm.depth if arm.norms else arm.groups, experts=arm.experts,
                  routers=0 if not arm.experts else arm.depth if arm.routers else arm.groups)


def balance(logits, routes):
    """E sum_e f_e P_e of a router's logits [N, E] and the routes [N, top] that were taken."""
    experts = logits.shape[-1]
    share = F.one_hot(routes, experts).sum((0, 1)) / routes.numel()
    return experts * (share * torch.softmax(logits.float(), -1).mean(0)).sum()


class Gated(nn.Module):
    """An encoder that learns; like: one whose means of the log-mels it takes."""

    def __init__(self, arm, dim, like):
        super().__init__()
        self.arm, self.encoder, self.logits = arm, Encoder(config_of(arm, dim)), []
        self.encoder.mel_mean.copy_(like.mel_mean)
        self.encoder.mel_istd.copy_(like.mel_istd)
        self.project = nn.Linear(self.encoder.config.dim, like.config.dim) if arm.distilled else None
        for router in self.encoder.routers:
            router.register_forward_hook(lambda _, __, out: self.logits.append(out))

    def forward(self, batch, target=None):
        """The loss; target [B, T, D]: of the teacher."""
        self.logits.clear()
        depth, top = self.encoder.config.depth, self.encoder.config.top
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, seen = self.encoder(batch.mel, depth, *batch.context, taps=(depth,))
            out = self.encoder.head(seen[depth]).float()
        loss = F.cross_entropy(out.transpose(1, 2), batch.labels, label_smoothing=0.05)
        real = batch.real.flatten()
        for logits in (x.flatten(0, -2)[real] for x in self.logits):
            loss = loss + BALANCE / len(self.logits) * balance(logits, picked(logits.detach(), top))
        if target is not None:
            loss = loss + HIDDEN * (self.project(seen[depth].float()) - target)[batch.real].square().mean()
        return loss


def target_of(teacher, batch):
    """What leaves the last layer of a students.Teacher."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return teacher.encoder(batch.mel, DEPTH, *batch.context, taps=(DEPTH,))[1][DEPTH].float()


def folder_of(a, name, seed):
    return os.path.join(a.out, f"{name}-{seed}")


def steps_of(a, name):
    return a.steps * (LONGER if name in BEFORE else 1)


def done(a, name, seed):
    return summary(folder_of(a, name, seed))["steps"] >= steps_of(a, name)


def train(a, feats, teacher, name, seed):
    """An arm of a seed to the end; all arms of a seed hear the same batches."""
    folder, steps = folder_of(a, name, seed), steps_of(a, name)
    if name in BEFORE and not os.path.exists(folder):
        shutil.copytree(folder_of(a, BEFORE[name], seed), folder)
    run = Run(folder, lambda: Gated(ARMS[name], a.dim, teacher.encoder), seed)
    begin = time.time()
    stream = seed_batches(feats, teacher.encoder.config.delay, a.seconds, seed, run.step)
    for batch in itertools.islice(stream, steps - run.step):
        run.update(batch, (target_of(teacher, batch),) if ARMS[name].distilled else (), steps, a.lr, a.tail)
        if run.step % 50 == 0 or run.step == steps:
            print(f"{name}, seed {seed}, step {run.step}: {run.save(seed=seed, audio_seconds=a.seconds):.3f}, "
                  f"{run.cpu / run.step:.2f} CPU s a step; {time.time() - begin:.0f} s", flush=True)


def trained(a, feats, teacher, plan):
    """plan: [(seed, arm)]. feats: () -> data.Features, only if need be."""
    found = None
    for seed, name in plan:
        if not done(a, name, seed):
            found = found or feats()
            train(a, found, teacher, name, seed)


def encoder_of(folder, arm, dim, like):
    """The average of its weights, ready to be exported."""
    s = torch.load(os.path.join(folder, "last.pt"))
    gated = Gated(arm, dim, like)
    assert gated.encoder.config == configured(s["config"])
    gated.load_state_dict(s["ema"])
    return gated.encoder.eval()

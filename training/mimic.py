#!/usr/bin/env python3
"""Small networks that stand in for the stack: mimics, their controls, and what they are worth as served (arXiv 2409.16302).

    mimic.py --into ../docs/research.md --ship linear=linear-1x1024:mimic .. --out ../models/shoal-programs.safetensors

A mimic reads what the first layer reads (span 0) or what leaves layer 3 (span 3) and gives what leaves at depth 12. One
or two layers, linear (Linear, LayerNorm, SiLU, Linear, no residual) or transformer (docs/model-format.md), of an inner width.

    mimic      half of the budget by regression: mean squared error of what leaves and of the logits that the model's head
               makes of it; the other half on the labels
    control    all of it on the labels
    alone      all of it by regression

All with the model's head as it is, or (-head) trained along. They learn on the frames that frozen.py kept of the C
engine; equal budgets of --frames, the same batches, a rate that falls along a cosine from RATE. Each is then written into a
model file as a program and judged as the C engine serves it.
"""

import datetime
import os
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import frozen
import intervals
from capi import Engine
from convert import with_programs
from evaluate import file_facts, model_sha
from export import load_model
from model import Attention, Config, FeedForward, LayerNorm, chunk_mask, rope_table
from report import insert, rows
from verify import mel_of, minute

RATE, BATCH, LENGTH, CHUNK, DEPTH = 1e-3, 16, 160, 16, 12
# name: (kind, layers, inner width, layer that it reads)
SHAPES = {f"{kind}-{n}x{z}": (kind, n, z, 0) for kind in ("linear", "transformer") for n, z in ((1, 32), (1, 256), (1, 1024), (2, 256))}
SHAPES.update({"after3-linear-1x1024": ("linear", 1, 1024, 3), "after3-transformer-1x256": ("transformer", 1, 256, 3)})
MODES = ("mimic", "control", "alone")
WITH_HEAD = ("linear-1x256",)
ALONE = ("linear-1x32", "linear-1x256", "transformer-1x256")


# ---- the layers: oracle of engine/ops/mimic_*.c ------------------------------------------------

class Linear(nn.Module):
    """x = down(SiLU(LN(up(x))))"""

    def __init__(self, dim, inner, heads):
        super().__init__()
        self.up, self.norm, self.down = nn.Linear(dim, inner), LayerNorm(inner), nn.Linear(inner, dim)

    def forward(self, x, bias, cos, sin):
        return self.down(F.silu(self.norm(self.up(x))))

    def tensors(self):
        return {"up": self.up, "down": self.down, "norm": self.norm}


class Transformer(nn.Module):
    """x += attention(LN(x)); x += FFN(LN(x)); x = LN(x)"""

    def __init__(self, dim, inner, heads):
        super().__init__()
        c = Config(dim=dim, ffn=inner, heads=heads)
        self.att, self.ffn = Attention(c), FeedForward(c)
        self.norms = nn.ModuleDict({name: LayerNorm(dim) for name in ("att", "ffn", "out")})

    def forward(self, x, bias, cos, sin):
        x = x + self.att(self.norms["att"](x), bias, cos, sin)
        x = x + self.ffn(self.norms["ffn"](x))
        return self.norms["out"](x)

    def tensors(self):
        return {"att.qkv": self.att.qkv, "att.out": self.att.out, "ffn.up": self.ffn.up, "ffn.down": self.ffn.down,
                **{"norm." + name: norm for name, norm in self.norms.items()}}


KINDS = dict(linear=Linear, transformer=Transformer)


class Mimic(nn.Module):
    def __init__(self, kind, layers, inner, dim=256, heads=4):
        super().__init__()
        self.kind, self.inner = kind, inner
        self.layers = nn.ModuleList(KINDS[kind](dim, inner, heads) for _ in range(layers))

    def forward(self, x, bias, cos, sin):
        for layer in self.layers:
            x = layer(x, bias, cos, sin)
        return x


def add_mimic(config, name, mimic, after=0):
    """A program of that name: the first `after` layers of the base, then the mimic. Returns its tensors."""
    pool, out, entries = "mimic_" + mimic.kind, {}, config["programs"][0]["layers"][:after]
    widths = config.setdefault(pool, [])
    for layer in mimic.layers:
        for part, module in layer.tensors().items():
            for what, value in module.named_parameters():
                out[f"{pool}.{len(widths)}.{part}.{what}"] = value.detach().float().numpy()
        entries = entries + [{"op": pool, "mimic": len(widths)}]
        widths.append(mimic.inner)
    config["programs"].append({"name": name, "layers": entries})
    return out


# ---- learning ----------------------------------------------------------------------------------

class Frames:
    """The learning clips one after the other, in pieces of LENGTH frames: [pieces, LENGTH, ..]."""

    def __init__(self, found, delay):
        n = len(found["whole.y"]) // LENGTH * LENGTH
        cut = lambda x: x[:n].reshape(-1, LENGTH, *x.shape[1:])
        self.x = {layer: cut(found["whole.x"][i]) for i, layer in enumerate(frozen.WHOLE)}
        self.y, self.of = cut(found["whole.y"]), cut(found["whole.of"])
        first = np.r_[0, np.flatnonzero(np.diff(found["whole.of"])) + 1]
        self.at = cut(np.arange(len(found["whole.y"])) - first[found["whole.of"]] + delay)

    def bias(self, pick, left=64):
        """[pieces, 1, LENGTH, LENGTH]: 0 where a frame is seen, its own clip's of its chunk and `left` before that"""
        at, of = torch.from_numpy(self.at[pick]), torch.from_numpy(self.of[pick])
        begin = at // CHUNK * CHUNK
        seen = (at[:, None] < begin[:, :, None] + CHUNK) & (at[:, None] >= begin[:, :, None] - left) & (of[:, None] == of[:, :, None])
        return torch.zeros(seen.shape).masked_fill_(~seen, -1e9)[:, None]


def batches(frames, budget, seed):
    rng, order = np.random.default_rng(seed), []
    for _ in range(budget // (BATCH * LENGTH)):
        if len(order) < BATCH:
            order = list(rng.permutation(len(frames.y)))
        yield [order.pop() for _ in range(BATCH)]


def train(shape, frames, head, budget, mode, with_head, seed):
    """(mimic, head, seconds)"""
    torch.manual_seed(seed)
    kind, layers, inner, after = shape
    mimic, own = Mimic(kind, layers, inner), nn.Linear(head.in_features, head.out_features)
    own.load_state_dict(head.state_dict())
    own.requires_grad_(with_head)
    begin, steps = time.process_time(), budget // (BATCH * LENGTH)
    regression = dict(mimic=steps // 2, control=0, alone=steps)[mode]
    optim = torch.optim.Adam([p for m in (mimic, own) for p in m.parameters() if p.requires_grad], RATE)
    cos, sin = rope_table(LENGTH, 64)
    for step, pick in enumerate(batches(frames, budget, seed)):
        optim.param_groups[0]["lr"] = RATE * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * step / steps)))
        x, y = torch.from_numpy(frames.x[after][pick]).float(), torch.from_numpy(frames.y[pick])
        out = mimic(x, frames.bias(pick) if kind == "transformer" else None, cos, sin)
        if step >= regression:
            loss = F.cross_entropy(own(out).flatten(0, 1), y.flatten())
        else:
            want = torch.from_numpy(frames.x[-1][pick]).float()
            loss = F.mse_loss(out, want) + F.mse_loss(head(out), head(want))
        optim.zero_grad()
        loss.backward()
        optim.step()
    return mimic, own, time.process_time() - begin


def arm_name(name, mode, head):
    return name + ("-head" if head else "") + ("" if mode == "mimic" else "-" + mode)


def learnt(a, arm, frames, head):
    """The arm of that name from the scratch folder, or trained."""
    name, mode, with_head = arm
    path = os.path.join(a.scratch, f"mimic-{arm_name(*arm)}-{a.frames}-{a.seed}.pt")
    if not os.path.exists(path):
        mimic, own, seconds = train(SHAPES[name], frames(), head, a.frames, mode, with_head, a.seed)
        torch.save(dict(mimic=mimic.state_dict(), head=own.state_dict(), seconds=seconds), path)
        print(f"{arm_name(*arm)}: {seconds:.0f} s", flush=True)
    kept = torch.load(path)
    mimic = Mimic(*SHAPES[name][:3])
    mimic.load_state_dict(kept["mimic"])
    return mimic.eval(), kept["head"], kept["seconds"]


# ---- as served ---------------------------------------------------------------------------------

def write_file(model, out, mimics, head=None, dtype="f32", name=None):
    """mimics: {program: (Mimic, after)} beside the base program of `model`; name: of the file's model, if not that one's."""
    more = {f"head.{k}": v.numpy() for k, v in head.items()} if head else {}
    renamed = [lambda c: c.update(name=name)] if name else []
    return with_programs(model, out, [*(lambda c, n=n, m=m, k=k: more.update(add_mimic(c, n, m, k))
                                        for n, (m, k) in mimics.items()), *renamed], dtype, more)


def served(a, lists, arm, mimic, head):
    """frozen.Frozen of an arm."""
    path, after = os.path.join(a.scratch, "arm.safetensors"), SHAPES[arm[0]][3]

    def open():
        write_file(a.model, path, {"mimic": (mimic, after)}, head if arm[2] else None)
        return Engine(path, a.lib, program="mimic")

    return frozen.Frozen(a.scratch, a.model, lists, open, f"{arm_name(*arm)}-{a.frames}-{a.seed}", after + len(mimic.layers))


def shares(features):
    """{"PER", "frames": (here, low, high)} of the judged clips, and their sums by speaker"""
    counts = frozen.by_speaker(features["judge"]["counts"], features.lists["judge"])
    return dict(PER=intervals.share(counts[:, :2]), frames=intervals.share(counts[:, 2:])), counts


@torch.no_grad()
def furthest(a, path, mimics):
    """The largest difference of the C engine's embeddings to PyTorch's, of the largest value: mimics as in write_file."""
    m, pcm, worst = load_model(path), minute(a.speech)[:320000], 0.0
    x = m.subsample((mel_of(m, pcm) - m.mel_mean) * m.mel_istd)
    bias = torch.zeros(x.shape[1], x.shape[1]).masked_fill_(~chunk_mask(x.shape[1], CHUNK, m.config.left), -1e9)
    turn = rope_table(x.shape[1], m.config.dim // m.config.heads)
    for program, (mimic, after) in mimics.items():
        for p in mimic.parameters():
            p.copy_(p.half() if p.ndim == 2 else p)         # as the file has it
        y = x
        for layer in range(after):
            y = m.layer(layer, y, bias, *turn)
        want = mimic(y, bias, *turn)[0, m.config.delay:].numpy()
        got = Engine(path, a.lib, program=program).stream(pcm, after + len(mimic.layers), CHUNK, m.config.left)[1]
        worst = max(worst, abs(got - want).max() / abs(want).max())
    return worst


def flops(kind, layers, inner, after, dim=256, context=80):
    """Products and sums of a frame, as the operations count them (engine/ops)."""
    conformer = 2 * (dim * (4 * 1024 + 7 * dim) + 2 * dim * context + dim * 15)
    own = 4 * dim * inner if kind == "linear" else 2 * dim * (4 * dim + 2 * inner + 2 * context)
    return layers * own + after * conformer, 12 * conformer


def cost_table(engines, rounds, streams=32):
    """{name: streams a core} of {name: (capi.Engine, depth)}, in turn, the best of so many rounds."""
    pcm = np.random.default_rng(1).normal(0, 0.05, 16000 * 2).astype(np.float32)
    best = dict.fromkeys(engines, np.inf)
    for _ in range(rounds):
        for name, (engine, depth) in engines.items():
            best[name] = min(best[name], engine.cost(pcm, depth, streams, CHUNK))
    return {name: 1 / cost for name, cost in best.items()}


def judged(a, lists, frames, head):
    """One line a shape: the mimic, its control, and regression alone, of the same budget."""
    lines = []
    for name, with_head in [(n, False) for n in a.shapes] + [(n, True) for n in WITH_HEAD if n in a.shapes]:
        found, seconds = [], []
        for mode in MODES[:3 if name in ALONE and not with_head else 2]:
            arm = (name, mode, with_head)
            mimic, own, took = learnt(a, arm, frames, head)
            found.append(shares(served(a, lists, arm, mimic, own)))
            seconds.append(f"{took:.0f}")
        cost, stack = flops(*SHAPES[name])
        told = [[intervals.told(f[0][k]) for f in found] + [""] * (3 - len(found)) for k in ("PER", "frames")]
        lines.append([arm_name(name, "mimic", with_head), f"{100 * (1 - cost / stack):.1f}", *told[0], *told[1],
                      intervals.told(intervals.apart(found[0][1], found[1][1]), "+.1f"), ", ".join(seconds)])
        print(*lines[-1], flush=True)
    return lines


def ship(a, get):
    """Write --out; what it holds and how fast it is."""
    arm = {p: tuple(how.split(":")) for p, _, how in (s.partition("=") for s in a.ship)}
    mimics = {p: (get((*of, False)), SHAPES[of[0]][3]) for p, of in arm.items()}
    write_file(a.model, a.out, mimics, dtype="f16", name=os.path.splitext(os.path.basename(a.out))[0])
    engines = {p: Engine(a.out, a.lib, program=p) for p in ("base", *arm)}
    speed = cost_table({p: (e, e.engine.depth) for p, e in engines.items()}, a.rounds)
    worst = furthest(a, a.out, mimics)
    assert worst < 1e-4, f"C is {worst:.1e} from PyTorch"
    return (f"`{os.path.basename(a.out)}` ({os.path.getsize(a.out) / 1e6:.1f} MB, {file_facts(a.out)[1]:,} weights in all; C is at most "
            f"{worst:.0e} from PyTorch):\n\n"
            + rows(["program", "what it is", "streams a core (32 side by side, 320 ms, fp32)", "times the stack's"],
                   [[p, ", ".join(arm.get(p, ("the whole stack",))), f"{v:.1f}", f"{v / speed['base']:.1f}"] for p, v in speed.items()]))


def main():
    ap = frozen.options(__doc__)
    ap.add_argument("--shapes", nargs="*", default=list(SHAPES), choices=SHAPES, metavar="SHAPE")
    ap.add_argument("--frames", type=int, default=400000, help="that an arm learns from, some more than once")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--rounds", type=int, default=7, help="of the clock")
    ap.add_argument("--ship", nargs="*", default=[], metavar="PROGRAM=SHAPE:MODE", help="what goes into --out")
    ap.add_argument("--out", help="a model file: the base and the programs of --ship, in 16 bits")
    ap.add_argument("--into", help="a document with markers")
    a = ap.parse_args()
    lists, base = frozen.served(a)
    teacher = load_model(a.model)
    teacher.head.requires_grad_(False)
    kept = []

    def frames():
        if not kept:
            kept.append(Frames(base["learn"], teacher.config.delay))
        return kept[0]

    lines = judged(a, lists, frames, teacher.head)
    whole = shares(base)[0]
    text = (f"`training/mimic.py --frames {a.frames} --limit {a.limit}`, {datetime.date.today()}, model {model_sha(a.model)}: "
            f"{len(lists['judge'])} clips; the whole stack: PER {intervals.told(whole['PER'])} %, frames {intervals.told(whole['frames'])} %.\n\n")
    text += rows(["shape", "less compute than the stack, %", *(f"PER, %, {m}" for m in MODES), *(f"frames right, %, {m}" for m in MODES),
                  "PER, mimic less control, points", "CPU seconds of training"], lines)
    if a.out:
        text += "\n\n" + ship(a, lambda arm: learnt(a, arm, frames, teacher.head)[0])
    if a.into:
        insert(a.into, "mimic.py", text)
    else:
        print(text)


if __name__ == "__main__":
    main()

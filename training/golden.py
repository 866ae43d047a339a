#!/usr/bin/env python3
"""Golden tensors for tests/check_golden.c and those of the operations, from the PyTorch oracle.

    golden.py       # writes tiny_*golden.safetensors into ../tests/data, and tiny_{experts,mimic,reuse,values}.safetensors

The model is export.random_model(), the one in tests/data/tiny.safetensors. The signal is
integer arithmetic (tests/engine_util.c makes the same samples), 10000 samples: 32 output
frames, the last one in part silence. Tensors, T = 34 internal frames (32 + delay):

    mel                 [20, 80] normalised log-mel rows 0..9 and 58..67
    c<chunk>l<left>.d<depth>  [32, 32] embeddings; .logp [32, 40] log posteriors at depth 12
    c8l16.hidden<n>     [32, 32] what leaves layer n itself, 0 the subsampling (n of 0, 1, 2, 6, 12)
    only.<module>       [16, 32] depth 1, chunk 4, left 8, when only that module of the block
                        adds to the residual (the others' last matrices are zero); "none": the
                        block is just its output norm, so this is the subsampling
    rechunk             [32, 32] the same, and chunks of 4 from there on
    flush               [32, 32] depth 12, chunk 8, left 16, flushed after 4000 samples
    wake                [18, 32] internal frames 16.. at depth 12, when frames 8..15 were at 2

Experts have a model of their own (EXPERTS), with programs for each way to weigh one and two of them:

    <program>.d<depth>          [32, 32] embeddings, chunk 8, left 16, depths 1 to 4
    <program>.d<depth>.routes   [34, 1 or 2] the experts that every internal frame went through in layer <depth>

tiny_mimic.safetensors is that model with programs of mimics (MIMICS); its golden file has, at chunk 8, left 16,
    <program>           [32, 32] embeddings at its full depth; .logp [32, 40]

Maps that are reused: a shared model (REUSE) with a program for each number of layers a map, and an unshared one (VALUES)
whose layers without a map have no queries and keys in the file:

    <program>.d<depth>          [32, D] embeddings, chunk 8, left 16, at every depth; VALUES: base
"""

import os

import numpy as np
import torch

import export
import frontend
from mimic import Mimic, write_file
from model import chunk_mask, picked, rope_table
from modelfile import metadata_of, write_safetensors

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES, FRAMES = 10000, 32
REUSE = dict(seed=3, depth=6, blocks=2, norms=6, exit_from=0)
SHARED = {"own": 1, "two": 2, "three": 3}       # layers a map
VALUES = dict(seed=4, dim=16, ffn=32, depth=4, blocks=4, norms=4, exit_from=0, maps=2)
EXPERTS = dict(seed=13, depth=4, blocks=2, norms=4, experts=4, routers=4, exit_from=0)
TOPS = {"base": (1, False), "sure": (1, True), "two": (2, False), "two-renormalised": (2, True)}    # top, renormalised
MARGIN = 2e-3           # of logits: what no rounding moves
MIMICS = {"linear": ("linear", 1, 24, 0), "transformer": ("transformer", 1, 48, 0),     # kind, layers, inner width, after
          "two": ("linear", 2, 40, 0), "after-3": ("transformer", 2, 112, 3)}           # 112: wider than all else
LAST = {"ffn1": "ffn1.down", "att": "att.out", "conv": "conv.pw2", "ffn2": "ffn2.down"}


def triangle(i, period):
    return 2 * abs(i % period * 65536 // period - 32768) - 32768


def signal(n):
    """Noise and triangle waves, loud, soft and softer by turns of 100 ms. float32 [n]."""
    out, lcg = np.zeros(n, np.float32), 1
    for i in range(n):
        lcg = (lcg * 1664525 + 1013904223) & 0xFFFFFFFF
        v = int(((lcg >> 16) - 32768) / 8) + int(triangle(i, 73) / 4) + int(triangle(i, 13) / 8)
        out[i] = int(v / (1 << 2 * (i // 1600 % 3))) / 32768
    return out


def starts_mask(starts, frames, left):
    """chunk_mask for chunks that begin at the given frames."""
    allow = torch.zeros(frames, frames, dtype=torch.bool)
    for a, b in zip(starts, starts[1:] + [frames]):
        allow[a:b, max(0, a - left):b] = True
    return allow


def layers(m, x, first, last, allow, position=0):
    """What leaves after virtual layers [first, last) over x [1, T, D] whose frame 0 is at `position`:
    the mean of the outputs of layers exit_from to last, in the model's counting from 1."""
    bias = torch.zeros(allow.shape).masked_fill_(~allow, -1e9)
    cos, sin = rope_table(x.shape[1], m.config.dim // m.config.heads, first=position)
    outputs = []
    for layer in range(first, last):
        x = m.layer(layer, x, bias, cos, sin)
        outputs.append(x)
    averaged = outputs[max(0, m.config.exit_from - 1 - first):] if m.config.exit_from else []
    return torch.stack(averaged or [x]).mean(0)


def hidden(m, x, wanted, allow):
    """What leaves layer n as it is, for each n wanted, as s3prl counts hidden states."""
    bias = torch.zeros(allow.shape).masked_fill_(~allow, -1e9)
    cos, sin = rope_table(x.shape[1], m.config.dim // m.config.heads)
    out = {}
    for n in range(max(wanted) + 1):
        if n:
            x = m.layer(n - 1, x, bias, cos, sin)
        if n in wanted:
            out[n] = x[0, m.config.delay:]
    return out


def normalised_mel(m):
    rows = 2 * (FRAMES + m.config.delay)
    pcm = np.zeros((rows - 1) * frontend.HOP + frontend.WINDOW, np.float32)
    pcm[:SAMPLES] = signal(SAMPLES)
    mel = torch.from_numpy(frontend.log_mel(pcm))[None]
    return (mel - m.mel_mean) * m.mel_istd


def only(m, x, module):
    """Depth 1 with every module but one switched off."""
    saved = {k: v.clone() for k, v in m.state_dict().items()}
    for name, last in LAST.items():
        if name != module:
            linear = m.get_submodule(f"blocks.0.{last}")
            linear.weight.zero_(), linear.bias.zero_()
    y = layers(m, x, 0, 1, chunk_mask(x.shape[1], 4, 8))
    m.load_state_dict(saved)
    return y[0, m.config.delay:m.config.delay + 16]


@torch.no_grad()
def golden(m):
    delay, depth = m.config.delay, m.config.depth
    mel = normalised_mel(m)
    x = m.subsample(mel)
    T = x.shape[1]
    out = {"mel": torch.cat((mel[0, :10], mel[0, 58:68]))}
    for chunk, left in ((4, 8), (8, 16), (16, 64)):
        allow = chunk_mask(T, chunk, left)
        for d in (1, 2, 6, 12):
            y = layers(m, x, 0, d, allow)[0, delay:]
            out[f"c{chunk}l{left}.d{d}"] = y
        out[f"c{chunk}l{left}.logp"] = torch.log_softmax(m.head(y), -1)
    for n, y in hidden(m, x, (0, 1, 2, 6, 12), chunk_mask(T, 8, 16)).items():
        out[f"c8l16.hidden{n}"] = y
    for module in ("none", *LAST):
        out[f"only.{module}"] = only(m, x, module)
    # 4000 samples: 23 mel rows, so 11 frames: one chunk of 8, then 3 flushed
    out["flush"] = layers(m, x, 0, depth, starts_mask([0, 8, 11, 19, 27], T, 16))[0, delay:]
    # the same, and chunks of 4 from there on
    out["rechunk"] = layers(m, x, 0, depth, starts_mask([0, 8, *range(11, T, 4)], T, 16))[0, delay:]
    shallow = layers(m, x, 0, 2, chunk_mask(T, 8, 16))[:, 16:]      # below exit_from: layer 2's output
    out["wake"] = layers(m, shallow, 2, depth, chunk_mask(T - 16, 8, 16), position=16)[0]
    return {k: v.contiguous().numpy().astype(np.float32) for k, v in out.items()}


def experts_file(path):
    """A model with experts, in 16 bits, and its programs."""
    m = export.random_model(**EXPERTS)
    with torch.no_grad():
        for router in m.routers:
            router.weight.mul_(3)
    tensors = {k: v.detach().numpy() for k, v in export.model_tensors(m).items()}
    config = export.configuration(m, "tiny-experts")
    layers = config["programs"][0]["layers"]
    weights = {False: {}, True: {"weights": "renormalised"}}
    config["programs"] = [{"name": n, "layers": [{**layer, "top": top, **weights[r]} for layer in layers]}
                          for n, (top, r) in TOPS.items()]
    write_safetensors(path, {**tensors, **export.plain_decoder(m.config.classes)}, metadata_of(config), "f16")


@torch.no_grad()
def routed(m, top, renormalised):
    """{depth: ([T, D] what leaves, [T, top] routes of its last layer)}; no route may hang on rounding."""
    for block in m.blocks:
        block.ffn2.top, block.ffn2.renormalised = top, renormalised
    seen, out, x = [], {}, m.subsample(normalised_mel(m))
    hooks = [r.register_forward_hook(lambda _, __, logits: seen.append(logits[0])) for r in m.routers]
    for depth in range(1, m.config.depth + 1):
        x = layers(m, x, depth - 1, depth, chunk_mask(x.shape[1], 8, 16))
        largest = seen[-1].sort(-1, descending=True).values
        margin = (largest[:, :top] - largest[:, 1:top + 1]).min()
        assert margin > MARGIN, f"another seed: depth {depth} has a margin of {margin:.5f}"
        out[depth] = x[0, m.config.delay:], picked(seen[-1], top).float()
    for h in hooks:
        h.remove()
    return out


def golden_experts(path):
    m = export.import_model(path).eval()
    out = {}
    for name, how in TOPS.items():
        for depth, (y, routes) in routed(m, *how).items():
            out[f"{name}.d{depth}"], out[f"{name}.d{depth}.routes"] = y, routes
    return {k: v.contiguous().numpy().astype(np.float32) for k, v in out.items()}


def tiny_mimics():
    torch.manual_seed(9)
    out = {name: (Mimic(kind, n, inner, 32, 2), after) for name, (kind, n, inner, after) in MIMICS.items()}
    with torch.no_grad():
        for p in (p for mimic, _ in out.values() for p in mimic.parameters()):
            p.add_(0.1 * torch.randn_like(p))
    return out


@torch.no_grad()
def golden_mimics(m, mimics):
    x = m.subsample(normalised_mel(m))
    T = x.shape[1]
    bias = torch.zeros(T, T).masked_fill_(~chunk_mask(T, 8, 16), -1e9)
    turn, out = rope_table(T, m.config.dim // m.config.heads), {}
    for name, (mimic, after) in mimics.items():
        y = x
        for layer in range(after):
            y = m.layer(layer, y, bias, *turn)
        y = mimic(y, bias, *turn)[0, m.config.delay:]
        out[name], out[name + ".logp"] = y, torch.log_softmax(m.head(y), -1)
    return {k: v.contiguous().numpy() for k, v in out.items()}


def reuse_file(path, programs, **model):
    """A model in 16 bits with programs {name: layers a map}."""
    m = export.random_model(**model)
    tensors = {k: v.detach().numpy() for k, v in export.model_tensors(m).items()}
    config = export.configuration(m, os.path.basename(path).split(".")[0].replace("_", "-"))
    config["programs"] = []
    for name, m.config.maps in programs.items():
        config["programs"].append({"name": name, "layers": export.layers_of(m)})
    write_safetensors(path, {**tensors, **export.plain_decoder(m.config.classes)}, metadata_of(config), "f16")


@torch.no_grad()
def golden_reuse(path, programs):
    m = export.import_model(path).eval()
    out, x = {}, m.subsample(normalised_mel(m))
    allow = chunk_mask(x.shape[1], 8, 16)
    for name, m.config.maps in programs.items():
        for depth in range(1, m.config.depth + 1):
            out[f"{name}.d{depth}"] = layers(m, x, 0, depth, allow)[0, m.config.delay:]
    return {k: v.contiguous().numpy().astype(np.float32) for k, v in out.items()}


def write(name, tensors):
    path = os.path.join(HERE, "../tests/data", name)
    write_safetensors(path, tensors, {"made_by": "training/golden.py"})
    print(f"{path}: {len(tensors)} tensors, {os.path.getsize(path)} bytes")


def main():
    write("tiny_golden.safetensors", golden(export.random_model()))
    path = os.path.join(HERE, "../tests/data/tiny_experts.safetensors")
    experts_file(path)
    write("tiny_experts_golden.safetensors", golden_experts(path))
    for name, programs, model in (("tiny_reuse", SHARED, REUSE), ("tiny_values", {"base": 2}, VALUES)):
        path = os.path.join(HERE, f"../tests/data/{name}.safetensors")
        reuse_file(path, programs, **model)
        write(f"{name}_golden.safetensors", golden_reuse(path, programs))
    write_file(os.path.join(HERE, "../tests/data/tiny.safetensors"), os.path.join(HERE, "../tests/data/tiny_mimic.safetensors"), tiny_mimics())
    write("tiny_mimic_golden.safetensors", golden_mimics(export.random_model(), tiny_mimics()))


if __name__ == "__main__":
    main()

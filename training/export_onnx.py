#!/usr/bin/env python3
"""Model file or checkpoint -> ONNX with streaming caches: shoal's peer in tests/bench/peer.py.

    export_onnx.py --model ../models/shoal-base.safetensors --out /tmp/peer.onnx
    export_onnx.py --model ... --layout scan --depth 6 --out /tmp/peer6.onnx
    export_onnx.py --model ... --check /tmp/vectors        # what the C engine says, see below

One run of the graph is one chunk of 8 frames (160 ms) for B streams, B free:

    mel        [B, 16, mels]       normalised log-mel rows: the caller does the log-mel
    position   [B]                 frames that the stream has had so far, float
    mel_tail   [B, 2, mels]        last rows, input of the first convolution
    c1_tail    [B, 1, D]           last row, input of the second one
    keys       [L, B, H, left, dh] rotated keys, oldest first
    values     [L, B, H, left, dh]
    conv_tail  [L, B, taps - 1, D] input of the depthwise convolution
    ->  logp [B, 8, C], embedding [B, 8, D], and each cache as new_<name>

All caches begin as zeros. Open choices are made in ONNX Runtime's favour: linear layers are
Gemm on rows of all streams with weights stored as [in, out]; the residual's 1/2 and the scores'
1/sqrt(dh) are folded into weights; LayerNormalization is the fused operator; and the program's
shared block is in the file once, whether its layers share their norms, too, or have their own.
--layout says how the caches travel:

    stacked   as above, layers unrolled; the new caches are stacked again (one more copy)
    layers    one input and output a layer (keys_0, ...): unrolled, without that copy
    scan      as stacked, but one Scan over the layers, which reads and writes slices of the
              stacked caches in place, and of the layers' norms, stacked as [L, D]; the fastest

Unrolled or not, ONNX Runtime 1.30 packs a shared matrix once: opening a session takes 3 to 11 MB more
with packing than without (twelve copies would be 80 MB), so it has the engine's cache advantage.

--check writes noise through the C engine (capi.py) as raw little-endian float32: mel
[1, rows, mels], logp [T, C] and embedding [T, D] of the first T frames, and check.json with
the shapes, for tests/bench/ort/run.js; and compares the PyTorch module with it.
"""

import argparse
import json
import os
import tempfile
import warnings

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import frontend
import modelfile
from modelfile import exit_weights

CHUNK, OPSET = 8, 17
CACHES = ("keys", "values", "conv_tail")
NORMS = ("ffn1", "att", "conv", "conv_mid", "ffn2", "out")      # of a layer; each a weight and a bias


# ---- the model file --------------------------------------------------------------------

def read_model(path):
    """(configuration, {name: float32 tensor}); docs/model-format.md."""
    config, arrays = modelfile.read_model(path)
    config["mels"] = config["frontend"]["mels"]
    return config, {name: torch.from_numpy(a) for name, a in arrays.items()}


def read_checkpoint(path):
    """The same from a checkpoint of train.py, by way of a model file."""
    import export
    with tempfile.TemporaryDirectory() as d:
        file = os.path.join(d, "model.safetensors")
        export.export(export.load_checkpoint(path)[0], "checkpoint", file)
        return read_model(file)


# ---- the network, one chunk at a time -----------------------------------------------------

class Linear(nn.Module):
    """[N, in] -> [N, out]; weight held as [in, out], so that the exported Gemm needs no transpose."""

    def __init__(self, tensors, name, scale=1.0, rows=None):
        super().__init__()
        weight, bias = tensors[name + ".weight"] * scale, tensors[name + ".bias"] * scale
        if rows is not None:
            weight, bias = weight * rows[:, None], bias * rows
        self.weight = nn.Parameter(weight.t().contiguous())
        self.bias = nn.Parameter(bias)

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


def layer_norm(tensors, name):
    weight, bias = tensors[name + ".weight"], tensors[name + ".bias"]
    norm = nn.LayerNorm(len(weight))
    norm.weight, norm.bias = nn.Parameter(weight), nn.Parameter(bias)
    return norm


def norm_tensors(tensors, norms):
    """{name: [D]}: the norm set of a layer, in the order in which Block takes it."""
    return {f"norm_{n}_{kind}": tensors[f"norms.{norms}.{n}.{kind}"]
            for n in NORMS for kind in ("weight", "bias")}


def silu(x):
    return x * torch.sigmoid(x)


class Front(nn.Module):
    """mel -> rows of the first layer, and what all layers share: mask, cos and sin."""

    def __init__(self, config, tensors):
        super().__init__()
        self.c = config
        self.conv1 = Linear(tensors, "subsample.conv1")
        self.conv2 = Linear(tensors, "subsample.conv2")
        self.norm = layer_norm(tensors, "subsample.norm")
        half = config["dim"] // config["heads"] // 2
        freq = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
        left = config["left_frames"]
        self.register_buffer("freq", freq.float())
        self.register_buffer("frame", torch.arange(CHUNK).float()[None, :])
        self.register_buffer("age", torch.cat((torch.arange(left, 0, -1), torch.zeros(CHUNK))).float())

    def forward(self, mel, position, mel_tail, c1_tail):
        D, mels = self.c["dim"], self.c["mels"]
        rows = torch.cat((mel_tail, mel), 1)                                    # [B, 18, mels]
        taps = torch.cat((rows[:, :-2], rows[:, 1:-1], rows[:, 2:]), 2)
        c1 = silu(self.conv1(taps.reshape(-1, 3 * mels))).reshape(-1, 2 * CHUNK, D)
        rows = torch.cat((c1_tail, c1), 1)                                      # [B, 17, D]
        taps = torch.cat((rows[:, :-1].reshape(-1, CHUNK, 2 * D), rows[:, 2::2]), 2)
        x = self.norm(self.conv2(taps.reshape(-1, 3 * D)))                      # [B * 8, D]
        angle = (position[:, None] + self.frame)[:, None, :, None] * self.freq  # [B, 1, 8, dh/2]
        unheard = self.age[None, :] > position[:, None]                         # before the stream began
        mask = unheard.float()[:, None, None, :] * -1e9                         # [B, 1, 1, left + 8]
        return x, mask, angle.cos(), angle.sin(), mel[:, -2:], c1[:, -1:]


class Block(nn.Module):
    """What layers share. Their norms (norm_tensors) come with the input: a layer may have its own."""

    def __init__(self, config, tensors, block):
        super().__init__()
        self.c = config
        b, D = f"blocks.{block}.", config["dim"]
        scores = torch.ones(3 * D)
        scores[:D] = (D // config["heads"]) ** -0.5
        self.up1, self.down1 = Linear(tensors, b + "ffn1.up"), Linear(tensors, b + "ffn1.down", 0.5)
        self.up2, self.down2 = Linear(tensors, b + "ffn2.up"), Linear(tensors, b + "ffn2.down", 0.5)
        self.qkv, self.out = Linear(tensors, b + "att.qkv", rows=scores), Linear(tensors, b + "att.out")
        self.pw1, self.pw2 = Linear(tensors, b + "conv.pw1"), Linear(tensors, b + "conv.pw2")
        self.dw_weight = nn.Parameter(tensors[b + "conv.dw.weight"][:, None, None, :])
        self.dw_bias = nn.Parameter(tensors[b + "conv.dw.bias"])

    def attention(self, x, keys, values, mask, cos, sin):
        D, H = self.c["dim"], self.c["heads"]
        qkv = self.qkv(x).reshape(-1, CHUNK, 3 * H, D // H).transpose(1, 2)     # [B, 3 H, 8, dh]
        qk, v = qkv.split([2 * H, H], 1)
        a, b = qk.split([D // H // 2] * 2, -1)
        q, k = torch.cat((a * cos - b * sin, a * sin + b * cos), -1).split([H, H], 1)
        keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)       # [B, H, left + 8, dh]
        p = torch.softmax(torch.matmul(q, keys.transpose(2, 3)) + mask, -1)
        y = torch.matmul(p, values).transpose(1, 2).reshape(-1, D)
        return self.out(y), keys[:, :, CHUNK:], values[:, :, CHUNK:]

    def convolution(self, x, tail, norm_mid):
        D = self.c["dim"]
        value, gate = self.pw1(x).split([D, D], -1)
        g = (value * torch.sigmoid(gate)).reshape(-1, CHUNK, D)
        rows = torch.cat((tail, g), 1)                                          # [B, taps - 1 + 8, D]
        # as a convolution of a one-row image: ONNX Runtime has fast kernels for those only
        y = F.conv2d(rows.transpose(1, 2).unsqueeze(2), self.dw_weight, self.dw_bias, groups=D)
        y = y.squeeze(2).transpose(1, 2).reshape(-1, D)
        return self.pw2(silu(norm_mid(y))), rows[:, CHUNK:]

    def forward(self, x, keys, values, tail, mask, cos, sin, *norms):
        ffn1, att, conv, conv_mid, ffn2, out = (
            lambda x, weight=norms[i], bias=norms[i + 1]: F.layer_norm(x, weight.shape, weight, bias)
            for i in range(0, len(norms), 2))
        x = x + self.down1(silu(self.up1(ffn1(x))))
        y, keys, values = self.attention(att(x), keys, values, mask, cos, sin)
        x = x + y
        y, tail = self.convolution(conv(x), tail, conv_mid)
        x = x + y
        x = x + self.down2(silu(self.up2(ffn2(x))))
        return out(x), keys, values, tail


class Head(nn.Module):
    def __init__(self, config, tensors):
        super().__init__()
        self.c = config
        self.head = Linear(tensors, "head")

    def forward(self, x):
        logp = torch.log_softmax(self.head(x), -1)
        return logp.reshape(-1, CHUNK, self.c["classes"]), x.reshape(-1, CHUNK, self.c["dim"])


class Step(nn.Module):
    """One chunk through `depth` layers. stacked: caches [L, ...], else 3 tensors a layer."""

    def __init__(self, config, tensors, depth, stacked):
        super().__init__()
        self.stacked = stacked
        self.front, self.head = Front(config, tensors), Head(config, tensors)
        program = config["program"][:depth]
        self.blocks = nn.ModuleDict({str(b): Block(config, tensors, b) for b in {e["block"] for e in program}})
        self.norms = nn.ModuleDict({str(n): nn.ParameterList(norm_tensors(tensors, n).values())
                                    for n in {e["norms"] for e in program}})
        self.program = [(str(e["block"]), str(e["norms"])) for e in program]
        self.exits = exit_weights(program)

    def forward(self, mel, position, mel_tail, c1_tail, *caches):
        x, mask, cos, sin, mel_tail, c1_tail = self.front(mel, position, mel_tail, c1_tail)
        new, leaves = [], 0.0
        for layer, (block, norms) in enumerate(self.program):
            mine = [c[layer] for c in caches] if self.stacked else caches[3 * layer:3 * layer + 3]
            x, *out = self.blocks[block](x, *mine, mask, cos, sin, *self.norms[norms])
            leaves = leaves + self.exits[layer] * x if self.exits[layer] else leaves
            new.append(out)
        flat = [torch.stack(c) for c in zip(*new)] if self.stacked else [c for out in new for c in out]
        return (*self.head(leaves), position + CHUNK, mel_tail, c1_tail, *flat)


# ---- inputs and outputs -------------------------------------------------------------------

def cache_shapes(c, depth, layout, batch="B"):
    """{cache name: shape}; "B" stands for the batch."""
    dh = c["dim"] // c["heads"]
    kv = [batch, c["heads"], c["left_frames"], dh]
    layer = {"keys": kv, "values": kv, "conv_tail": [batch, c["kernel"] - 1, c["dim"]]}
    if layout == "layers":
        deep = {f"{n}_{i}": layer[n] for i in range(depth) for n in CACHES}
    else:
        deep = {n: [depth] + layer[n] for n in CACHES}
    return {"position": [batch], "mel_tail": [batch, 2, c["mels"]], "c1_tail": [batch, 1, c["dim"]], **deep}


def first_inputs(c, depth, layout, batch):
    """{name: tensor} at the start of a stream."""
    shapes = {"mel": [batch, 2 * CHUNK, c["mels"]], **cache_shapes(c, depth, layout, batch)}
    return {n: torch.zeros(s) for n, s in shapes.items()}


def output_names(inputs):
    return ["logp", "embedding"] + ["new_" + n for n in inputs if n != "mel"]


def torch_export(module, args, inputs, outputs, axes, path):
    """inputs, outputs: names; axes: {name: batch axis}."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, tuple(args), path, opset_version=OPSET, input_names=list(inputs),
                          output_names=list(outputs), dynamic_axes={n: {a: "B"} for n, a in axes.items()})


def batch_axes(c, depth, layout):
    axes = {n: s.index("B") for n, s in cache_shapes(c, depth, layout).items()}
    return {"mel": 0, "logp": 0, "embedding": 0, **axes, **{"new_" + n: a for n, a in axes.items()}}


def export_unrolled(c, tensors, depth, layout, path):
    inputs = first_inputs(c, depth, layout, 2)
    step = Step(c, tensors, depth, layout == "stacked").eval()
    torch_export(step, inputs.values(), inputs, output_names(inputs), batch_axes(c, depth, layout), path)


# ---- one Scan over the layers --------------------------------------------------------------

def export_part(module, args, inputs, outputs, free, directory):
    """A module's ONNX graph; free: names whose first axis is the batch (or rows of it)."""
    import onnx
    path = os.path.join(directory, "part.onnx")
    torch_export(module.eval(), args, inputs, outputs, {n: 0 for n in free}, path)
    return onnx.load(path).graph


def prefix_names(graph, prefix, keep):
    """Rename all values and nodes of a graph but those in keep, so that graphs can be joined."""
    name = lambda n: n if not n or n in keep else prefix + n
    for node in graph.node:
        node.name = prefix + node.name
        node.input[:] = [name(n) for n in node.input]
        node.output[:] = [name(n) for n in node.output]
    for value in [*graph.initializer, *graph.input, *graph.output]:
        value.name = name(value.name)
    return graph


def blend(body):
    """Give a Scan's body a second state: the outputs of its layers so far, each times its weight."""
    from onnx import TensorProto, helper
    value = lambda n, s: helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
    body.node.extend([helper.make_node("Mul", ["x_out", "exit"], ["part"], name="part"),
                      helper.make_node("Add", ["so_far", "part"], ["leaves_out"], name="leaves_out")])
    body.input.insert(1, value("so_far", ["rows", None]))
    body.input.append(value("exit", []))
    body.output.insert(1, value("leaves_out", ["rows", None]))


def export_scan(c, tensors, depth, path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    blocks = {e["block"] for e in c["program"][:depth]}
    if len(blocks) != 1:
        raise SystemExit("export_onnx.py: --layout scan needs one shared block; take layers")
    front, block, head = Front(c, tensors), Block(c, tensors, blocks.pop()), Head(c, tensors)
    sets = [norm_tensors(tensors, e["norms"]) for e in c["program"][:depth]]
    norms = {n: torch.stack([one[n] for one in sets]).numpy() for n in sets[0]}      # [depth, D] each
    exits = np.array(exit_weights(c["program"][:depth]), np.float32)
    start = first_inputs(c, 1, "scan", 2)
    shared, carried = ["mask", "cos", "sin"], ["mel", "position", "mel_tail", "c1_tail"]
    with torch.no_grad(), tempfile.TemporaryDirectory() as d:
        args = [start[n] for n in carried]
        x, mask, cos, sin, *_ = front(*args)
        outs = ["x"] + shared + ["new_mel_tail", "new_c1_tail"]
        f = prefix_names(export_part(front, args, carried, outs, carried + outs, d), "front.", carried + outs)
        ins, outs = ["x_in"] + list(CACHES), ["x_out"] + ["new_" + n for n in CACHES]
        args = [x] + [start[n][0] for n in CACHES] + [mask, cos, sin, *sets[0].values()]
        b = export_part(block, args, ins + shared + list(norms), outs, ins + shared + outs, d)
        blend(b)
        b = prefix_names(b, "block.", shared)
        ends = ["leaves", "logp", "embedding"]
        h = prefix_names(export_part(head, [x], ends[:1], ends[1:], ends, d), "head.", ends)
    for value in [v for v in b.input if v.name in shared]:
        b.input.remove(value)                       # taken from the outer graph
    scanned = [*CACHES, *norms, "exits"]
    scan = helper.make_node("Scan", ["x", "nothing", *scanned], ["x_last", "leaves"] + ["new_" + n for n in CACHES],
                            name="layers", body=b, num_scan_inputs=len(scanned))
    nothing = helper.make_node("Mul", ["x", "zero"], ["nothing"], name="nothing")
    stacked = [numpy_helper.from_array(a, n) for n, a in norms.items()]
    stacked += [numpy_helper.from_array(exits, "exits"), helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])]
    eight = helper.make_tensor("eight", TensorProto.FLOAT, [], [float(CHUNK)])
    step = helper.make_node("Add", ["position", "eight"], ["new_position"], name="step")
    inputs = first_inputs(c, depth, "scan", 2)
    info = io_info(c, depth, "scan", inputs)
    graph = helper.make_graph([*f.node, nothing, scan, *h.node, step], "shoal", *info,
                              initializer=[*f.initializer, *h.initializer, *stacked, eight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def io_info(c, depth, layout, inputs):
    from onnx import TensorProto, helper
    shapes = cache_shapes(c, depth, layout)
    info = lambda n, s: helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
    ins = [info(n, shapes.get(n, ["B", 2 * CHUNK, c["mels"]])) for n in inputs]
    outs = [info("logp", ["B", CHUNK, c["classes"]]), info("embedding", ["B", CHUNK, c["dim"]])]
    return ins, outs + [info("new_" + n, s) for n, s in shapes.items()]


# ---- against the C engine ------------------------------------------------------------------

def write_check(c, tensors, depth, model, directory, chunks=10):
    """The engine's answers for `chunks` chunks of noise; returns PyTorch's distance from them."""
    from capi import Engine
    pcm = 0.1 * np.random.default_rng(1).standard_normal(320 * CHUNK * chunks + 240).astype(np.float32)
    pcm[8000:12000] *= 0.01
    pcm *= 1 + np.sin(np.arange(len(pcm)) / 40.0).astype(np.float32)
    logp, emb = Engine(model, dim=c["dim"], classes=c["classes"]).stream(pcm, depth, CHUNK, c["left_frames"])
    delay = c["delay_frames"]
    T = CHUNK * chunks - delay                      # frames of whole chunks
    mel = (frontend.log_mel(pcm) - tensors["frontend.mean"].numpy()) * tensors["frontend.istd"].numpy()
    mel = mel[None, :2 * CHUNK * chunks].astype("<f4")
    for name, a in (("mel", mel), ("logp", logp[:T]), ("embedding", emb[:T])):
        np.ascontiguousarray(a, "<f4").tofile(os.path.join(directory, name + ".f32"))
    with open(os.path.join(directory, "check.json"), "w") as f:
        json.dump({"chunks": chunks, "rows": 2 * CHUNK, "mels": c["mels"], "frames": T, "delay": delay,
                   "classes": c["classes"], "dim": c["dim"], "depth": depth}, f)
    got = [run_torch(c, tensors, depth, mel, stacked) for stacked in (True, False)]
    return max(float(np.abs(g[i][delay:] - want[:T]).max()) for g in got for i, want in ((0, logp), (1, emb)))


def run_torch(c, tensors, depth, mel, stacked):
    inputs = first_inputs(c, depth, "stacked" if stacked else "layers", 1)
    step, out = Step(c, tensors, depth, stacked).eval(), []
    with torch.no_grad():
        for rows in np.split(mel, mel.shape[1] // (2 * CHUNK), 1):
            inputs["mel"] = torch.from_numpy(rows)
            logp, emb, *caches = step(*inputs.values())
            inputs.update(zip([n for n in inputs if n != "mel"], caches))
            out.append((logp[0].numpy(), emb[0].numpy()))
    return [np.concatenate(o) for o in zip(*out)]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", help="model file")
    ap.add_argument("--checkpoint", help="checkpoint of train.py instead")
    ap.add_argument("--depth", type=int, help="layers, from the first (default: all)")
    ap.add_argument("--layout", choices=("stacked", "layers", "scan"), default="stacked")
    ap.add_argument("--out", help="ONNX file to write")
    ap.add_argument("--check", help="directory for the engine's answers (needs --model)")
    a = ap.parse_args()
    if not a.model and not a.checkpoint:
        ap.error("--model or --checkpoint is needed")
    torch.set_num_threads(1)
    c, tensors = read_checkpoint(a.checkpoint) if a.checkpoint else read_model(a.model)
    depth = a.depth or len(c["program"])
    if a.out and a.layout == "scan":
        export_scan(c, tensors, depth, a.out)
    elif a.out:
        export_unrolled(c, tensors, depth, a.layout, a.out)
    if a.check:
        os.makedirs(a.check, exist_ok=True)
        print(f"PyTorch, streaming, against the engine: {write_check(c, tensors, depth, a.model, a.check):.2e}")


if __name__ == "__main__":
    main()

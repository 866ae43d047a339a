#!/usr/bin/env python3
"""Checkpoint -> model file (docs/model-format.md): safetensors with pools and a program.

    export.py --checkpoint /tmp/shoal-run/last.pt --out ../models/shoal-base.safetensors
    export.py --random tiny --out tiny.safetensors                   # for tests

The exponential moving average of the weights is what ships. Decoder tables come from
`decoder.py` or another model file (--decoder FILE) or, without it, a plain switching price.
"""

import argparse
import json
from dataclasses import fields

import numpy as np
import torch

import frontend
from model import Config, Encoder, Experts
from modelfile import DTYPES, exit_law, exit_share, metadata_of, read_model, read_safetensors, write_safetensors
from phones import PHONES


def block_tensors(b, index, values=False):
    """values: its attention has no queries and keys, as no layer makes a map with it."""
    linears = {"ffn1.up": b.ffn1.up, "ffn1.down": b.ffn1.down, **({} if values else {"att.qkv": b.att.qkv}),
               "att.out": b.att.out, "conv.pw1": b.conv.pw1, "conv.pw2": b.conv.pw2}
    linears = {f"blocks.{index}.{name}": l for name, l in linears.items()}
    several = isinstance(b.ffn2, Experts)
    for at, ffn in {f"experts.{index}.{e}": x for e, x in enumerate(b.ffn2.e)}.items() if several else \
            [(f"blocks.{index}.ffn2", b.ffn2)]:
        linears.update({f"{at}.up": ffn.up, f"{at}.down": ffn.down})
    out = {}
    for name, l in linears.items():
        out[f"{name}.weight"], out[f"{name}.bias"] = l.weight, l.bias
    if values:
        d = b.att.qkv.in_features
        out[f"blocks.{index}.att.v.weight"], out[f"blocks.{index}.att.v.bias"] = b.att.qkv.weight[2 * d:], b.att.qkv.bias[2 * d:]
    out[f"blocks.{index}.conv.dw.weight"] = b.conv.dw.weight[:, 0, :]
    out[f"blocks.{index}.conv.dw.bias"] = b.conv.dw.bias
    return out


def taps_last(w):
    """Conv1d [out, in, taps] -> [out, taps * in]: rows of the unfolded input."""
    return w.permute(0, 2, 1).reshape(w.shape[0], -1)


def model_tensors(m):
    out = {"frontend.window": torch.from_numpy(frontend.hann()),
           "frontend.mel_filters": torch.from_numpy(frontend.mel_filters()[:m.config.mels]),
           "frontend.mean": m.mel_mean, "frontend.istd": m.mel_istd}
    for name, conv in (("conv1", m.subsample.conv1), ("conv2", m.subsample.conv2)):
        out[f"subsample.{name}.weight"] = taps_last(conv.weight)
        out[f"subsample.{name}.bias"] = conv.bias
    out["subsample.norm.weight"] = m.subsample.norm.weight
    out["subsample.norm.bias"] = m.subsample.norm.bias
    for i, b in enumerate(m.blocks):
        out.update(block_tensors(b, i, all(l % m.config.maps for l in range(m.config.depth) if m.pooled(m.blocks, l) == i)))
    for i, n in enumerate(m.norms):
        for name, norm in n.named_children():
            out[f"norms.{i}.{name}.weight"], out[f"norms.{i}.{name}.bias"] = norm.weight, norm.bias
    for i, router in enumerate(m.routers):
        out[f"routers.{i}.weight"], out[f"routers.{i}.bias"] = router.weight, router.bias
    out["head.weight"], out["head.bias"] = m.head.weight, m.head.bias
    return out


def routed(m, layer):
    """What an entry says of its experts: each block has a bank."""
    c = m.config
    return {"experts": m.pooled(m.blocks, layer), "router": m.pooled(m.routers, layer), "top": c.top,
            **({"weights": "renormalised"} if c.renormalised else {})} if c.experts else {}


def attends(m, layer):
    """The operation of an entry, and where its attention map is from."""
    c = m.config
    return {"op": "reuse", "source": layer - layer % c.maps} if layer % c.maps else \
        {"op": "experts" if c.experts else "conformer", "attn": "own"}


def layers_of(m):
    c = m.config
    return [{**attends(m, i), "block": m.pooled(m.blocks, i), "norms": m.pooled(m.norms, i), **routed(m, i),
             **exit_share(c.exit_from, c.exit_power, i + 1)} for i in range(c.depth)]


def configuration(m, name, temperature=1.0):
    c = m.config
    return {
        "format": 2, "name": name,
        "frontend": {"rate": frontend.RATE, "window": frontend.WINDOW, "hop": frontend.HOP,
                     "fft": frontend.FFT, "mels": c.mels, "floor": frontend.FLOOR},
        "dim": c.dim, "ffn": c.ffn, "heads": c.heads, "kernel": c.kernel, "classes": c.classes,
        "delay_frames": c.delay, "left_frames": c.left, "blocks": c.blocks,
        "norm_sets": c.norms, **({"expert_banks": c.blocks, "experts": c.experts, "routers": c.routers} if c.experts else {}),
        "labels": PHONES, **({} if temperature == 1.0 else {"temperature": temperature}),
        "programs": [{"name": "base", "layers": layers_of(m)}]}


def plain_decoder(classes, price=2.5):
    t = np.full((classes, classes), -price, np.float32)
    np.fill_diagonal(t, 0.0)
    return {"decoder.transition": t, "decoder.log_prior": np.zeros(classes, np.float32)}


def divided(decoder, temperature):
    """The decoder's tables for posteriors of that temperature: its search is the same."""
    by = np.float32(temperature)
    return {k: v if k in ("head.priors", "decoder.contexts") else
            np.stack([v[:, 0], v[:, 1] / by], 1) if k in ("decoder.ngrams", "decoder.fourgram") else v / by
            for k, v in decoder.items()}


def decoder_of(path):
    """The decoder's tables in an npz of decoder.py or in a model file, for posteriors of temperature 1."""
    if path.endswith(".npz"):
        tensors, temperature = dict(np.load(path)), 1.0
    else:
        tensors, meta = read_safetensors(path)
        temperature = json.loads(meta["shoal"]).get("temperature", 1.0)
    tables = {n: v for n, v in tensors.items() if n.startswith("decoder.") or n == "head.priors"}
    return tables if temperature == 1.0 else divided(tables, 1 / temperature)


def export(m, name, path, decoder=None, dtype="f32", temperature=1.0):
    tensors = {k: v.detach().float().numpy() for k, v in model_tensors(m).items()}
    tensors.update(decoder or plain_decoder(m.config.classes))
    write_safetensors(path, tensors, metadata_of(configuration(m, name, temperature)), dtype)


def maps_of(program):
    """How many layers share a map."""
    return next((i for i, l in enumerate(program) if i and l["op"] != "reuse"), len(program) if len(program) > 1 and
                program[1]["op"] == "reuse" else 1)


@torch.no_grad()
def import_model(path):
    """A model file back into an Encoder: the inverse of export, to train on from what ships. Of several
    programs the first; a temperature becomes part of the head."""
    c, tensors = read_model(path)
    first, power = exit_law(c["program"])
    m = Encoder(Config(mels=c["frontend"]["mels"], dim=c["dim"], ffn=c["ffn"], heads=c["heads"],
                       kernel=c["kernel"], classes=c["classes"], depth=len(c["program"]),
                       left=c["left_frames"], delay=c["delay_frames"], blocks=c["blocks"],
                       norms=c["norm_sets"], exit_from=first, exit_power=power, experts=c.get("experts", 0),
                       routers=c.get("routers", 0), top=c["program"][0].get("top", 1),
                       renormalised=c["program"][0].get("weights") == "renormalised",
                       maps=maps_of(c["program"])))
    for conv, name in ((m.subsample.conv1, "conv1"), (m.subsample.conv2, "conv2")):
        w = torch.from_numpy(tensors[f"subsample.{name}.weight"])
        conv.weight.copy_(w.view(w.shape[0], 3, -1).permute(0, 2, 1))
    for name, view in model_tensors(m).items():
        if name not in ("subsample.conv1.weight", "subsample.conv2.weight"):
            view.copy_(torch.from_numpy(tensors[name]))
    return m


def configured(members):
    """A Config from a checkpoint's members. Those of other programs are no harm while they are off
    (../../shared/weights has experts and routers in its own)."""
    known = {f.name for f in fields(Config)}
    on = [k for k, v in members.items() if k not in known and v]
    if on:
        raise SystemExit(f"a checkpoint of another network: {', '.join(on)}")
    return Config(**{k: v for k, v in members.items() if k in known})


def load_checkpoint(path):
    s = torch.load(path, map_location="cpu")
    m = Encoder(configured(s["config"]))
    m.load_state_dict(s["ema"])
    return m.eval(), s


def load_model(path):
    """The Encoder of a checkpoint (.pt) or of a model file, ready for use."""
    return load_checkpoint(path)[0] if path.endswith(".pt") else import_model(path).eval()


def random_model(seed=7, **changes):
    """Small, random, but lively weights: every path through the network matters. The seed is one with
    which the signals of the tests make phones and speech."""
    torch.manual_seed(seed)
    m = Encoder(Config(**{**dict(dim=32, ffn=64, heads=2, depth=12, left=16, delay=2, exit_from=3), **changes}))
    with torch.no_grad():
        for n, p in m.named_parameters():
            if p.ndim == 1:
                p.add_(0.1 * torch.randn_like(p))
        m.mel_mean.fill_(-8.0)
        m.mel_istd.fill_(0.25)
    return m.eval()


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--checkpoint", help="or a model file, to give it another decoder")
    ap.add_argument("--decoder", help="npz of decoder.py, or a model file; head.priors in it goes along")
    ap.add_argument("--decoder-scale", type=float, default=1.0, help="of its prices: below 1 posteriors count for more")
    ap.add_argument("--random", help="name of a random test model instead of a checkpoint")
    ap.add_argument("--name", default="shoal-base")
    ap.add_argument("--dtype", choices=DTYPES, default="f32", help="of the network's matrices in the file")
    ap.add_argument("--temperature", type=float, default=1.0,
                    help="the engine divides logits by it; so are --decoder's tables, that phones stay what they are")
    ap.add_argument("--out", required=True)
    a = ap.parse_args()
    m = random_model() if a.random else load_model(a.checkpoint)
    decoder = divided(decoder_of(a.decoder), a.temperature / a.decoder_scale) if a.decoder else None
    export(m, a.random or a.name, a.out, decoder, a.dtype, a.temperature)
    print(f"{a.out}: {sum(p.numel() for p in m.parameters())} parameters")


if __name__ == "__main__":
    main()

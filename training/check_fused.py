#!/usr/bin/env python3
"""Compare the fused layers (fused.c) with the plain ones (model.py): outputs and every gradient.

The measure is relative error to plain float32: |a - b| / |b| over a tensor. Plain bf16 autocast
has such errors too; the fused layers must stay within 1.5 times of them (or under a small floor).
Exits with 1 on failure, with 77 where the fused layers do not apply.
"""

import sys

import torch

import fused
from model import Config, Encoder, rope_table

RATIO, FLOOR = 1.5, 4e-3

# name, changes to Config, B, T, depth, chunk, left, threads
CASES = [
    ("base, depth 1", {}, 2, 200, 1, 16, 64, 1),
    ("base, depth 12", {}, 3, 200, 12, 16, 64, 2),
    ("chunk of everything", {}, 2, 150, 4, 0, 32, 1),
    ("all of the past", {}, 2, 150, 4, 8, -1, 1),
    ("T not a multiple", {}, 3, 173, 3, 32, 32, 2),
    ("chunk 2, left 128", {}, 1, 317, 2, 2, 128, 1),
    ("one utterance", {}, 1, 97, 3, 4, 64, 2),
    ("one frame", {}, 1, 1, 2, 4, 64, 1),
    ("few frames", {}, 3, 7, 2, 4, 64, 2),
    ("long", {}, 1, 1100, 2, 64, 128, 2),
    ("12 norm sets", dict(norms=12), 2, 120, 12, 16, 64, 1),
    ("12 blocks", dict(blocks=12, norms=12), 2, 120, 12, 16, 64, 1),
    ("a map for two layers", dict(maps=2), 2, 120, 5, 16, 64, 1),
    ("a map for three, 12 norm sets", dict(maps=3, norms=12), 3, 173, 12, 8, 64, 2),
    ("experts, both of two", dict(experts=2, routers=1, top=2), 2, 120, 5, 16, 64, 1),
    ("all of three, 12 norm sets", dict(experts=3, top=3, blocks=2, norms=12, routers=2), 3, 173, 12, 8, 64, 2),
    ("other sizes", dict(dim=192, ffn=352, heads=3, kernel=7), 2, 140, 5, 8, 32, 1),
    ("short utterance, long kernel", dict(dim=64, ffn=96, heads=1, kernel=31), 5, 20, 3, 8, 32, 2),
]


def make(changes, seed):
    """A random model that is not at initialisation: norms and biases differ from 1 and 0."""
    torch.manual_seed(seed)
    model = Encoder(Config(**changes)).train()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1:
                p.add_(0.2 * torch.randn_like(p))
    return model


def gradients(model, x, taps, chunk, left, weights, layers, autocast):
    """{name: tensor}: outputs at the taps, gradients of x and of all parameters that took part."""
    c = model.config
    model.zero_grad(set_to_none=True)
    x = x.clone().requires_grad_()
    cos, sin = rope_table(x.shape[1], c.dim // c.heads)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        assert layers is Encoder.plain or fused.applies(model, x)
        seen = layers(model, x, range(max(taps)), taps, chunk, left, cos, sin)
    sum((seen[d].float() * weights[d]).sum() for d in taps).backward()
    found = {f"output {d}": seen[d].detach().float() for d in taps}
    found["x"] = x.grad
    found.update({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    return found


def error(a, b):
    return float((a - b).norm() / b.norm().clamp(min=1e-20))


def check(name, changes, B, T, depth, chunk, left, threads):
    torch.set_num_threads(threads)
    model = make(changes, 1)
    x = torch.randn(B, T, model.config.dim)
    taps = {max(1, depth // 2), depth}
    weights = {d: torch.randn(B, T, model.config.dim) for d in taps}
    arguments = (model, x, taps, chunk, left, weights)
    exact = gradients(*arguments, Encoder.plain, False)
    plain = gradients(*arguments, Encoder.plain, True)
    ours = gradients(*arguments, fused.run, True)
    assert exact.keys() == ours.keys(), exact.keys() ^ ours.keys()
    rows = [(error(ours[k], exact[k]), error(plain[k], exact[k]), k) for k in exact]
    worst = max(rows, key=lambda r: r[0] / max(RATIO * r[1], FLOOR))
    outputs = max(r[0] for r in rows if r[2].startswith("output"))
    mean = sum(r[0] for r in rows) / len(rows), sum(r[1] for r in rows) / len(rows)
    ok = all(r[0] <= max(RATIO * r[1], FLOOR) for r in rows)
    print(f"{name:28s} {outputs:8.1e} {mean[0]:8.1e} {mean[1]:8.1e}   {worst[0]:8.1e} {worst[1]:8.1e} "
          f"{worst[2]:28s} {'ok' if ok else 'FAILED'}", flush=True)
    return ok


def check_routes(renormalised):
    """One of four experts, and two of them: in float32, frames sorted by expert or not, it is the same."""
    found = []
    for top in (1, 2):
        model = make(dict(dim=64, ffn=128, experts=4, routers=1, top=top, renormalised=renormalised), 2)
        experts, router, x, weights = model.blocks[0].ffn2, model.routers[0], torch.randn(3, 70, 64), torch.randn(3, 70, 64)
        for way in (experts, lambda x, router: fused.through(experts, x, router)):
            model.zero_grad(set_to_none=True)
            y = way(x.requires_grad_(), router)
            (y * weights).sum().backward()
            found.append([y.detach(), x.grad, *(p.grad for p in (*experts.parameters(), *router.parameters()))])
            x = x.detach()
    worst = max(error(b, a) for plain, sorted_ in zip(found[::2], found[1::2]) for a, b in zip(plain, sorted_))
    print(f"routes{', renormalised' if renormalised else '':22s} {worst:8.1e} {'ok' if worst < 1e-5 else 'FAILED'}", flush=True)
    return worst < 1e-5


def main():
    model = make({}, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if not fused.applies(model, torch.zeros(1, 1, model.config.dim)):
            print("the fused layers do not apply here (neither AMX nor AVX512_BF16, or no gcc)")
            return 77
    print(f"{'':28s} {'outputs':>8s} {'mean of all':>17s}   {'worst':>17s}")
    print(f"{'':28s} {'fused':>8s} {'fused':>8s} {'plain':>8s}   {'fused':>8s} {'plain':>8s}")
    return 0 if all([*(check(*case) for case in CASES), *map(check_routes, (False, True))]) else 1


if __name__ == "__main__":
    sys.exit(main())

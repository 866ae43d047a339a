#!/usr/bin/env python3
"""Train the shared-block encoder on frame-level phone targets.

    prepare.py                                   # once
    train.py --out /tmp/shoal-run --steps 6000   # resumes from /tmp/shoal-run/last.pt if there

Every step draws one depth L ~ U{1..N} (Layer Consistency), one chunk and one left context,
so that one set of weights serves every depth and every latency. The loss is frame
cross-entropy at depth L plus half of that at one shallower depth of the same pass, which
costs one more head only; from --crf-from on, the sequence loss of crf.py is added. From random
weights N grows from 4 to 12 over the first fifth of the steps: deep loops of an untrained block are
wasted time. Learning rate: warm-up, constant, linear decay over the last --tail of the steps.
Weights that ship are an exponential moving average.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

import fused
from crf import crf_loss
from data import Features, Strength, batches, moments, shift
from decoder import tables
from export import load_model
from lm import counts
from model import Config, Encoder
from optim import MuonAdamW
from phones import collapse, edits


SHORT = 8       # frames, 160 ms: chunks up to this learn from the whole clip (--whole)


def schedule(step, steps, peak, warm=200, tail=0.3):
    if step < warm:
        return peak * (step + 1) / warm
    return peak * min(1.0, max(0.02, (steps - step) / (tail * steps)))


def corpus_weight(e, other={}):
    """Probability of a copy in an epoch. There are three copies (speeds) of each clip: 0.34 is one. other: {corpus: instead}."""
    if e["corpus"] in other:
        return other[e["corpus"]]
    return {
        "picovoice-words": 0.05,     # command words repeat themselves: a few of them are enough
        "dspspeech": 0.05,
        "picovoice-intent": 0.12,    # 60 words in ever the same order
        "synthetic": 0.15,           # six voices
        "hibari": 0.1,               # one voice, warped
        "kokoro": 0.5,               # 24 voices and their blends
        "librispeech": 0.68,         # native readers, every clip another one
        "commonvoice": 1.0,          # native speakers, own microphones
        "cathy": 0.15,               # one reader
        "robotutor": 0.15,           # a few readers
        "robotutor-words": 0.1,
        "speechocean762": 1.0,       # at 0.5 accented readers lost 2 points while native ones gained
    }.get(e["corpus"], 0.34)


def weighed(text):
    """CORPUS=WEIGHT of the command line."""
    corpus, weight = text.rsplit("=", 1)
    return corpus, float(weight)


def inventory(entries, other={}):
    """{corpus: clips, hours, hours with labels, weight} of the recordings at their own speed."""
    out = {}
    for e in entries:
        if e["speed"] == 1.0:
            c = out.setdefault(e["corpus"], dict(clips=0, hours=0.0, labelled=0.0, weight=corpus_weight(e, other)))
            c["clips"] += 1
            c["hours"] += len(e["labels"]) / 180000
            c["labelled"] += float((e["labels"] >= 0).sum()) / 180000
    return out


def draw_depths(rng, deepest, law, deep=0.0):
    """(depth of the step, shallower depth whose loss counts half; the same depth: none)."""
    if law == "fixed":
        return deepest, deepest
    depth = deepest if rng.random() < deep else int(rng.integers(1, deepest + 1))
    return depth, int(rng.integers(1, depth)) if depth > 1 else depth


def draw_dropped(rng, depth, share):
    """Virtual layers (0-based, not the first) that a step leaves out: LayerDrop (arXiv 1909.11556)."""
    return frozenset(i for i in range(1, depth) if rng.random() < share)


def draw_maps(rng, share):
    """How many layers share an attention map in a step (arXiv 2305.11685): two or three in that share of the steps."""
    return int(rng.integers(2, 4)) if rng.random() < share else 1


def draw_context(rng, short=0.0):
    """(chunk, left context) in frames; a chunk of 0 is the whole clip. short: share of steps with one of up to 80 ms, whatever else is drawn."""
    chunks = [2, 4, 4, 4] if short and rng.random() < short else [2, 4, 4, 8, 8, 16, 16, 32, 64, 0]
    return int(rng.choice(chunks)), int(rng.choice([32, 64, 64, 128]))


@torch.no_grad()
def keep_average(ema, model, step):
    """Exponential moving average of the weights; short at first, to forget the start."""
    keep = min(0.998, 1 - 1 / (1 + step / 10))
    for k, v in model.state_dict().items():
        ema[k].mul_(keep).add_(v, alpha=1 - keep)


def save_run(folder, state, summary):
    """last.pt, never half written, and summary.json."""
    last = os.path.join(folder, "last.pt")
    torch.save(state, last + ".tmp")
    os.replace(last + ".tmp", last)
    with open(os.path.join(folder, "summary.json"), "w") as f:
        json.dump(summary, f)


def flicker(logits, labels):
    """Mean squared distance of the posteriors of neighbouring frames of one phone: [B, T, C], [B, T]."""
    p = logits.softmax(-1)
    same = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] >= 0)
    return (p[:, 1:] - p[:, :-1]).square().sum(-1)[same].mean()


@torch.no_grad()
def whole_clip(model, mel):
    """Posteriors [B, T, C] at full depth where every frame sees the whole clip: what shorter chunks may learn from."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, seen = model(mel, model.config.depth, 0, mel.shape[1], taps=(model.config.depth,))
        return model.head(seen[model.config.depth]).float().softmax(-1)


def update(model, optim, batch, depths, context, lr, crf=None, distill=0.0, dropped=(), steady=0.0, maps=1, whole=0.0):
    """One step of training; returns the frame cross-entropy.

    batch: (mel, labels); depths: of draw_depths; context: (chunk, left) in frames;
    crf: (weight, transition, log prior) of the sequence loss, or None; distill: weight of the
    cross-entropy of the shallower depth to the posteriors of the deeper; dropped: of draw_dropped; steady:
    weight of flicker(); maps: of draw_maps; whole: weight of the cross-entropy to whole_clip(), where chunks are SHORT.
    """
    mel, lab = batch
    depth, other = depths
    seen_whole = whole_clip(model, mel) if whole and 0 < context[0] <= SHORT else None
    model.config.maps = maps
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, seen = model(mel, depth, *context, taps=(other, depth), dropped=dropped)
        out = [(model.head(seen[depth]).float(), 1.0)]
        if other != depth:
            out.append((model.head(seen[other]).float(), 0.5))
    model.config.maps = 1
    weight = sum(w for _, w in out)
    loss = sum(w * F.cross_entropy(o.transpose(1, 2), lab, label_smoothing=0.05) for o, w in out)
    entropy = loss.item() / weight
    if crf:
        loss = loss + crf[0] * sum(w * crf_loss(F.log_softmax(o, -1), lab, *crf[1:]) for o, w in out)
    if steady:
        loss = loss + steady * sum(w * flicker(o, lab) for o, w in out)
    if distill and other != depth:
        deep, shallow = out[0][0].detach().softmax(-1), F.log_softmax(out[1][0], -1)
        loss = loss - distill * (deep * shallow).sum(-1)[lab >= 0].mean()
    if seen_whole is not None:
        loss = loss - whole * sum(w * (seen_whole * F.log_softmax(o, -1)).sum(-1)[lab >= 0].mean() for o, w in out)
    (loss / weight).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optim.step(lr)
    optim.zero_grad()
    return entropy


@torch.no_grad()
def rearranged(model, blocks, norms):
    """The same function with more blocks or norm sets: each starts as the one its layer used before."""
    wide = Encoder(replace(model.config, blocks=blocks, norms=norms))
    state = {k: v for k, v in model.state_dict().items() if not k.startswith(("norms.", "blocks."))}
    wide.load_state_dict(state, strict=False)
    for layer in range(model.config.depth):
        for old, new in ((model.norms, wide.norms), (model.blocks, wide.blocks)):
            new[wide.pooled(new, layer)].load_state_dict(old[model.pooled(old, layer)].state_dict())
    return wide


@torch.no_grad()
def evaluate(model, feats, entries, depths, chunk, left):
    """{depth: (greedy PER, accuracy of speech frames)} on whole clips, chunk-masked."""
    model.eval()
    err = {d: 0 for d in depths}
    hit, total, words = dict(err), 0, 0
    delay = model.config.delay
    for e in entries:
        mel = torch.from_numpy(feats.get(e))[None]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, seen = model(mel, max(depths), chunk, left, taps=depths)
            logp = {d: model.head(seen[d])[0].float() for d in depths}
        ref = shift(e["labels"], delay)
        speech = ref != 0
        for d in depths:
            hyp = logp[d].argmax(-1).numpy()
            err[d] += edits(e["phones"], collapse(hyp))
            hit[d] += (hyp == ref)[speech].sum()
        total += speech.sum()
        words += len(e["phones"])
    model.train()
    return {d: (err[d] / words, float(hit[d] / total)) for d in depths}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--out", required=True)
    ap.add_argument("--steps", type=int, default=6000)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--tail", type=float, default=0.3, help="share of the steps in which it decays")
    ap.add_argument("--seconds", type=float, default=100.0, help="audio a step")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--eval-every", type=int, default=500)
    ap.add_argument("--crf-from", type=int, default=1750, help="step; the sequence loss from here")
    ap.add_argument("--crf-weight", type=float, default=1.0)
    ap.add_argument("--init", help="model file or checkpoint to start from, e.g. ../models/shoal-base.safetensors")
    ap.add_argument("--norms", type=int, default=1, help="norm sets: 1, or 12 for private ones")
    ap.add_argument("--layers", type=int, default=12, help="virtual layers")
    ap.add_argument("--dim", type=int, default=Config.dim, help="width; four times that in the feed-forward modules")
    ap.add_argument("--blocks", type=int, default=1, help="1: shared; as --layers: a block for each")
    ap.add_argument("--exit-from", type=int, help="first layer of the mean that leaves at greater depths; "
                    "0: the last layer alone; as --init has it unless given")
    ap.add_argument("--exit-power", type=float, help="the n-th layer of that mean weighs n^-this")
    ap.add_argument("--depth-law", default="uniform", choices=("uniform", "fixed"),
                    help="fixed: every step at full depth, no loss at any other")
    ap.add_argument("--deep", type=float, default=0.0,
                    help="share of steps at full depth; the rest draws its depth uniformly")
    ap.add_argument("--drop", type=float, default=0.0, help="share of the layers that a step leaves out")
    ap.add_argument("--warp", type=float, default=0.0,
                    help="of frequency (vocal tract length), e.g. 0.1: factors 0.9 to 1.1")
    ap.add_argument("--masks", type=float, default=1.0, help="width and number of SpecAugment's masks")
    ap.add_argument("--keep", type=int, default=0,
                    help="every so many steps the averaged weights stay as STEP.pt, for average.py")
    ap.add_argument("--distill", type=float, default=0.0,
                    help="weight of the deeper depth's posteriors as targets of the shallower one")
    ap.add_argument("--steady", type=float, default=0.0,
                    help="weight of the distance of posteriors of neighbouring frames of one phone")
    ap.add_argument("--whole", type=float, default=0.0,
                    help="weight of full depth's posteriors with the whole clip in sight as targets of short chunks")
    ap.add_argument("--short", type=float, default=0.0,
                    help="share of steps in which the chunk is one of up to 80 ms, besides those that draw it anyway")
    ap.add_argument("--maps", type=float, default=0.0,
                    help="share of steps in which two or three layers share an attention map")
    ap.add_argument("--save-every", type=int, default=250, help="steps between checkpoints")
    ap.add_argument("--hold-out", nargs="*", default=[], help="corpora left out of training, e.g. vctk-p239")
    ap.add_argument("--weigh", type=weighed, nargs="*", default=[], metavar="CORPUS=WEIGHT",
                    help="probability of a copy in an epoch, instead of the recipe's")
    ap.add_argument("--misfits", action="store_true", help="hear the clips of misfits.txt, too")
    ap.add_argument("--warm", type=int, default=200, help="steps in which the rate rises")
    ap.add_argument("--no-fused", action="store_true", help="the plain PyTorch layers, not fused.c")
    a = ap.parse_args()
    fused.enabled = not a.no_fused
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    os.makedirs(a.out, exist_ok=True)

    feats, weights = Features(a.features, a.misfits), dict(a.weigh)
    train = [e for e in feats.select(split="train") if e["labels"] is not None
             and e["corpus"] not in a.hold_out]
    dev = feats.select(split="dev")
    dev = [e for e in dev if e["labels"] is not None][::10]
    noises = feats.select(corpus="esc10-noise")
    if a.init:
        model = load_model(a.init).train()
        if (a.blocks, a.norms) != (model.config.blocks, model.config.norms):
            model = rearranged(model, a.blocks, a.norms)
        config = model.config
    else:
        config = Config(dim=a.dim, ffn=4 * a.dim, depth=a.layers, blocks=a.blocks, norms=a.norms)
        model = Encoder(config)
        mean, istd = moments(feats, train)
        model.mel_mean.copy_(torch.from_numpy(mean))
        model.mel_istd.copy_(torch.from_numpy(istd))
    if a.exit_from is not None:
        config.exit_from = a.exit_from
    if a.exit_power is not None:
        config.exit_power = a.exit_power
    optim = MuonAdamW(model)
    paths = [torch.from_numpy(x) for x in tables(*counts(train), 0.6, 2.0, 0.2)]
    ema = {k: v.clone() for k, v in model.state_dict().items()}
    step, spent, starts = 0, 0.0, [0]
    last = os.path.join(a.out, "last.pt")
    if os.path.exists(last):
        s = torch.load(last)
        model.load_state_dict(s["model"])
        optim.load_state_dict(s["optim"])
        ema, step, spent = s["ema"], s["step"], s.get("seconds", 0.0)
        starts = s.get("starts", starts) + [step]
        print(f"resumed at step {step}", flush=True)
    rng = np.random.default_rng(a.seed * 1000003 + step)
    stream = batches(feats, train, [corpus_weight(e, weights) for e in train], noises,
                     a.seed * 7919 + step, config.delay, a.seconds, strength=Strength(a.warp, a.masks))
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(train)} clips", flush=True)
    log = open(os.path.join(a.out, "log.jsonl"), "a")
    t0, mark, losses = time.time(), step, []

    def save():
        seconds = spent + time.time() - t0
        save_run(a.out, dict(model=model.state_dict(), ema=ema, optim=optim.state_dict(), step=step,
                             seconds=seconds, starts=starts, config=config.dict(), args=vars(a)),
                 dict(seed=a.seed, steps=step, seconds=seconds, starts=starts, audio_seconds=a.seconds, threads=a.threads,
                      hold_out=a.hold_out, corpora=inventory(train, weights), command="train.py " + " ".join(sys.argv[1:])))

    while step < a.steps:
        mel, lab = next(stream)
        full = a.init or a.depth_law == "fixed"
        deepest = config.depth if full else min(config.depth, 4 + int(8 * step / (0.2 * a.steps)))
        depths = draw_depths(rng, deepest, a.depth_law, a.deep)
        losses.append(update(model, optim, (mel, lab), depths, draw_context(rng, a.short),
                             schedule(step, a.steps, a.lr, a.warm, a.tail),
                             (a.crf_weight, *paths) if step >= a.crf_from else None, a.distill,
                             draw_dropped(rng, depths[0], a.drop) if a.drop else (), a.steady,
                             draw_maps(rng, a.maps) if a.maps else 1, a.whole))
        step += 1
        keep_average(ema, model, step)
        if step % 50 == 0:
            print(f"step {step} loss {np.mean(losses):.3f} {(time.time() - t0) / (step - mark):.2f} s/step",
                  flush=True)
            losses = []
        if step % a.save_every == 0:
            save()
        if a.keep and step % a.keep == 0:
            torch.save(dict(ema=ema, step=step, config=config.dict()), os.path.join(a.out, f"{step}.pt"))
        if step % a.eval_every == 0 or step == a.steps:
            probe = Encoder(config)
            probe.load_state_dict(ema)
            r = evaluate(probe, feats, dev, [d for d in (1, 2, 3, 4, 6, 8, 12) if d <= config.depth],
                         16, config.left)
            print("eval " + "  ".join(f"{d}: {p:.3f}/{c:.3f}" for d, (p, c) in r.items()), flush=True)
            log.write(json.dumps(dict(step=step, per={d: p for d, (p, _) in r.items()},
                                      acc={d: c for d, (_, c) in r.items()})) + "\n")
            log.flush()
    save()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Self-supervised pre-training: predict discrete units of masked speech, no labels needed.

    prepare.py ...                                        # once, keeps unlabelled speech too
    pretrain.py --out /tmp/shoal-pre --steps 3000         # resumes from /tmp/shoal-pre/last.pt if there
    train.py --init /tmp/shoal-pre/last.pt --out /tmp/shoal-run ...

As HuBERT's first iteration (Hsu et al., arXiv 2106.07447): the unit of a 20 ms frame is the nearest
of --units k-means centres of its log-mels, here of 80 ms around it, less the clip's mean, whitened
and reduced by PCA (BEST-RQ, arXiv 2202.01855, would draw projection and centres at random). Spans of
the input are masked; the encoder, at a depth drawn uniformly, in chunks, must name the units of the
masked frames. Input is noisy and coloured (data.py), units are those of the recording as it is
(WavLM, arXiv 2110.13900). The head of this task is not kept for phones.
"""

import argparse
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from data import FLOOR_LOG, Features, groups, moments, noisy, shift
from model import Config, Encoder
from optim import MuonAdamW
from train import corpus_weight, draw_context, draw_depths, keep_average, save_run, schedule

CONTEXT = 8                 # mel frames of 10 ms that make a unit
SPAN, MASKED = 10, 0.4      # frames of 20 ms; share of the frames
HEAD_SCALE = 10.0           # the logits are cosines times this


class Units:
    """Log-mels of a clip -> a unit for each 20 ms frame."""

    def __init__(self, mean, projection, centres):
        self.mean, self.projection, self.centres = mean, projection, centres

    @staticmethod
    def windows(mel):
        """[F, 80] -> [F / 2, CONTEXT * 80], centred on the 20 ms frame, less the clip's mean."""
        mel = mel - mel.mean(0)
        pad = CONTEXT // 2 - 1
        padded = np.pad(mel, ((pad, pad), (0, 0)), mode="edge")
        view = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT, axis=0)[::2]
        return view.reshape(len(view), -1)

    @classmethod
    def learn(cls, feats, entries, units, seed, dims=32, clips=600, rounds=20):
        rng = np.random.default_rng(seed)
        pick = rng.permutation(len(entries))[:clips]
        x = np.concatenate([cls.windows(feats.get(entries[i]))[::3] for i in pick])
        mean = x.mean(0)
        variance, axes = np.linalg.eigh(np.cov((x - mean).T))
        projection = (axes[:, -dims:] / np.sqrt(variance[-dims:])).astype(np.float32)
        z = (x - mean) @ projection
        centres = z[rng.choice(len(z), units, replace=len(z) < units)]
        for _ in range(rounds):                             # Lloyd; an empty centre moves anywhere
            near = cls.nearest(z, centres)
            sums = np.zeros_like(centres)
            np.add.at(sums, near, z)
            n = np.bincount(near, minlength=units)[:, None]
            centres = np.where(n > 0, sums / np.maximum(n, 1), z[rng.integers(len(z), size=units)])
        return cls(mean.astype(np.float32), projection, centres.astype(np.float32))

    @staticmethod
    def nearest(z, centres):
        return (z @ centres.T - 0.5 * (centres ** 2).sum(1)).argmax(1)

    def __call__(self, mel):
        return self.nearest((self.windows(mel) - self.mean) @ self.projection, self.centres)


def spans(frames, rng):
    """[frames] bool: about MASKED of them, in spans of SPAN that may overlap."""
    mask = np.zeros(frames, bool)
    starts = rng.random(frames) < -np.log(1 - MASKED) / SPAN
    for s in np.nonzero(starts)[0]:
        mask[s:s + SPAN] = True
    return mask


def masked_batch(feats, group, units, fill, noises, rng, delay):
    """(mel [B, F, 80] masked, units [B, T] of the masked frames, -100 elsewhere)."""
    longest = max(e["frames"] for e in group)
    mel = np.full((len(group), longest, 80), FLOOR_LOG, np.float32)
    target = np.full((len(group), longest // 2), -100, np.int64)
    mean, std = fill
    for b, e in enumerate(group):
        clean = feats.get(e)
        mask = spans(len(clean) // 2, rng)
        hidden = np.repeat(mask, 2)
        x = noisy(clean, feats, noises, rng, 0.6)
        x[hidden] = mean + 0.1 * std * rng.standard_normal((hidden.sum(), 80))
        mel[b, :len(x)] = x
        label = shift(np.where(mask, units(clean), -100), delay)
        label[:delay] = -100
        target[b, :len(label)] = label
    return torch.from_numpy(mel), torch.from_numpy(target)


class Task(torch.nn.Module):
    """The encoder and a head of cosine similarity to the units' embeddings."""

    def __init__(self, encoder, units):
        super().__init__()
        self.encoder = encoder
        self.units = torch.nn.Parameter(torch.randn(units, encoder.config.dim))

    def forward(self, mel, target, depth, context):
        """(mean cross-entropy over the masked frames, share that was named rightly)."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, seen = self.encoder(mel, depth, *context, taps=(depth,))
        hidden = target >= 0
        x = F.normalize(seen[depth][hidden].float(), dim=-1)
        logits = HEAD_SCALE * F.linear(x, F.normalize(self.units, dim=-1))
        return F.cross_entropy(logits, target[hidden]), (logits.argmax(-1) == target[hidden]).float().mean()


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--out", required=True)
    ap.add_argument("--steps", type=int, default=3000)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--tail", type=float, default=0.8, help="share of the steps in which it decays")
    ap.add_argument("--seconds", type=float, default=100.0, help="audio a step")
    ap.add_argument("--units", type=int, default=512)
    ap.add_argument("--norms", type=int, default=12)
    ap.add_argument("--hold-out", nargs="*", default=[], help="corpora left out, e.g. vctk-p239")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    os.makedirs(a.out, exist_ok=True)
    last = os.path.join(a.out, "last.pt")

    feats = Features(a.features)
    speech = [e for e in feats.index if e["split"] in ("train", "unlabelled") and e["corpus"] not in a.hold_out]
    noises = feats.select(corpus="esc10-noise")
    units = Units.learn(feats, [e for e in speech if e["speed"] == 1.0], a.units, a.seed)
    encoder = Encoder(Config(norms=a.norms))
    mean, istd = moments(feats, speech)
    encoder.mel_mean.copy_(torch.from_numpy(mean))
    encoder.mel_istd.copy_(torch.from_numpy(istd))
    task = Task(encoder, a.units)
    optim = MuonAdamW(task)
    ema = {k: v.clone() for k, v in encoder.state_dict().items()}
    step, spent = 0, 0.0
    if os.path.exists(last):
        s = torch.load(last)
        task.load_state_dict(s["task"])
        optim.load_state_dict(s["optim"])
        ema, step, spent = s["ema"], s["step"], s["seconds"]
        print(f"resumed at step {step}", flush=True)
    rng = np.random.default_rng(a.seed * 1000003 + step)
    stream = groups(speech, [corpus_weight(e) for e in speech], rng, a.seconds)
    hours = sum(e["frames"] for e in speech if e["speed"] == 1.0) / 360000
    print(f"{hours:.2f} h of speech, {a.units} units", flush=True)
    begin, mark, told = time.time(), step, []

    def save():
        seconds = spent + time.time() - begin
        save_run(a.out, dict(model=encoder.state_dict(), task=task.state_dict(), ema=ema, optim=optim.state_dict(),
                             step=step, seconds=seconds, config=encoder.config.dict(), args=vars(a)),
                 dict(seed=a.seed, steps=step, seconds=seconds, units=a.units, hours=hours,
                      command="pretrain.py " + " ".join(sys.argv[1:])))

    while step < a.steps:
        mel, target = masked_batch(feats, next(stream), units, (mean, 1 / istd), noises, rng, encoder.config.delay)
        depth, _ = draw_depths(rng, encoder.config.depth, "uniform")
        loss, right = task(mel, target, depth, draw_context(rng))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 5.0)
        optim.step(schedule(step, a.steps, a.lr, tail=a.tail))
        optim.zero_grad()
        told.append((loss.item(), right.item()))
        step += 1
        keep_average(ema, encoder, step)
        if step % 50 == 0:
            loss, right = np.mean(told, 0)
            print(f"step {step} loss {loss:.3f}, {100 * right:.1f} % named rightly, "
                  f"{(time.time() - begin) / (step - mark):.2f} s/step", flush=True)
            told = []
        if step % 250 == 0:
            save()
    save()


if __name__ == "__main__":
    main()

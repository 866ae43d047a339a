#!/usr/bin/env python3
"""Self-supervised pre-training: predict discrete units of masked speech, no labels needed.

    prepare.py ...                                        # once, keeps unlabelled speech too
    pretrain.py --out /tmp/shoal-pre --steps 3000         # resumes from /tmp/shoal-pre/last.pt if there
    train.py --init /tmp/shoal-pre/last.pt --out /tmp/shoal-run ...
    selfsup.py ...                                        # what it is worth, shared and unshared

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

import fused
from data import FLOOR_LOG, Features, groups, moments, noisy
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

    @classmethod
    def kept(cls, path, *learn):
        """Those of a file, or learnt and kept there: other recordings later shall not give other units."""
        if not os.path.exists(path):
            units = cls.learn(*learn)
            np.savez(path, mean=units.mean, projection=units.projection, centres=units.centres)
        with np.load(path) as z:
            return cls(z["mean"], z["projection"], z["centres"])

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
    """(mel [B, F, 80] masked, units [B, T], -100 where there are none, bool [B, T]: masked)."""
    longest = max(e["frames"] for e in group)
    mel = np.full((len(group), longest, 80), FLOOR_LOG, np.float32)
    target = np.full((len(group), longest // 2), -100, np.int64)
    masked = np.zeros(target.shape, bool)
    mean, std = fill
    for b, e in enumerate(group):
        clean = feats.get(e)
        mask = spans(len(clean) // 2, rng)
        hidden = np.repeat(mask, 2)
        x = noisy(clean, feats, noises, rng, 0.6)
        x[hidden] = mean + 0.1 * std * rng.standard_normal((hidden.sum(), 80))
        mel[b, :len(x)] = x
        target[b, delay:len(mask)] = units(clean)[:-delay]
        masked[b, delay:len(mask)] = mask[:-delay]
    return torch.from_numpy(mel), torch.from_numpy(target), torch.from_numpy(masked)


class Task(torch.nn.Module):
    """The encoder and a head of cosine similarity to the units' embeddings.

    seen: what the frames that are not masked weigh beside the others (HuBERT's alpha is 1 / (1 + seen)).
    """

    def __init__(self, encoder, units, seen=0.0):
        super().__init__()
        self.encoder, self.seen = encoder, seen
        self.units = torch.nn.Parameter(torch.randn(units, encoder.config.dim))

    def forward(self, mel, target, masked, depth, context):
        """(loss, share of the masked frames that was named rightly, of the others)."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, out = self.encoder(mel, depth, *context, taps=(depth,))
        known = target >= 0
        target, masked = target[known], masked[known]
        x = F.normalize(out[depth][known].float(), dim=-1)
        logits = HEAD_SCALE * F.linear(x, F.normalize(self.units, dim=-1))
        losses, right = F.cross_entropy(logits, target, reduction="none"), (logits.argmax(-1) == target).float()
        loss = (losses[masked].mean() + self.seen * losses[~masked].mean()) / (1 + self.seen)
        return loss, right[masked].mean(), right[~masked].mean()


class Learner:
    """One arm: its task, the average of its weights, how far it is; goes on from out/last.pt if that is there.

    law: of its depth, as draw_depths has it.
    """

    def __init__(self, out, config, units, seen, law, seed, mel):
        """units: how many; seen: as Task has it; mel: (mean, 1/std) of the log-mels."""
        torch.manual_seed(seed)
        self.encoder, self.law, self.out = Encoder(config), law, out
        self.encoder.mel_mean.copy_(torch.from_numpy(mel[0]))
        self.encoder.mel_istd.copy_(torch.from_numpy(mel[1]))
        self.task = Task(self.encoder, units, seen)
        self.optim = MuonAdamW(self.task)
        self.ema = {k: v.clone() for k, v in self.encoder.state_dict().items()}
        self.step, self.seconds, self.cpu = 0, 0.0, 0.0
        os.makedirs(out, exist_ok=True)
        self.resume(os.path.join(out, "last.pt"))
        self.rng = np.random.default_rng(seed * 7919 + self.step)

    def resume(self, last):
        if os.path.exists(last):
            s = torch.load(last)
            self.task.load_state_dict(s["task"])
            self.optim.load_state_dict(s["optim"])
            self.ema, self.step, self.seconds, self.cpu = s["ema"], s["step"], s["seconds"], s.get("cpu", 0.0)
            print(f"{self.out}: resumed at step {self.step}", flush=True)

    def update(self, batch, steps, lr, tail):
        """One step of `steps`, batch: of masked_batches -> what Task says of it."""
        begin, cpu = time.time(), time.process_time()
        *inputs, context = batch
        depth, _ = draw_depths(self.rng, self.encoder.config.depth, self.law)
        loss, *right = self.task(*inputs, depth, context)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.task.parameters(), 5.0)
        self.optim.step(schedule(self.step, steps, lr, min(200, steps // 10), tail))
        self.optim.zero_grad()
        self.step += 1
        keep_average(self.ema, self.encoder, self.step)
        self.seconds += time.time() - begin
        self.cpu += time.process_time() - cpu
        return loss.item(), *(r.item() for r in right)

    def fused(self):
        """Whether its layers are those of fused.c."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return fused.applies(self.encoder, self.encoder.mel_mean)

    def save(self, **summary):
        save_run(self.out, dict(model=self.encoder.state_dict(), task=self.task.state_dict(), ema=self.ema,
                                optim=self.optim.state_dict(), step=self.step, seconds=self.seconds, cpu=self.cpu,
                                config=self.encoder.config.dict()),
                 dict(steps=self.step, seconds=self.seconds, cpu_seconds=self.cpu, depth_law=self.law, fused=self.fused(), **summary))


def masked_batches(feats, speech, units, mel, delay, seconds, seed):
    """Endless (mel, units, masked, (chunk, left context)) of about `seconds` of audio."""
    rng = np.random.default_rng(seed)
    noises = feats.select(corpus="esc10-noise")
    for group in groups(speech, [corpus_weight(e) for e in speech], rng, seconds):
        yield (*masked_batch(feats, group, units, (mel[0], 1 / mel[1]), noises, rng, delay), draw_context(rng))


def corpus(feats, hold_out=()):
    """(clips to learn from, hours of them at their own speed)"""
    speech = [e for e in feats.index if e["split"] in ("train", "unlabelled") and e["corpus"] not in hold_out]
    return speech, sum(e["frames"] for e in speech if e["speed"] == 1.0) / 360000


def options(doc):
    ap = argparse.ArgumentParser(description=doc.split("\n")[0])
    ap.add_argument("--features", default="/tmp/shoal-features")
    ap.add_argument("--out", required=True)
    ap.add_argument("--steps", type=int, default=3000)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--tail", type=float, default=0.8, help="share of the steps in which it decays")
    ap.add_argument("--seconds", type=float, default=100.0, help="audio a step")
    ap.add_argument("--units", type=int, default=512)
    ap.add_argument("--seen", type=float, default=0.0, help="weight of the frames that are not masked")
    ap.add_argument("--norms", type=int, default=12)
    ap.add_argument("--dim", type=int, default=256)
    ap.add_argument("--hold-out", nargs="*", default=[], help="corpora left out, e.g. vctk-p239")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    return ap


def main():
    ap = options(__doc__)
    ap.add_argument("--blocks", type=int, default=1, help="1: shared; 12: a block for each layer")
    ap.add_argument("--depth-law", default="uniform", choices=("uniform", "fixed"), help="fixed: every step at full depth")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    feats = Features(a.features)
    speech, hours = corpus(feats, a.hold_out)
    os.makedirs(a.out, exist_ok=True)
    units = Units.kept(os.path.join(a.out, "units.npz"), feats, [e for e in speech if e["speed"] == 1.0], a.units, a.seed)
    mel, config = moments(feats, speech), Config(dim=a.dim, ffn=4 * a.dim, blocks=a.blocks, norms=a.norms)
    run = Learner(a.out, config, a.units, a.seen, a.depth_law, a.seed, mel)
    stream = masked_batches(feats, speech, units, mel, config.delay, a.seconds, a.seed * 1000003 + run.step)
    print(f"{hours:.2f} h of speech, {a.units} units, {'fused' if run.fused() else 'plain'} layers", flush=True)
    begin, mark, told = time.time(), run.step, []

    def save():
        run.save(seed=a.seed, units=a.units, hours=hours, command="pretrain.py " + " ".join(sys.argv[1:]))

    while run.step < a.steps:
        told.append(run.update(next(stream), a.steps, a.lr, a.tail))
        if run.step % 50 == 0:
            loss, hidden, seen = np.mean(told, 0)
            print(f"step {run.step} loss {loss:.3f}, {100 * hidden:.1f} % of the masked frames named rightly, {100 * seen:.1f} % of others, "
                  f"{(time.time() - begin) / (run.step - mark):.2f} s/step", flush=True)
            told = []
        if run.step % 250 == 0:
            save()
    save()


if __name__ == "__main__":
    main()

"""Prepared features -> augmented training batches (see prepare.py)."""

import json
import os
from dataclasses import dataclass

import numpy as np
import torch

from frontend import HIGH_HZ, LOW_HZ, MELS, hz_of_mel, mel_of_hz

FLOOR_LOG = float(np.log(1e-6))


@dataclass(frozen=True)
class Strength:
    """How far augment() goes."""
    warp: float = 0.0       # of frequency: factors 1 - warp .. 1 + warp
    masks: float = 1.0      # width and number of SpecAugment's masks


MISFITS = "misfits.txt"         # ids of training clips to leave out (misfits.py)


class Features:
    """misfits: those clips as well."""

    def __init__(self, folder, misfits=False):
        self.mel = np.memmap(os.path.join(folder, "feats.f16"), np.float16, "r").reshape(-1, 80)
        with open(os.path.join(folder, "index.json")) as f:
            self.index = json.load(f)
        path = os.path.join(folder, MISFITS)
        if os.path.exists(path) and not misfits:
            with open(path) as f:
                bad = set(f.read().split())
            self.index = [e for e in self.index if e["split"] != "train" or e["id"] not in bad]
        for e in self.index:
            if e["labels"] is not None:
                e["labels"] = np.array(e["labels"], np.int64)

    def get(self, e):
        return np.array(self.mel[e["offset"]:e["offset"] + e["frames"]], np.float32)

    def select(self, **want):
        return [e for e in self.index if all(e[k] == v for k, v in want.items())]


def moments(feats, entries):
    """Mean and 1/std of each mel over up to 500 clips."""
    rng = np.random.default_rng(0)
    pick = rng.permutation(len(entries))[:500]
    x = np.concatenate([feats.get(entries[i])[::3] for i in pick])
    return x.mean(0).astype(np.float32), (1.0 / x.std(0)).astype(np.float32)


def warped(mel, factor):
    """The log-mel [F, 80] of a vocal tract 1/factor times as long: band f shows what was at f * factor.

    Vocal tract length perturbation (Jaitly and Hinton 2013) on mel bands; the top band repeats.
    """
    bands = np.linspace(mel_of_hz(LOW_HZ), mel_of_hz(HIGH_HZ), MELS + 2)
    at = np.interp(mel_of_hz(hz_of_mel(bands[1:-1]) * factor), bands[1:-1], np.arange(MELS))
    low = np.minimum(at.astype(int), MELS - 2)
    share = (at - low).astype(np.float32)
    return mel[:, low] * (1 - share) + mel[:, low + 1] * share


def augment(mel, noise, rng, strength=Strength()):
    """Warp, level, colour, band limit, additive noise and SpecAugment, all on the log-mel [F, 80].

    noise: log-mel of some noise clip or None. Powers add, so noise is mixed by logaddexp.
    """
    if strength.warp:
        mel = warped(mel, rng.uniform(1 - strength.warp, 1 + strength.warp))
    mel = mel + rng.uniform(-3.0, 1.5)                     # -13 .. +6.5 dB
    knots = rng.normal(0, 0.5, 5)                          # microphone and room colour
    mel = mel + np.interp(np.linspace(0, 4, 80), np.arange(5), knots).astype(np.float32)
    if noise is not None:
        n = noise[(rng.integers(len(noise)) + np.arange(len(mel))) % len(noise)]
        snr = rng.uniform(3, 30) * 0.2302585
        mel = np.logaddexp(mel, n - n.mean() + np.percentile(mel.mean(1), 85) - snr)
    if rng.random() < 0.1:                                 # telephone: nothing above 3.4 kHz
        mel[:, 57:] = FLOOR_LOG
    mel = np.maximum(mel, FLOOR_LOG)
    mean = mel.mean()
    widest = round(16 * strength.masks)
    for _ in range(2):
        w = rng.integers(0, widest)
        f = rng.integers(0, 80 - w)
        mel[:, f:f + w] = mean
    for _ in range(max(1, int(strength.masks * len(mel) / 150))):
        w = rng.integers(0, widest)
        t = rng.integers(0, max(1, len(mel) - w))
        mel[t:t + w] = mean
    return mel.astype(np.float32)


def shift(labels, delay):
    """Target of output frame j is the phone of input frame j - delay."""
    return np.concatenate([np.zeros(delay, np.int64), labels[:len(labels) - delay]])


def groups(entries, weights, rng, seconds=100.0):
    """Endless lists of entries of like length, about `seconds` of audio each with padding.

    weights: how often an epoch holds the entry, a probability.
    """
    weights = np.asarray(weights)
    budget = seconds * 100
    while True:
        order = rng.permutation(np.nonzero(rng.random(len(entries)) < weights)[0])
        for a in range(0, len(order), 400):
            pool = sorted(order[a:a + 400], key=lambda i: entries[i]["frames"])
            found, group = [], []
            for i in pool:
                if group and entries[i]["frames"] * (len(group) + 1) > budget:
                    found.append(group)
                    group = []
                group.append(i)
            found.append(group)
            for g in rng.permutation(len(found)):
                yield [entries[i] for i in found[g]]


def batches(feats, entries, weights, noises, seed, delay, seconds=100.0, with_noise=0.6,
            strength=Strength()):
    """Endless (mel [B, F, 80], labels [B, T], -100 where padded or unknown) of groups()."""
    rng = np.random.default_rng(seed)
    for group in groups(entries, weights, rng, seconds):
        yield collate(feats, group, noises, rng, delay, with_noise, strength)


def noisy(mel, feats, noises, rng, with_noise, strength=Strength()):
    """mel [F, 80] augmented, with a random noise clip in that share of the cases."""
    noise = None
    if noises and rng.random() < with_noise:
        noise = feats.get(noises[rng.integers(len(noises))])
    return augment(mel, noise, rng, strength)


def collate(feats, group, noises, rng, delay, with_noise, strength):
    F = max(e["frames"] for e in group)
    mel = np.full((len(group), F, 80), FLOOR_LOG, np.float32)
    lab = np.full((len(group), F // 2), -100, np.int64)
    for b, e in enumerate(group):
        mel[b, :e["frames"]] = noisy(feats.get(e), feats, noises, rng, with_noise, strength)
        lab[b, :e["frames"] // 2] = shift(e["labels"], delay)
    return torch.from_numpy(mel), torch.from_numpy(lab)

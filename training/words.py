#!/usr/bin/env python3
"""Words told apart by their embeddings: query by example, with words and voices that no training heard.

    voices.py kokoro --only --each words.txt --seed 9 --out RUN/words-kokoro
    synth.py --unheard --each words.txt --seed 9 --out RUN/words-espeak
    words.py --clips RUN/words-kokoro RUN/words-espeak --card ../models/shoal-base.md

The words of words.txt stand in no transcript and no sentence that training speaks, which is checked first. A clip,
streamed by the C engine at a depth, becomes one vector: silence at both ends is left off (frames whose likeliest
class is SIL), the rest cut into SEGMENTS equal parts, the mean of each of unit length, one after the other. A word
is known by the mean of its examples, one or three, each in another voice; a clip in a further voice is taken for
the word whose mean is nearest by cosine. Every choice of voices for the examples is tried (of three, DRAWS at
random). The intervals are of draws of the voices that are asked. Log-mels, cut and pooled alike, beside it.
"""

import argparse
import itertools
import json
import os

import numpy as np
import soundfile as sf

import intervals
from capi import Engine
from corpus import read_manifest
from evaluate import BUILT_IN, model_sha
from frontend import log_mel
from report import insert, rows
from texts import sentences, words

HERE = os.path.dirname(os.path.abspath(__file__))
LIST = os.path.join(HERE, "words.txt")
SEGMENTS, EXAMPLES, DRAWS, SEED = 4, (1, 3), 200, 1
DELAY = 3               # frames that the labels come late: log-mels do not


def chosen():
    with open(LIST) as f:
        return f.read().split()


def heard_in_training(speech):
    """Those of the list that some transcript or spoken sentence has."""
    manifest = read_manifest(speech)
    known = {w for text in (*(r["text"] for r in manifest), *sentences(manifest)) for w in words(text)}
    return sorted(known & set(chosen()))


def clips(folders):
    """[(word, voice, samples)]"""
    return [(r["text"], r["speaker"], sf.read(os.path.join(folder, r["path"]), dtype="float32")[0])
            for folder in folders for r in read_manifest(folder)]


def pooled(x):
    """[T, D] -> [SEGMENTS * D], each part of unit length."""
    parts = [x[len(x) * i // SEGMENTS:max(len(x) * (i + 1) // SEGMENTS, len(x) * i // SEGMENTS + 1)].mean(0)
             for i in range(SEGMENTS)]
    return np.concatenate([p / np.linalg.norm(p) for p in parts])


def spoken(logp):
    """First frame and end of what is not silence."""
    at = np.flatnonzero(logp.argmax(1) != 0)
    return (at[0], at[-1] + 1) if len(at) >= SEGMENTS else (0, len(logp))


def vectors(engine, found, depth):
    """[clips, SEGMENTS * D] of embeddings, and of log-mels."""
    out, mels = [], []
    for _, _, pcm in found:
        logp, embedding = engine.stream(pcm, depth)
        a, b = spoken(logp)
        out.append(pooled(embedding[a:b]))
        mel = log_mel(pcm)
        a, b = (min(max(0, 2 * (t - DELAY)), len(mel) - s) for t, s in ((a, SEGMENTS), (b, 0)))
        mels.append(pooled(mel[a:b] - mel.mean(0)))
    return np.array(out), np.array(mels)


def groups(voices, examples):
    every = list(itertools.combinations(voices, examples))
    if len(every) <= DRAWS:
        return every
    pick = np.random.default_rng(SEED).choice(len(every), DRAWS, replace=False)
    return [every[i] for i in sorted(pick)]


def right(x, said, voice, examples):
    """{voice asked: share of its clips that are taken for their word}"""
    names, voices = sorted(set(said)), sorted(set(voice))
    hits = {v: [] for v in voices}
    for group in groups(voices, examples):
        known = np.isin(voice, group)
        means = np.stack([x[known & (said == w)].sum(0) if (known & (said == w)).any() else np.full(x.shape[1], np.nan)
                          for w in names])
        scores = x @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
        best = np.array(names)[np.nan_to_num(scores, nan=-np.inf).argmax(1)]
        for v in voices:
            if v not in group:
                hits[v].extend((best == said)[voice == v])
    return {v: float(np.mean(h)) for v, h in hits.items()}


def interval(shares):
    """"mean (low..high)" in percent."""
    x = 100 * np.array(list(shares.values()))
    return "{:.1f} ({:.1f}..{:.1f})".format(*intervals.interval(x[intervals.drawn(len(x))].mean(1)))


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", default=BUILT_IN)
    ap.add_argument("--speech", default="../../shared/speech", help="whose words must not be among ours")
    ap.add_argument("--clips", nargs="+", required=True, help="folders of voices.py and synth.py with --each words.txt")
    ap.add_argument("--depths", type=int, nargs="*", default=(1, 3, 6, 12))
    ap.add_argument("--card", help="between its marks")
    ap.add_argument("--json")
    ap.add_argument("--lib")
    a = ap.parse_args()
    known = heard_in_training(a.speech)
    if known:
        raise SystemExit(f"{LIST}: training hears {', '.join(known)}; take others")
    found = clips(a.clips)
    said, voice = (np.array([c[i] for c in found]) for i in (0, 1))
    engine, table = Engine(a.model, a.lib), {}
    for depth in a.depths:
        x, mels = vectors(engine, found, depth)
        table[f"embedding@{depth}"] = [right(x, said, voice, n) for n in EXAMPLES]
        table["log-mel"] = [right(mels, said, voice, n) for n in EXAMPLES]
        print(depth, *map(interval, table[f"embedding@{depth}"]), flush=True)
    table["log-mel"] = table.pop("log-mel")         # last
    text = (f"`words.py`, model {model_sha(a.model)}: {len(set(said))} words in {len(set(voice))} voices, {len(found)} "
            f"clips; % right, in brackets 95 % of the draws of the voices.\n\n" +
            rows(["feature", *(f"{n} example{'s' * (n > 1)} a word" for n in EXAMPLES)],
                 [[name, *map(interval, shares)] for name, shares in table.items()]))
    print(text)
    if a.card:
        insert(a.card, "words.py", text)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(table, f, indent=1)


if __name__ == "__main__":
    main()

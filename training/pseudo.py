#!/usr/bin/env python3
"""Labels for recordings that have none: recognised, aligned, and kept where they are believed.

    apt-get install python3-pocketsphinx pocketsphinx-en-us
    pseudo.py --speech ../../shared/speech --out pseudo

PocketSphinx writes down the words (Debian's language model for the read books of `librispeech`, the
grammar coffee.gram for the orders of `picovoice-intent`), then aligns their phones. A word is
believed when PocketSphinx and our own model both do:

    posterior   of the word in the recogniser's lattice (always 1 under the grammar)
    agreement   mean over the word's phones of log P(phone) - log P(best phone), ours, 0 at best

The frames of other words become `?`: no label, ignored by the losses (train.py). A clip of which too
little is believed is left out. What was heard, with both scores of every word, is kept in
<out>/words.jsonl and not recognised again; --known measures the labels on clips whose words are
known.
"""

import argparse
import json
import os
from dataclasses import dataclass

import numpy as np
import soundfile as sf
import torch

from corpus import read_alignments, read_manifest
from export import import_model
from frontend import log_mel
from phones import INDEX, UNKNOWN, edits, read_dictionary
from recognise import MODEL, NOISE, Aligner, decode, make_decoder, plain, spoken

HERE = os.path.dirname(os.path.abspath(__file__))
GENERAL = dict(lm=MODEL + "en-us.lm.bin")


@dataclass
class Recipe:
    """How a corpus is recognised, and what is believed of it."""
    recogniser: dict
    posterior: float       # of a word, at least
    agreement: float       # of a word, at least
    clip: float            # share of a clip's speech that must be believed, or it is left out


# Under a grammar all words are likely and some of a misheard order sound alike, so there the clip
# decides; in free text a word does.
RECIPES = {
    "librispeech": Recipe(GENERAL, 0.5, -1.0, 0.3),
    "picovoice-intent": Recipe(dict(jsgf=os.path.join(HERE, "coffee.gram")), 0.0, -2.0, 0.75),
}


class Listener:
    """A clip -> {"duration": frames, "words": [...]} with phones, times and both scores."""

    def __init__(self, model):
        self.decoders, self.aligner, self.dictionary = {}, Aligner(), read_dictionary()
        self.model, self.depth = import_model(model).eval(), 6

    def recognise(self, row, pcm):
        recipe = RECIPES.get(row["corpus"], RECIPES["librispeech"])
        name = str(recipe.recogniser)
        if name not in self.decoders:
            self.decoders[name] = make_decoder(**recipe.recogniser)
        return [(w, p) for w, _, _, p in decode(self.decoders[name], pcm)
                if spoken(w) or w.startswith("[")]

    @torch.no_grad()
    def posteriors(self, pcm):
        """Log posteriors of our model, [T, C], one a 20 ms frame of the clip."""
        tail = np.zeros(320 * (self.model.config.delay + 1) + 400, np.float32)
        mel = log_mel(np.concatenate([pcm.astype(np.float32) / 32768, tail]))
        mel = torch.from_numpy(mel[:len(mel) // 2 * 2])[None]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logp = self.model(mel, self.depth, 16, self.model.config.left)
        return logp[0, self.model.config.delay:].float().numpy()

    def __call__(self, path, row):
        pcm, _ = sf.read(os.path.join(path, row["path"]), dtype="int16")
        heard = [(w, p, self.dictionary[w] if spoken(w) else [NOISE])
                 for w, p in self.recognise(row, pcm)]
        aligned = self.aligner(pcm, [phones for _, _, phones in heard])
        if not heard or aligned is None:
            return None
        logp = self.posteriors(pcm)
        words = [dict(word=plain(w), posterior=round(p, 3), phones=[]) for w, p, _ in heard]
        for phone, a, b, n in aligned:
            if n >= 0:
                words[n]["phones"].append((phone, a, b))
        for w in words:
            w["agreement"] = round(agreement(logp, w["phones"]), 2)
        return dict(id=row["id"], duration=len(pcm) // 160, words=words)


def agreement(logp, phones):
    scores = []
    for phone, a, b in phones:
        x = logp[a // 2:max(a // 2 + 1, b // 2)]
        if phone != NOISE and len(x):
            scores.append((x[:, INDEX[phone]] - x.max(1)).mean())
    return float(np.mean(scores)) if scores else -99.0


def believed(word, posterior, agree):
    return word["posterior"] >= posterior and word["agreement"] >= agree


def labels(clip, posterior, agree):
    """[(phone name, start, end)] over the whole clip, `?` where a word is not believed."""
    out, at = [], 0
    for w in clip["words"]:
        for phone, a, b in w["phones"]:
            if a > at:
                out.append(("SIL", at, a))
            keep = believed(w, posterior, agree)
            if not keep and out and out[-1][0] == UNKNOWN and out[-1][2] == a:
                out[-1] = (UNKNOWN, out[-1][1], b)
            else:
                out.append((phone if keep else UNKNOWN, a, b))
            at = b
    if at < clip["duration"]:
        out.append(("SIL", at, clip["duration"]))
    return bridge(out)


def bridge(segments):
    """A silence between two words that are not believed is not believed either."""
    for i in range(1, len(segments) - 1):
        if segments[i][0] == "SIL" and segments[i - 1][0] == segments[i + 1][0] == UNKNOWN:
            segments[i] = (UNKNOWN, *segments[i][1:])
    return segments


def share(segments):
    """Believed part of what is not silence, 0..1."""
    size = lambda names: sum(b - a for p, a, b in segments if (p == UNKNOWN) in names and p != "SIL")
    return size((False,)) / max(1, size((True, False)))


def write_labels(path, clips, recipe):
    kept, frames, frames_all = 0, 0, 0
    with open(path, "w") as f:
        for clip in clips:
            segments = labels(clip, recipe.posterior, recipe.agreement)
            frames_all += sum(b - a for p, a, b in segments if p != "SIL")
            if share(segments) < recipe.clip:
                continue
            kept += 1
            frames += sum(b - a for p, a, b in segments if p not in ("SIL", UNKNOWN))
            f.write(clip["id"] + "\t" + " ".join(f"{p}:{a}-{b}" for p, a, b in segments) + "\n")
    print(f"{path}: {kept} of {len(clips)} clips, {frames / 360000:.2f} of "
          f"{frames_all / 360000:.2f} h of speech frames")


def quality(clips, truth, posteriors, agreements):
    """Words by posterior and agreement: share of all, frame errors, phone error rate inside them."""
    cells = {}
    for clip in clips:
        ref = np.zeros(clip["duration"] + 100, int)
        for p, a, b in truth[clip["id"]]:
            ref[a:b] = p
        for w in clip["words"]:
            span = w["phones"][0][1], w["phones"][-1][2]
            hyp = [INDEX[p] for p, _, _ in w["phones"]]
            there = [p for p, a, b in truth[clip["id"]] if p and span[0] <= (a + b) / 2 < span[1]]
            wrong = sum((ref[a:b] != INDEX[p]).sum() for p, a, b in w["phones"])
            for i in posteriors:
                for j in agreements:
                    if believed(w, i, j) and w["word"][0] != "[":
                        c = cells.setdefault((i, j), np.zeros(4))
                        c += span[1] - span[0], wrong, edits(there, hyp), len(there)
    everything = cells[min(posteriors), min(agreements)][0]
    print("posterior >=  agreement >=  kept  frame errors  phone error rate")
    for (i, j), c in sorted(cells.items()):
        print(f"{i:12.2f}  {j:12.1f}  {c[0] / everything:4.0%}  {c[1] / c[0]:12.1%}  {c[2] / c[3]:16.1%}")


def listen(speech, rows, model, cache):
    """The clips of rows, as Listener heard them; the file `cache` remembers."""
    known = {}
    if os.path.exists(cache):
        with open(cache) as f:
            known = {c["id"]: c for c in map(json.loads, f)}
    listener = None
    with open(cache, "a") as f:
        for row in rows:
            if row["id"] in known:
                continue
            listener = listener or Listener(model)
            clip = listener(speech, row)
            if clip:
                known[row["id"]] = clip
                f.write(json.dumps(clip) + "\n")
    return [known[r["id"]] for r in rows if r["id"] in known]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--out", default=os.path.join(HERE, "pseudo"))
    ap.add_argument("--model", default=os.path.join(HERE, "../models/shoal-base.safetensors"))
    ap.add_argument("--known", type=int, default=0, help="measure on about this many clips instead")
    a = ap.parse_args()
    torch.set_num_threads(1)
    os.makedirs(a.out, exist_ok=True)
    rows, cache = read_manifest(a.speech), os.path.join(a.out, "words.jsonl")
    if a.known:
        truth = read_alignments(a.speech)
        for corpus, split in (("vctk-p239", "train"), ("speechocean762", "dev")):
            some = [r for r in rows if r["corpus"] == corpus and r["split"] == split
                    and r["id"] in truth]
            print(corpus)
            clips = listen(a.speech, some[::max(1, 2 * len(some) // a.known)], a.model, cache)
            quality(clips, truth, (0, 0.3, 0.5, 0.7), (-99, -1.25, -1, -0.8))
        return
    for corpus, recipe in RECIPES.items():
        clips = listen(a.speech, [r for r in rows if r["corpus"] == corpus], a.model, cache)
        write_labels(os.path.join(a.out, corpus + ".tsv"), clips, recipe)


if __name__ == "__main__":
    main()

"""What a served model holds, read off frozen features: phones frame by frame, words and speakers from what is pooled.

Clips are streamed through the C engine, 320 ms a chunk, many side by side, and what is needed of them is kept in a folder:
the same clips through the same layers of the same model are computed once.

    phones     linear probe of single frames; the decoder's phone error rate and the own head's frame accuracy
    words      linear probe of the mean over a word's frames, the WORDS commonest of several phones, cut out of sentences
    speakers   linear probe of mean and standard deviation over a clip, closed set

Probes of phones and words learn from training speakers and are judged on the development sets, whose speakers nobody
heard. Speakers are of the training split (the encoder heard them, though not their names), other clips of the same.
"""

import argparse
import functools
import hashlib
import json
import os
from collections import Counter
from typing import NamedTuple

import numpy as np
import torch

from breakdown import frame_labels
from capi import Engine
import corpus
from corpus import read_alignments, read_manifest
from evaluate import BUILT_IN, file_facts
from phones import PHONES, edits, pronunciations
from probe import fit
from references import FROZEN

CHUNK, WORDS, PER_CLIP = 16, 40, 15         # frames; classes; frames of a clip that the phone probe sees
SPEAKERS, LEARNT, ASKED = 30, 6, 3         # how many, clips of each to learn from, and to be judged by
CORPORA = dict(speechocean762=500, commonvoice=250, librispeech=50)     # clips that the probes learn from
TASKS = ("phones", "words", "speakers")
WHOLE = (0, 3, -1)      # layers of the learning clips that are kept whole, for mimics (mimic.py)
SCRATCH = "/var/lib/shoal/research"


class Clip(NamedTuple):
    path: str
    align: list         # (phone, start, end), 10 ms
    speaker: str
    of: str             # set: a development split, or a corpus
    words: list         # (word, start, end), 10 ms


# ---- which clips ------------------------------------------------------------------------------

def word_spans(text, align, pronounced):
    """[(word, start, end)] of a clip whose alignment has the dictionary's pronunciations; [] if it has not."""
    phones, at, out = [a for a in align if a[0]], 0, []
    said = [p for p, _, _ in phones]
    for word in text.split():
        fits = [v for v in pronounced.get(word, ()) if said[at:at + len(v)] == v]
        if not fits:
            return []
        end = at + len(max(fits, key=len))
        out.append((word, phones[at][1], phones[end - 1][2]))
        at = end
    return out if at == len(phones) else []


def spread(clips, limit):
    """corpus.py's, and never more of them."""
    return corpus.spread(clips, limit)[:limit or None]


def clip_lists(speech, limit):
    """{"learn", "judge", "voices", "asked": Clips}; limit: about this many of each of dev and devcv."""
    align, spoken = read_alignments(speech), pronunciations()
    by = {}
    for r in read_manifest(speech):
        if r["id"] in align:
            split = r["split"] if r["split"] in FROZEN else r["corpus"]
            clip = Clip(os.path.join(speech, r["path"]), align[r["id"]], r["speaker"], split,
                        word_spans(r["text"], align[r["id"]], spoken))
            by.setdefault(split, []).append(clip)
    voices = {}
    for c in by["speechocean762"]:
        voices.setdefault(c.speaker, []).append(c)
    voices = spread([v for v in voices.values() if len(v) >= LEARNT + ASKED], SPEAKERS)
    return dict(learn=sum((spread(by[name], n) for name, n in CORPORA.items()), []),
                judge=spread(by["dev"], limit) + spread(by["devcv"], limit),
                voices=sum((v[:LEARNT] for v in voices), []),
                asked=sum((v[LEARNT:LEARNT + ASKED] for v in voices), []))


def common_words(clips):
    """The classes: [word], the commonest first."""
    counts = Counter(w for c in clips for w, a, b in c.words if sum(a <= s < b for p, s, _ in c.align if p) > 1)
    return [w for w, _ in counts.most_common(WORDS)]


# ---- what is kept of them ---------------------------------------------------------------------

def pooled(x):
    """[layers, T, D] -> [layers, 2 D]: mean and standard deviation over time"""
    return np.concatenate([x.mean(1), x.std(1)], 1)


def of_clip(engine, clip, logp, x, words, rng):
    """One clip's share: x [layers, T, D], frame for frame that of logp."""
    labels = frame_labels(clip.align, len(logp))
    pick = rng.permutation(np.flatnonzero(labels))[:PER_CLIP]
    spans = [(words.index(w), a // 2, max(a // 2 + 1, b // 2)) for w, a, b in clip.words if w in words]
    spans = [s for s in spans if s[2] <= len(logp)]
    ref = [p for p, _, _ in clip.align if p]
    best = logp.argmax(1)
    return {"frame.x": x[:, pick], "frame.y": labels[pick],
            "word.x": np.stack([x[:, a:b].mean(1) for _, a, b in spans], 1) if spans else x[:, :0],
            "word.y": np.array([w for w, _, _ in spans], int), "clip.x": pooled(x)[:, None],
            "counts": np.array([[len(ref), edits(ref, [p[0] for p in engine.decode(logp)]),
                                 (labels != 0).sum(), (best == labels)[labels != 0].sum()]])}


def gathered(parts, whats):
    """One array a key of [{key: array}], a clip each, and for each of `whats` which clip a row is of: `frame.of`."""
    out = {key: np.concatenate([p[key] for p in parts], int(key.endswith(".x"))) for key in parts[0]}
    return {**out, **{w + ".of": np.repeat(np.arange(len(parts)), [len(p[w + ".y"]) for p in parts]) for w in whats}}


def heard(engine, clips, depth, layers, words, whole=()):
    """All of them, one array a key, and `frame.of`, `word.of`: which clip a row is of. The layers, then what leaves."""
    rng, parts = np.random.default_rng(1), {}
    order = sorted(range(len(clips)), key=lambda i: os.path.getsize(clips[i].path))       # like lengths together
    for i, (clip, (logp, left, hidden)) in zip(order, engine.hear_layers([clips[i] for i in order], layers, depth, CHUNK)):
        x = np.stack([*(hidden[n] for n in layers), left])
        parts[i] = of_clip(engine, clip, logp, x, words, rng)
        if whole:
            parts[i].update({"whole.x": x[list(whole)], "whole.y": frame_labels(clip.align, len(logp))})
    out = gathered([parts[i] for i in range(len(clips))], ("frame", "word", "whole")[:3 if whole else 2])
    return {k: v.astype(np.float16) if k.endswith(".x") else v for k, v in out.items()}


def kept(scratch, name, key, make):
    """make() -> {name: array}, computed once for each key (anything that JSON takes)."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
    path = os.path.join(scratch, f"{name}-{digest}.npz")
    if not os.path.exists(path):
        os.makedirs(scratch, exist_ok=True)
        made = make()
        np.savez(path + ".tmp.npz", **made)
        os.replace(path + ".tmp.npz", path)
    with np.load(path) as z:
        return {k: z[k] for k in z.files}


@functools.lru_cache
def sha_of(path):
    return file_facts(path)[3]


class Frozen:
    """The features of one model, program and depth over lists of clips: of `layers`, then what leaves (place -1).
    open: () -> capi.Engine, only if need be."""

    def __init__(self, scratch, model, lists, open, program="base", depth=12, layers=()):
        self.scratch, self.lists, self.open, self.engine, self.found = scratch, lists, open, None, {}
        self.key = [sha_of(model), program, depth, list(layers)]
        self.depth, self.layers = depth, layers
        self.words = common_words(lists["learn"])

    def __getitem__(self, name):
        if name not in self.found:
            key = [*self.key, [c.path for c in self.lists[name]]]
            self.found[name] = kept(self.scratch, name, key, lambda: self._hear(name))
        return self.found[name]

    def _hear(self, name):
        self.engine = self.engine or self.open()
        return heard(self.engine, self.lists[name], self.depth, self.layers, self.words,
                     WHOLE if self.layers and name == "learn" else ())


def options(doc):
    """What the scripts about one served model have in common."""
    ap = argparse.ArgumentParser(description=doc.split("\n")[0])
    ap.add_argument("--model", default=BUILT_IN)
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--scratch", default=SCRATCH, help="folder of what is kept; it goes on from there")
    ap.add_argument("--limit", type=int, default=70, help="about this many clips of each of dev and devcv")
    ap.add_argument("--lib")
    return ap


def named_options(doc):
    """The same, of scripts that keep figures of several models side by side."""
    ap = options(doc)
    ap.add_argument("--name", default="", help="of another model than the one that ships: it has figures, pictures and markers of its own")
    return ap


def own(a, name, between="-"):
    """What a script calls something of its model."""
    return f"{name}{between}{a.name}" if a.name else name


def whole_stack(a, model, lists):
    """Features of layers 0 to 12 and of what leaves."""
    return Frozen(a.scratch, model, lists, lambda: Engine(model, a.lib, hidden_frames=12 * 1024), layers=range(13))


def served(a):
    """(lists of clips, features of the whole stack)"""
    torch.set_num_threads(1)
    lists = clip_lists(a.speech, a.limit)
    return lists, whole_stack(a, a.model, lists)


# ---- probes -----------------------------------------------------------------------------------

def tensor(x):
    return torch.from_numpy(np.asarray(x, np.float32))


def speakers_of(clips):
    """[clips] numbers of their speakers"""
    names = sorted({c.speaker for c in clips})
    return np.array([names.index(c.speaker) for c in clips])


def rows_of(task, found, clips, layer=-1):
    """(x [n, ..], y [n], speaker of each [n]) of a task in what was heard."""
    who = speakers_of(clips)
    if task == "speakers":
        return found["clip.x"][layer], who, who
    what = dict(phones="frame", words="word")[task]
    return found[what + ".x"][layer], found[what + ".y"], who[found[what + ".of"]]


LISTS = dict(phones=("learn", "judge"), words=("learn", "judge"), speakers=("voices", "asked"))
CLASSES = dict(phones=len(PHONES), words=WORDS, speakers=SPEAKERS)
PENALTY = dict(phones=1e-4, words=1e-3, speakers=1e-3)


def probe(task, features, layer=-1):
    """A linear classifier of a task on frozen features."""
    name = LISTS[task][0]
    x, y, _ = rows_of(task, features[name], features.lists[name], layer)
    return fit(tensor(x), torch.from_numpy(y), CLASSES[task], PENALTY[task])


def asked(task, read, features, layer=-1):
    """[speakers, 2]: how often the probe was asked, and right."""
    name = LISTS[task][1]
    x, y, who = rows_of(task, features[name], features.lists[name], layer)
    right = read(tensor(x)).detach().numpy() == y
    return np.stack([np.bincount(who), np.bincount(who, right)], 1)


def by_speaker(counts, clips):
    """[clips, k] summed to [speakers, k]"""
    who = speakers_of(clips)
    return np.stack([np.bincount(who, c) for c in counts.T], 1)

#!/usr/bin/env python3
"""When phones come and what hurry costs: the decoder's settle_frames and settle_silence_frames.

    settle.py --depth 6 --chunks 80 160 320 --into ../docs/settling.md
    settle.py --card ../models/shoal-base.json --every 8     # what /v1/depths tells: a session's own setting, each depth

Streams the development clips through the C engine once a chunk length, then decodes the posteriors with each setting. All
times are those of a session whose server computes in no time, so a busy machine cannot disturb them: output frame f is there
when the chunk of internal frame f + delay is complete and the window's 15 ms beyond it. From a phone's end to its message:
50, 90, 99 %; the same for phones that 200 ms of silence follow. Tentative phones (160 ms and the setting marked): how many
settled ones had been shown before with the same label and begin (within 40 ms), those that settle in the first message that could have
them counted as shown; when first shown; of those that stood for 200 ms, how many never settled.
"""

import argparse
import datetime
import json
import os

import numpy as np
import soundfile

from capi import Engine
from evaluate import model_sha
from modelfile import read_safetensors
from phones import edits, parse_alignment
from report import insert, rows

DELAY, WINDOW_MS, FRAME_MS, PAUSE = 3, 15, 20, 10
BEGUN = 3           # frames: of a phone of which no more was heard little can be said
DEFAULT = (0, 3)    # frames: settle_ms, settle_silence_ms of protocol.md
SETTINGS = [(0, 0), (0, 3), (32, 3), (24, 3), (20, 3), (16, 3), (12, 3), (8, 3)]     # settle, silence; frames


def clips(folder, every):
    """[(id, path, reference)] of the development speakers."""
    with open(os.path.join(folder, "align.tsv")) as f:
        aligned = dict(line.rstrip("\n").split("\t")[:2] for line in f)
    with open(os.path.join(folder, "manifest.tsv")) as f:
        head, *lines = (line.rstrip("\n").split("\t") for line in f)
    listed = [dict(zip(head, line)) for line in lines]
    return [(m["id"], os.path.join(folder, m["path"]), [p for p, *_ in parse_alignment(aligned[m["id"]]) if p])
            for m in listed if m["split"] == "dev" and m["id"] in aligned][::every]


def there(frame, chunk):
    """ms of audio received when output frame `frame` is there; chunk in frames."""
    return ((frame + DELAY) // chunk + 1) * chunk * FRAME_MS + WINDOW_MS


def decode(engine, logp, chunk, setting, tentative=False):
    cuts = range(max(1, chunk - DELAY), len(logp), chunk) if chunk > DELAY else range(1, len(logp))
    return engine.settling(logp, cuts, None, *setting, tentative)


def delays(calls, chunk):
    """(of all phones, of those before a pause): ms from end to message; what the flush gave is left out."""
    told = [(p, there(heard - 1, chunk) - p[2] * FRAME_MS) for heard, settled, _ in calls[:-1] for p in settled]
    begins = [p[1] for p, _ in told[1:]] + [p[1] for p in calls[-1][1][:1]]
    pause = [late for (p, late), begin in zip(told, begins) if begin - p[2] >= PAUSE]
    return [late for _, late in told], pause


def shares(values):
    return " / ".join(f"{np.percentile(values, q):.0f}" for q in (50, 90, 99)) if values else "-"


def nearly(a, b):
    return a[0] == b[0] and abs(a[1] - b[1]) <= 2


class Shown:
    """What had been shown of what settled, and what was taken back."""

    def __init__(self, chunk):
        self.chunk, self.total, self.seen, self.first = chunk, 0, 0, []
        self.stood = self.back = self.begun = self.other = 0

    def add(self, calls):
        settled = [p for _, out, _ in calls for p in out]
        for i, (heard, out, _) in enumerate(calls[:-1]):
            for p in out:
                self.phone(p, [c for c in calls[:i] if c[0] > p[1]], heard)
        stood = {(p[0], p[1]): p for _, _, shown in calls for p, n in shown if n * FRAME_MS >= 200}
        self.stood += len(stood)
        self.back += sum(not any(nearly(p, q) for q in settled) for p in stood.values())

    def phone(self, p, before, heard):
        """before: the calls that had heard some of it and did not settle it."""
        at = [h for h, _, shown in before if any(nearly(q, p) for q, _ in shown)]
        self.total += 1
        self.seen += bool(at) or not before
        if before and not at:       # why not: hardly begun when the message before came, or another label in its place
            self.begun += before[-1][0] - p[1] <= BEGUN
            self.other += any(min(q[2], p[2]) > max(q[1], p[1]) and q[0] != p[0] for q, _ in before[-1][2])
        self.first.append(there((at[0] if at else heard) - 1, self.chunk) - p[2] * FRAME_MS)

    def line(self):
        unseen = max(1, self.total - self.seen)
        return (f"{100 * self.seen / self.total:.1f} % shown before (of the others {100 * self.begun / unseen:.0f} % had at most "
                f"{BEGUN * FRAME_MS} ms heard when the message before theirs came, where {100 * self.other / unseen:.0f} % had another "
                f"label in their place), first {shares(self.first)} ms after the end; "
                f"{self.stood} stood 200 ms, {100 * self.back / max(1, self.stood):.1f} % of them taken back")


def priors_of(path):
    """The share of each class in training, out of the decoder's table: scale * log P, where sum P = 1 gives the scale."""
    table = read_safetensors(path)[0]["decoder.log_prior"].astype(float)
    low, high = 1e-3, 1e3
    for _ in range(100):
        scale = (low * high) ** 0.5
        low, high = (low, scale) if np.exp(table / scale).sum() > 1 else (scale, high)
    return [round(float(p), 7) for p in np.exp(table / scale)]


def fill_card(path, engine, chosen, chunks):
    """`settled` of the model's card: {chunk_ms: {depth: [p50, p90]}}, with a session's default settings; and `priors`."""
    with open(path) as f:
        card = json.load(f)
    depths = range(1, len(card["per_decoded"][str(chunks[0])]) + 1)
    card["settled"] = {}
    for ms in chunks:
        late = {d: [] for d in depths}
        for i in range(0, len(chosen), 8):
            sound = [soundfile.read(path, dtype="float32")[0] for _, path, _ in chosen[i:i + 8]]
            for logp in engine.depths(sound, len(depths), ms // FRAME_MS):
                for d in depths:
                    late[d] += delays(decode(engine, logp[d], ms // FRAME_MS, DEFAULT), ms // FRAME_MS)[0]
        card["settled"][ms] = {d: [round(float(np.percentile(late[d], q))) for q in (50, 90)] for d in depths}
        print(ms, card["settled"][ms], flush=True)
    card["settled_clips"] = len(chosen)
    card["priors"] = priors_of(os.path.splitext(path)[0] + ".safetensors")
    with open(path, "w") as f:
        json.dump(card, f, indent=1)
        f.write("\n")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--depth", type=int, default=6)
    ap.add_argument("--chunks", type=int, nargs="*", default=[80, 160, 320], help="ms")
    ap.add_argument("--every", type=int, default=2, help="use every n-th clip")
    ap.add_argument("--shown", type=int, nargs=2, default=(20, 3), help="setting whose tentative phones are judged")
    ap.add_argument("--model", help="a model file; else the one built into the library")
    ap.add_argument("--lib")
    ap.add_argument("--backend", default="auto")
    ap.add_argument("--card", help="fill in `settled` and `priors` of this file and do nothing else")
    ap.add_argument("--into", help="a document with markers for the tables; else standard output")
    a = ap.parse_args()
    engine, chosen, lines, notes = Engine(a.model, a.lib, backend=a.backend), clips(a.speech, a.every), [], []
    if a.card:
        fill_card(a.card, engine, chosen, [80, 160, 320, 640])
        return
    total = sum(len(ref) for _, _, ref in chosen)
    for ms in a.chunks:
        chunk, shown = ms // FRAME_MS, Shown(ms // FRAME_MS)
        logp = [engine.stream(soundfile.read(path, dtype="float32")[0], a.depth, chunk)[0] for _, path, _ in chosen]
        for setting in SETTINGS:
            calls = [decode(engine, l, chunk, setting, setting == tuple(a.shown)) for l in logp]
            wrong = sum(edits(ref, [p[0] for _, out, _ in c for p in out]) for c, (_, _, ref) in zip(calls, chosen))
            late, pause = (sum(x, []) for x in zip(*(delays(c, chunk) for c in calls)))
            lines.append([ms, *(s * FRAME_MS or "-" for s in setting), f"{100 * wrong / total:.2f}", shares(late), shares(pause)])
            print(*lines[-1], flush=True)
            if setting == tuple(a.shown):
                for c in calls:
                    shown.add(c)
                notes.append(f"{ms} ms: {shown.line()}")
    head = ["`chunk_ms`", "`settle_ms`", "`settle_silence_ms`", "PER, %", "settled after, ms", "before a pause, ms"]
    text = rows(head, lines) + "\n\n" + "\n".join(f"- {n}" for n in notes)
    head = (f"`training/settle.py --depth {a.depth} --every {a.every}`, {datetime.date.today()}, model "
            f"{model_sha(a.model)}: {len(chosen)} clips, {total} phones.")
    if a.into:
        insert(a.into, "settle.py", f"{head}\n\n{text}")
    print("\n".join(notes) if a.into else text)


if __name__ == "__main__":
    main()

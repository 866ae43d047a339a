#!/usr/bin/env python3
"""Phone error rate and frame accuracy of a model file, streamed by the C engine; model card.

    evaluate.py --model ../models/shoal-base.safetensors --run /tmp/shoal-run \\
                --card ../models/shoal-base.md --json ../models/shoal-base.json

Every clip of the development split goes through libshoal in chunks, left context as the model's
default, all depths tapped in one pass (a tap equals a stream of that depth; tests/check_batch.c).
Errors by kind, phone, speaker, noise level and other recordings: breakdown.py.
PER compares phone sequences without SIL: greedy (argmax, repeats merged) and decoded (the
streaming Viterbi of engine/phones/decoder.c, what `output=phones` gives). Frame accuracy counts frames
that the alignment labels as speech.
"""

import argparse
import datetime
import hashlib
import json
import os
from multiprocessing import Pool

import numpy as np

from breakdown import break_down, frame_labels
from capi import Engine
from corpus import dev_clips, read_manifest
from modelfile import read_model
from phones import collapse, edits

CHUNKS = (4, 8, 16, 32)         # frames of 20 ms
BUILT_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../models/shoal-base.safetensors")
CI = dict(every=20, depth=6, chunk_ms=320)      # what tests/ci_model_per.py runs again


def tally(job):
    """Counts for some clips: ({d: [greedy edits, decoded edits, frames hit, frames]}, phones)."""
    engine, clips, chunk, depth, group = job
    engine = Engine(*engine[:4], backend=engine[4], precision=engine[5])
    counts = {d: np.zeros(4) for d in range(1, depth + 1)}
    phones = 0
    for (_, align), out in engine.hear(clips, depth, chunk, group):
        ref = [p for p, _, _ in align if p]
        lab = frame_labels(align, len(out[1]))
        phones += len(ref)
        for d, logp in out.items():
            best = logp.argmax(1)
            counts[d] += (edits(ref, collapse(best)),
                          edits(ref, [p[0] for p in engine.decode(logp)]),
                          (best == lab)[lab != 0].sum(), (lab != 0).sum())
    return counts, phones


def measure(engine, clips, chunk, depth, jobs, group=48):
    """{d: (greedy PER, decoded PER, frame accuracy)} at one chunk length.

    engine: what Engine takes (model, lib, dim, classes, backend, precision).
    """
    order = sorted(clips, key=lambda c: os.path.getsize(c[0]))      # like lengths together
    parts = [(engine, order[j::jobs], chunk, depth, group) for j in range(jobs)]
    with Pool(jobs) as pool:
        done = pool.map(tally, parts)
    phones = sum(p for _, p in done)
    total = {d: sum(c[d] for c, _ in done) for d in done[0][0]}
    return {d: (t[0] / phones, t[1] / phones, t[2] / t[3]) for d, t in total.items()}


def file_facts(path):
    """(configuration, number of weights, bytes, SHA-256) of a model file."""
    config, tensors = read_model(path)
    weights = sum(t.size for name, t in tensors.items()
                  if not name.startswith(("frontend.", "decoder.", "head.priors")))
    with open(path, "rb") as f:
        data = f.read()
    return config, weights, len(data), hashlib.sha256(data).hexdigest()


def model_sha(path):
    """What documents call a model: the first digits; of none, the built-in one."""
    return file_facts(path or BUILT_IN)[3][:8]


def dev_name(speech):
    return " and ".join(sorted({r["corpus"] for r in read_manifest(speech) if r["split"] == "dev"})) + " dev"


def table(results, column, depths):
    lines = ["| depth | " + " | ".join(f"{c * 20} ms" for c in results) + " |",
             "| --- |" + " --- |" * len(results)]
    for d in depths:
        lines.append(f"| {d} | " + " | ".join(f"{100 * r[d][column]:.1f} %"
                                              for r in results.values()) + " |")
    return "\n".join(lines)


def precision_table(per):
    if len(per) < 2:
        return "(fp32 alone was measured)"
    lines = ["| depth | " + " | ".join(per) + " |", "| --- |" + " --- |" * len(per)]
    for d in per["fp32"]:
        lines.append(f"| {d} | " + " | ".join(f"{100 * v[d]:.2f} %" for v in per.values()) + " |")
    return "\n".join(lines)


def precisions(a, shape, clips, results):
    """{precision: {depth: decoded PER}} at 320 ms; fp32 is measured already."""
    out = {"fp32": {d: r[1] for d, r in results[16].items()}} if 16 in results else {}
    for p in a.precisions:
        if p == "fp32" or not out:
            continue
        engine = (a.model, a.lib, *shape, a.backend, p)
        try:
            Engine(*engine[:4], backend=a.backend, precision=p)
        except RuntimeError as error:
            print(f"{p}: left out, {error}")
            continue
        out[p] = {d: r[1] for d, r in measure(engine, clips, 16, a.depth, a.jobs).items()}
        print(f"{p}: " + "  ".join(f"{d}: {100 * v:.2f}" for d, v in out[p].items()), flush=True)
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--model", default=BUILT_IN)
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--run", help="training folder, for the command and seed in the card")
    ap.add_argument("--limit", type=int, default=0, help="about this many clips instead of all")
    ap.add_argument("--chunks", type=int, nargs="*", default=CHUNKS, help="frames")
    ap.add_argument("--depth", type=int, default=12)
    ap.add_argument("--lib")
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--backend", default="auto")
    ap.add_argument("--precisions", nargs="*", default=("fp32", "bf16", "int8"),
                    help="beside fp32, those that this CPU has, at 320 ms")
    ap.add_argument("--break-depths", type=int, nargs="*", default=(4, 12),
                    help="for errors by kind, speaker, noise; the first is drawn")
    ap.add_argument("--also", nargs="*", default=[], help="recordings folders that no training saw")
    ap.add_argument("--card", help="with it, the confusion picture beside it")
    ap.add_argument("--json")
    a = ap.parse_args()
    a.break_depths = [d for d in a.break_depths if d <= a.depth] or [a.depth]
    config, weights, size, sha = file_facts(a.model)
    clips = dev_clips(a.speech, a.limit)
    shape = (config["dim"], config["classes"])
    engine = (a.model, a.lib, *shape, a.backend, "fp32")
    results = {}
    for c in a.chunks:
        results[c] = measure(engine, clips, c, a.depth, a.jobs)
        print(f"chunk {c * 20} ms: " + "  ".join(
            f"{d}: {100 * g:.1f}/{100 * v:.1f}/{100 * f:.1f}" for d, (g, v, f) in results[c].items()),
            flush=True)
    facts = dict(model=config["name"], sha256=sha, bytes=size, weights=weights, clips=len(clips),
                 split=dev_name(a.speech), left_frames=config["left_frames"],
                 measured=datetime.date.today().isoformat(), engine="libshoal fp32",
                 per_decoded={c * 20: {d: r[1] for d, r in v.items()} for c, v in results.items()},
                 per_greedy={c * 20: {d: r[0] for d, r in v.items()} for c, v in results.items()},
                 frame_accuracy={c * 20: {d: r[2] for d, r in v.items()} for c, v in results.items()})
    facts["precision"] = precisions(a, shape, clips, results)
    part = dev_clips(a.speech)[::CI["every"]]
    facts["ci"] = dict(CI, clips=len(part), per=measure(engine, part, CI["chunk_ms"] // 20,
                                                        CI["depth"], a.jobs)[CI["depth"]][1])
    if a.run:
        with open(os.path.join(a.run, "summary.json")) as f:
            facts["training"] = json.load(f)
    image = os.path.splitext(a.card)[0] + "-confusion.png" if a.card else None
    facts["errors"] = break_down(engine, a, facts.get("training", {}).get("hold_out") or [], image)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(facts, f, indent=1)
            f.write("\n")
    if a.card:
        from card import write_card
        write_card(a.card, facts, config, {
            "decoded": table(results, 1, results[a.chunks[0]]),
            "greedy": table(results, 0, results[a.chunks[0]]),
            "precision": precision_table(facts["precision"]),
            "accuracy": table(results, 2, results[a.chunks[0]])})


if __name__ == "__main__":
    main()

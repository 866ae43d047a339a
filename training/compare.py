#!/usr/bin/env python3
"""Every variant in one table: what it is worth and what it costs, through the C engine.

    compare.py                      # results/compare.json, and the table of ../docs/research.md
    compare.py --only reuse-two-a-map --limit 300 --chunks 16        # says how it is beside `shared`, and writes nothing
    compare.py --add unshared reuse-distilled                        # into the table that there is

A variant is a program of a model file at a depth. Of each: PER (decoded with the language model; dev and devcv, about
--limit clips of each, chunks of CHUNKS frames), its interval (speakers drawn anew), frames right, argmax PER; what
`shoald --explain` counts (sums and products a second of audio, bytes a stream, without the log-mel); streams a core by precision (32 side by
side, CPU time, all variants in turn, best of --rounds) and the 99th percentile of the CPU time of one stream's chunk.

Each cell is written to --scratch when it is there, and the same command goes on where it stopped. A variant whose file is
missing is listed. Of arms that were measured elsewhere (docs/claim.json, auto.py's table) what stands there is taken over, with `from`.
"""

import datetime
import json
import os
import re
import time

import numpy as np

import frozen
import intervals
from breakdown import frame_labels
from capi import Engine
from convert import with_programs
from crowd import explained, whole
from evaluate import file_facts
from judge import COUNTS, count
from mimic import cost_table
from modelfile import read_model, remaining
from report import RESULTS, insert, keep, rows, wrap
from reuse import MAPS

HERE = os.path.dirname(os.path.abspath(__file__))
DOCS = os.path.join(HERE, "../docs")
CHUNKS, SETS, PRECISIONS = (8, 16), ("dev", "devcv"), ("fp32", "int8")
PROGRAMS = os.path.join(HERE, "../models/shoal-programs.safetensors")      # mimic.py --ship, reuse.py --add-to
FILES = {"experts": os.path.join(HERE, "../models/shoal-experts.safetensors"),
         **{name: os.path.join(frozen.SCRATCH, name + ".safetensors") for name in (        # selfsup.py, distill.py, moe.py --model-out
             "ssl", "unshared", "reuse-distilled", "reuse-distilled-plain", "reuse-distilled-none", "reuse-distilled-three",
             *(f"experts-{n}-x8" for n in ("dense-12", "2x0", "private-norms", "distilled")))}}


# ---- which there are ---------------------------------------------------------------------------

def pruned_file(a, order):
    """The shipped model with `pruned-N`, the stack without the N layers that move least."""
    path = os.path.join(a.scratch, "compare-pruned.safetensors")
    kept = {n: [i for i in range(12) if i + 1 not in order[:n]] for n in (3, 5)}
    with_programs(a.model, path, [lambda c, n=n, k=k: c["programs"].append(
        {"name": f"pruned-{n}", "layers": remaining(c["programs"][0]["layers"], k)}) for n, k in kept.items()])
    return path


def programs_of(path):
    """{name: depth}"""
    return {p["name"]: len(p["layers"]) for p in file_facts(path)[0]["programs"]}


def variants(a, said):
    """{variant: (file, program, depth)}; said: what the other scripts found (results/*.json)."""
    out = {"shared" + ("" if d == 12 else f"-depth{d}"): (a.model, "base", d) for d in (12, 6, 3, 1)}
    if "redundancy" in said:
        path = pruned_file(a, said["redundancy"]["order"]["influence"])
        out.update({f"pruned-{n}of12": (path, f"pruned-{n}", 12 - n) for n in (3, 5)})
    for task, depth in said.get("convexity", {}).get("depth", {}).items():
        out[f"convexity-{task}"] = (a.model, "base", depth)
    for name, depth in list(programs_of(PROGRAMS).items())[1:]:
        out[("reuse-" if name in MAPS else "mimic-") + name] = (PROGRAMS, name, depth)
    out.update({variant: (path, "base", programs_of(path)["base"]) for variant, path in FILES.items() if os.path.exists(path)})
    return out


def elsewhere():
    """Rows that were measured by other scripts at other budgets."""
    with open(os.path.join(DOCS, "claim.json")) as f:
        claim = json.load(f)
    for name, arm in claim["arms"].items():
        deep = str(max(map(int, arm["per"])))
        yield {"variant": ("unshared-claim" + name[8:] if name.startswith("un") else "shared-claim" + name[6:]).removesuffix("-12"),
               "from": f"docs/claim.json: {claim['steps']} steps from random weights, one seed, whole dev", "parameters": arm["parameters"],
               "per": {"dev|320": [100 * arm["per"][deep]]}, "frames_right": 100 * arm["accuracy"][deep], "step_seconds": arm["step_seconds"], "seeds": 1}
    with open(os.path.join(DOCS, "research.md")) as f:
        table = re.search(r"<!-- auto.py 8 begin -->(.*)<!-- auto.py 8 end -->", f.read(), re.S).group(1)
    for rule, threshold, depth, per, _, beside, change in re.findall(r"\| (\w+) " + r"\| ([\d.]+) " * 5 + r"\| ([^|]+) \|", table):
        yield {"variant": f"auto-{rule}-{threshold}", "from": "docs/research.md, auto.py", "mean_depth": float(depth),
               "per": {"mean of sets|160": [float(per)]}, "fixed_depth_of_equal_cost": float(beside), "relative_change": change}


# ---- what each is worth ------------------------------------------------------------------------

def errors(engine, clips, depth, chunk):
    """[speakers, 5]: phones, decoded edits, argmax edits, frames of speech, of them right"""
    order, sums = sorted(clips, key=lambda c: os.path.getsize(c.path)), {}
    for clip, (logp, _, _) in engine.hear_layers(order, (), depth, chunk):
        found = dict(zip(COUNTS, count(engine, logp, engine.smooth(logp, chunk), clip.align)))
        labels = frame_labels(clip.align, len(logp))
        sums[clip.speaker] = sums.get(clip.speaker, 0) + np.array(
            [found["phones"], found["on"], found["argmax"], (labels != 0).sum(), (logp.argmax(1) == labels)[labels != 0].sum()])
    return np.array([v for _, v in sorted(sums.items())])


def judged(a, lists, file, program, depth):
    found, sums, engine = {}, [], None
    for of in SETS:
        clips = [c for c in lists["judge"] if c.of == of]
        for chunk in a.chunks:
            def hear():
                nonlocal engine
                engine = engine or Engine(file, a.lib, program=program)
                return dict(sums=errors(engine, clips, depth, chunk))
            s = frozen.kept(a.scratch, "compare", [frozen.sha_of(file), program, depth, chunk, [c.path for c in clips]], hear)["sums"]
            found[f"{of}|{20 * chunk}"] = [round(float(v), 2) for v in intervals.share(s[:, [0, 1]])]
            sums += [s] if chunk == 16 else []
    sums = np.concatenate(sums)
    s = sums.sum(0)
    return dict(per=found, argmax_per=round(100 * s[2] / s[0], 1), frames_right=round(100 * s[4] / s[3], 1), sums=sums)


def against(row, base):
    """How much higher the error rate is than that of another row, in percent of it: both sets at 320 ms, speakers drawn anew together."""
    both = np.concatenate([row["sums"][:, :2], base["sums"][:, :2]], 1)
    return [round(float(v) - 100, 1) for v in intervals.share(both)]


def parameters(file, program, depth):
    """Weights that the program uses: front, head, and what its layers take."""
    config, tensors = read_model(file)
    layers = next(p["layers"] for p in config["programs"] if p["name"] == program)[:depth]
    used = {f"{pool}.{e[key]}." for e in layers for key, pool in (("block", "blocks"), ("norms", "norms"), ("experts", "experts"),
                                                                  ("router", "routers")) if key in e}
    used |= {f"{e['op']}.{e['mimic']}." for e in layers if "mimic" in e}
    return int(sum(t.size for n, t in tensors.items() if n.startswith(("subsample.", "head.weight", "head.bias", *used))))


def speeds(a, all_):
    """{variant: {precision: streams a core, "p99_ms": ..}}, taken in turn in one process."""
    out = {v: {"streams": {}} for v in all_}
    for precision in PRECISIONS:
        engines = {v: (Engine(file, a.lib, program=program, precision=precision), depth) for v, (file, program, depth) in all_.items()}
        for v, streams in cost_table(engines, a.rounds).items():
            out[v]["streams"][precision] = round(streams, 1)
        if precision == "fp32":
            for v, (engine, depth) in engines.items():
                out[v]["p99_ms"] = round(p99(engine, depth), 2)
        for engine, _ in engines.values():
            engine.close()
    return out


def p99(engine, depth, chunks=120):
    pcm, took = np.random.default_rng(1).normal(0, 0.05, 16 * 320).astype(np.float32), []
    with engine.engine.stream(depth=depth, chunk_ms=320) as s:
        for _ in range(chunks):
            s.write(pcm)
            begin = time.process_time()
            while s.ready:
                engine.engine.run([s], rows=False)
            took.append(1000 * (time.process_time() - begin))
    return np.percentile(took[5:], 99)


def row(a, lists, variant, of):
    file, program, depth = of
    plan = explained(a.shoald, file)[program]
    flops, memory = whole([plan[0], *plan[1:depth + 1], plan[-1]])
    return dict(variant=variant, program=program, depth=depth, file_bytes=os.path.getsize(file), parameters=parameters(file, program, depth),
                mflops=round(flops * 50 / 1e6, 1), bytes_a_stream=memory, **judged(a, lists, *of))


# ---- the table ---------------------------------------------------------------------------------

def line(r):
    per = [f"{p[0]:.1f}" + (f" [{p[1]:.1f}, {p[2]:.1f}]" if len(p) > 1 else "") for p in (r["per"].get(k, [np.nan]) for k in
           ("dev|160", "dev|320", "devcv|160", "devcv|320"))]
    streams = [str(r.get("streams", {}).get(p, "")) for p in PRECISIONS]
    return [r["variant"], f"{r['parameters']:,}", *(p.replace("nan", "") for p in per), intervals.told(r["against_shared"], "+.1f"),
            r.get("argmax_per", ""), f"{r['frames_right']:.1f}", r.get("mflops", ""), *streams, r.get("p99_ms", ""), f"{r['bytes_a_stream']:,}" if "bytes_a_stream" in r else ""]


def table(result):
    head = ["variant", "parameters used", "PER dev, 160 ms", "320 ms", "devcv, 160 ms", "320 ms",
            "errors at 320 ms against `shared`, %, paired", "argmax PER", "frames right, %", "MFLOP/s of audio", *(f"streams a core, {p}" for p in PRECISIONS), "p99 of a chunk, CPU ms", "bytes a stream"]
    own = [r for r in result["rows"] if not r.get("from")]
    other = [r for r in result["rows"] if r.get("from") and "parameters" in r]
    text = rows(head, [line(r) for r in own]) + "\n\nMeasured elsewhere, not to be compared with the above: " + other[0]["from"] + ".\n\n"
    text += rows(["variant", "parameters", "PER dev, 320 ms", "frames right, %", "CPU seconds a step"],
                 [[r["variant"], f"{r['parameters']:,}", f"{r['per']['dev|320'][0]:.1f}", f"{r['frames_right']:.1f}", f"{r['step_seconds']:.2f}"] for r in other])
    if not result["missing"]:
        return text
    return text + "\n\nNot there: " + "; ".join(f"`{v}` ({why})" for v, why in result["missing"].items()) + "."


def document(result):
    text = f"`training/compare.py --limit {result['limit']}`, best of {result.get('rounds', 1)} turns."
    late = [f"`{r['variant']}`" for r in result["rows"] if "added" in r]
    if late:
        text += f" With `--add`, measured later than the others: {', '.join(late)}."
    return wrap(text) + "\n\n" + table(result)


def judged_rows(a, lists, all_):
    """A row a variant, `shared` the first."""
    own = []
    for variant, of in all_.items():
        own.append(row(a, lists, variant, of))
        print(variant, own[-1]["per"], "against shared, %:", intervals.told(against(own[-1], own[0]), "+.1f"), flush=True)
    for r in own:
        r["seeds"], r["against_shared"] = 1, against(r, own[0])
    for r in own:
        del r["sums"]
    return own


def added(path, new):
    """What is in a file, with the rows of `new` (but `shared`) put in or in place of their like."""
    with open(path) as f:
        old = json.load(f)
    if old["limit"] != new["limit"]:
        raise SystemExit(f"{path} is of --limit {old['limit']}")
    own = {r["variant"]: r for r in old["rows"] if not r.get("from")}
    own.update({r["variant"]: {**r, "added": str(datetime.date.today())} for r in new["rows"][1:]})
    return {**old, "rows": list(own.values()), "missing": new["missing"]}


def main():
    ap = frozen.options(__doc__)
    ap.set_defaults(limit=35)
    ap.add_argument("--chunks", type=int, nargs="*", default=CHUNKS, help="frames of 20 ms; 16 is always among them")
    ap.add_argument("--rounds", type=int, default=2, help="of the clock")
    ap.add_argument("--only", nargs="*", help="these variants")
    ap.add_argument("--add", nargs="*", help="these variants, beside what --out has of the others")
    ap.add_argument("--shoald", default=os.path.join(HERE, "../build/daemon/shoald"))
    ap.add_argument("--out", default=os.path.join(RESULTS, "compare.json"))
    ap.add_argument("--into", default=os.path.join(DOCS, "research.md"), help="a document with markers; '' for none")
    a = ap.parse_args()
    lists, said = frozen.clip_lists(a.speech, a.limit), {}
    for name in ("redundancy", "convexity"):
        path = os.path.join(RESULTS, name + ".json")
        if os.path.exists(path):
            with open(path) as f:
                said[name] = json.load(f)
    all_, wanted = variants(a, said), a.only or a.add
    if wanted:
        all_ = {v: of for v, of in all_.items() if v in ("shared", *wanted)}
    own = judged_rows(a, lists, all_)
    if a.only:
        return
    for v, speed in speeds(a, all_).items():
        next(r for r in own if r["variant"] == v).update(speed)
    missing = {v: f"no {os.path.basename(p)}" for v, p in FILES.items() if not os.path.exists(p)}
    result = dict(limit=a.limit, rounds=a.rounds, rows=own, missing=missing)
    if a.add:
        result = added(a.out, result)
    result["rows"] += elsewhere()
    keep(a.out, result)
    if a.into:
        insert(a.into, "compare.py", document(result))


if __name__ == "__main__":
    main()

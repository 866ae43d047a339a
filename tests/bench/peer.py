#!/usr/bin/env python3
"""The engine against ONNX Runtime and OpenVINO: the same model, machine, core and run.

    peer.py [--seconds 0.5] [--rounds 3] [--core N] [--thorough] [--note TEXT]

Exports the model (training/export_onnx.py), checks that ONNX Runtime computes what the engine
computes, then runs all by turns: bench_engine with each backend and precision, ort/run.js and
ort/run_openvino.py at batch 1 to 64, all pinned to one core and single-threaded. Ratios are taken
within a round and their median over the rounds goes to bench.json in the build directory:

    ort_ratio_fp32, _bf16, _int8    engine with >= 16 streams / ONNX Runtime fp32 at its best batch
    ort_ratio_fp32_batch1           both at batch 1, both fp32
    ort_int8_ratio_int8             engine int8 / ONNX Runtime int8, each at its best
    ort_int8_over_fp32              ONNX Runtime's own int8 / its fp32
    openvino_ratio_fp32, _batch1    engine fp32 / OpenVINO fp32 (ov:), as above
    ort                             all the numbers behind them

ONNX Runtime's int8 is its dynamic quantisation of the same graph: weights by output channel, each
product's input by tensor as it comes.

"Best" is over the ways to hand caches over, too: both layouts of export_onnx.py that can be the
fastest are measured, the third is one of them with a copy more (--thorough: that, too). And it is without
what the JavaScript binding adds (run.js: `bare`). ONNX Runtime is given log-mel rows for nothing.

Needs Node.js with the package onnxruntime-node, and Python with torch (and onnx for --layout
scan; and onnxruntime for int8; and openvino). Run by a virtual environment's Python, it uses what
is there. Where they are missing this says so and succeeds: nothing else depends on them.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

import record
from record import BUILD, HERE, SRCDIR

MODEL = os.path.join(SRCDIR, "models/shoal-base.safetensors")
EXPORT = os.path.join(SRCDIR, "training/export_onnx.py")
RUN_JS, RUN_OPENVINO = os.path.join(HERE, "ort/run.js"), os.path.join(HERE, "ort/run_openvino.py")
BATCHES, LARGE = (1, 4, 8, 16, 32, 64), 16
LAYOUTS, ALL_LAYOUTS = ("scan", "layers"), ("scan", "layers", "stacked")
ENGINE_STREAMS = (1, 32)
TOLERANCE = 1e-3
ENGINES = (("own", "fp32"), ("onednn", "fp32"), ("openblas", "fp32"), ("amx", "fp32"), ("own", "bf16"), ("onednn", "bf16"),
           ("amx", "bf16"), ("own", "int8"), ("onednn", "int8"), ("amx", "int8"))
QUANTIZE = """import sys
from onnxruntime.quantization import QuantType, quantize_dynamic
quantize_dynamic(sys.argv[1], sys.argv[2], weight_type=QuantType.QInt8, per_channel=True,
                 extra_options={"EnableSubgraph": True})
"""


class Skip(Exception):
    pass


# ---- running ---------------------------------------------------------------------------

def run(command, core=None, env=None):
    """stdout of a command pinned to a core, or None and its last words on stderr."""
    def pin():
        try:
            os.sched_setaffinity(0, {core})
        except OSError:
            pass                                    # not allowed: both sides run unpinned
    single = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **(env or {})}
    p = subprocess.run(command, env=single, capture_output=True, text=True,
                       preexec_fn=pin if core is not None and core >= 0 else None)
    if p.returncode == 0:
        return p.stdout
    words = (p.stderr.strip().splitlines() or ["?"])[-1]
    print(f"peer: {' '.join(map(os.path.basename, command[:2]))}: {words}", file=sys.stderr)
    return None


def idlest_core(seconds=0.5):
    """Of the cores that we may use, the one that others use least at this moment."""
    def idle():
        with open("/proc/stat") as f:
            rows = [l.split() for l in f if re.match(r"cpu\d", l)]
        return {int(r[0][3:]): int(r[4]) for r in rows}
    before = idle()
    time.sleep(seconds)
    after = idle()
    return max(os.sched_getaffinity(0), key=lambda c: after.get(c, 0) - before.get(c, 0))


def last_json(text):
    return json.loads(text.strip().splitlines()[-1]) if text else None


def python_with(*modules):
    """A Python that has the modules: this one or the system's."""
    code = "import " + ", ".join(modules)
    for python in (sys.executable, "/usr/bin/python3"):
        if os.path.exists(python) and subprocess.run([python, "-c", code], capture_output=True).returncode == 0:
            return python
    return None


# ---- what is there, what must be made ---------------------------------------------------------

def need_node():
    if not shutil.which("node"):
        raise Skip("no Node.js")
    found = subprocess.run(["node", "-e", "require.resolve('onnxruntime-node')"],
                           cwd=os.path.dirname(RUN_JS), capture_output=True)
    if found.returncode:
        raise Skip("no onnxruntime-node; get it with: npm install --ignore-scripts --prefix "
                   + os.path.relpath(os.path.dirname(RUN_JS)))


def need_engine():
    bench = os.path.join(BUILD, "tests/bench/bench_engine")
    if not os.path.exists(bench):
        raise Skip(f"no {os.path.relpath(bench)}; make bench builds it")
    return bench


def export(layout, directory):
    """Path of the model in ONNX, made anew when older than what it is made from; None: cannot."""
    path = os.path.join(directory, layout + ".onnx")
    made_from = max(os.path.getmtime(MODEL), os.path.getmtime(EXPORT))
    if os.path.exists(path) and os.path.getmtime(path) > made_from:
        return path
    needs = ("torch", "onnx") if layout == "scan" else ("torch",)
    python = python_with(*needs)
    if not python:
        print(f"peer: layout {layout} left out: no Python with {' and '.join(needs)}")
        return None
    if run([python, EXPORT, "--model", MODEL, "--layout", layout, "--out", path]) is None:
        return None
    return path


def quantize(models):
    """{layout: path} of the same graphs in ONNX Runtime's own int8; fewer or none where it cannot."""
    python, out = python_with("onnxruntime", "onnx"), {}
    if not python:
        print("peer: ONNX Runtime's int8 left out: no Python with onnxruntime and onnx")
        return out
    for layout, path in models.items():
        to = path.replace(".onnx", ".int8.onnx")
        if os.path.exists(to) and os.path.getmtime(to) > os.path.getmtime(path) \
                or run([python, "-c", QUANTIZE, path, to]) is not None:
            out[layout] = to
    return out


def check(models, directory):
    """ONNX Runtime computes what the engine computes, or there is nothing to compare."""
    vectors, python = os.path.join(directory, "check"), python_with("torch")
    lib = os.path.join(BUILD, "engine/.libs/libshoal.so")
    if not python or not os.path.exists(lib):
        print("peer: not checked against the engine (no torch or no libshoal.so)")
        return None
    if run([python, EXPORT, "--model", MODEL, "--check", vectors], env={"LIBSHOAL": lib}) is None:
        raise SystemExit("peer: the engine's answers could not be had")
    worst = 0.0
    for path in models.values():
        got = last_json(run(["node", RUN_JS, path, "--check", vectors]))
        worst = max([worst, *got["max_diff"].values()]) if got else float("inf")
    print(f"ONNX Runtime against the engine, 10 chunks: largest difference {worst:.1e}")
    if not worst <= TOLERANCE:
        raise SystemExit(f"peer: they differ by more than {TOLERANCE}: not the same model")
    return worst


# ---- measuring -------------------------------------------------------------------------

def run_engine(bench, backend, precision, seconds, core):
    """{streams: streams per core} at full depth; None where this build or CPU lacks it."""
    out = last_json(run([bench, "--plain", "--seconds", str(seconds), "--backends", backend, "--precisions",
                         precision, "--depths", "full", "--chunks", "160", "--streams",
                         ",".join(map(str, ENGINE_STREAMS)), "--json", "-"], core))
    cases = out["engine"]["cases"] if out else []
    return {c["streams"]: c["streams_per_core"] for c in cases} or None


def run_ort(path, prepack, seconds, core):
    """{batch: {"served", "bare", "copies"}}, streams per core by CPU time."""
    command = ["node", RUN_JS, path, "--seconds", str(seconds), "--batches", ",".join(map(str, BATCHES))]
    out = last_json(run(command + ([] if prepack else ["--no-prepack"]), core))
    if not out:
        return None
    row = lambda r: {"served": r["served"]["cpu"], "bare": r["bare"]["cpu"], "copies": r["copies"],
                     "bare_wall": r["bare"]["wall"]}
    return {r["batch"]: row(r) for r in out["results"]}


def run_openvino(python, path, seconds, core):
    """As run_ort, {batch: {"bare", "served"}}: caches stay in the program's tensors."""
    out = last_json(run([python, RUN_OPENVINO, path, "--seconds", str(seconds), "--batches",
                         ",".join(map(str, BATCHES))], core))
    return {r["batch"]: {"served": r["cpu"], "bare": r["cpu"]} for r in out["results"]} if out else None


def rounds(jobs, count, until):
    """jobs {name: function}: all of them in each round, in turn forwards and backwards. Stops early,
    but not before the first, when another round would go beyond the time `until`."""
    out, begin = [], time.time()
    for i in range(count):
        names = list(jobs) if i % 2 == 0 else list(reversed(jobs))
        out.append({n: jobs[n]() for n in names})
        print(f"round {i + 1} of {count} done", flush=True)
        if until and time.time() + (time.time() - begin) / (i + 1) > until:
            break
    return out


def interleave(a, b):
    """The entries of two dictionaries by turns."""
    pairs = [list(a.items()), list(b.items())]
    mixed = [d[i] for i in range(max(map(len, pairs))) for d in pairs if i < len(d)]
    return dict(mixed)


# ---- judging ---------------------------------------------------------------------------

def medians(results, name):
    """Median over the rounds of nested {key: number or {key: number}}; None if it never ran."""
    seen = [r[name] for r in results if r.get(name)]
    if not seen:
        return None
    mid = lambda values: round(statistics.median(values), 4)
    return {k: {f: mid([s[k][f] for s in seen]) for f in v} if isinstance(v, dict)
            else mid([s[k] for s in seen]) for k, v in seen[0].items()}


def best_ort(table, batches):
    """(variant, batch) with the most streams per core."""
    return max(((v, b) for v in table for b in batches), key=lambda vb: table[vb[0]][vb[1]]["bare"])


def ratio(results, precision, wanted, variant, batch):
    """Median over rounds of: the best engine of that precision / ONNX Runtime's chosen case."""
    per_round = []
    for r in results:
        mine = [v for name, counts in r.items() if counts and name.endswith(" " + precision)
                for n, v in counts.items() if wanted(n)]
        if mine and r.get(variant):
            per_round.append(max(mine) / r[variant][batch]["bare"])
    return round(statistics.median(per_round), 3) if per_round else None


def ratios(results, table):
    """The keys of the head of this file; None where one side never ran."""
    of = lambda first: {v: t for v, t in table.items() if v.startswith(first)}
    fp32, int8, ov = of("ort fp32"), of("ort int8"), of("ov fp32")
    large, small = best_ort(fp32, BATCHES), best_ort(fp32, (1,))
    many, alone = lambda n: n >= LARGE, lambda n: n == 1
    out = {f"ort_ratio_{p}": ratio(results, p, many, *large) for p in ("fp32", "bf16", "int8")}
    out["ort_ratio_fp32_batch1"] = ratio(results, "fp32", alone, *small)
    if int8:
        best = best_ort(int8, BATCHES)
        out["ort_int8_ratio_int8"] = ratio(results, "int8", many, *best)
        out["ort_int8_over_fp32"] = round(int8[best[0]][best[1]]["bare"] / fp32[large[0]][large[1]]["bare"], 3)
    if ov:
        out["openvino_ratio_fp32"] = ratio(results, "fp32", many, *best_ort(ov, BATCHES))
        out["openvino_ratio_fp32_batch1"] = ratio(results, "fp32", alone, *best_ort(ov, (1,)))
    return out, large, small


def report(results, engines, variants):
    engine = {n: m for n in engines if (m := medians(results, n))}
    table = {n: m for n in variants if (m := medians(results, n))}
    if not any(v.startswith("ort fp32") for v in table) or not engine:
        raise SystemExit("peer: one side never ran")
    out, large, small = ratios(results, table)
    print("\nstreams per core, full depth, 160 ms chunks (medians)")
    for name, counts in engine.items():
        print(f"  {name:26s}" + "".join(f"  {n:3d}: {v:6.1f}" for n, v in counts.items()))
    for name, cases in table.items():
        print(f"  {name:26s}" + "".join(f"  {b:3d}: {c['bare']:6.1f}" for b, c in cases.items())
              + "   served in Node.js:" + "".join(f" {c['served']:.1f}" for c in cases.values()))
    print("\n" + "\n".join(f"{k} {v}" for k, v in out.items()))
    out["ort"] = {"best": list(large), "best_batch1": list(small), "runtime": table, "engine": engine}
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--seconds", type=float, default=0.5, help="CPU seconds a case")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--until", type=int, default=0, help="no more rounds after this time (seconds since 1970)")
    ap.add_argument("--core", type=int, help="default: the idlest; -1: do not pin")
    ap.add_argument("--thorough", action="store_true", help="every layout, with and without prepacking")
    ap.add_argument("--note", default="", help="kept with the numbers")
    a = ap.parse_args()
    core = idlest_core() if a.core is None else a.core
    need_node()
    bench, directory = need_engine(), os.path.join(BUILD, "tests/bench/ort")
    os.makedirs(directory, exist_ok=True)
    layouts = ALL_LAYOUTS if a.thorough else LAYOUTS
    models = {l: p for l in layouts if (p := export(l, directory))}
    if not models:
        raise Skip("no ONNX model could be made (Debian: python3-torch, python3-onnx)")
    worst = check(models, directory)
    engines = {f"engine {b} {p}": lambda b=b, p=p: run_engine(bench, b, p, a.seconds, core)
               for b, p in ENGINES}
    variants = {f"ort fp32 {l}" + ("" if pack else " unpacked"):
                lambda path=path, pack=pack: run_ort(path, pack, a.seconds, core)
                for l, path in models.items() for pack in ((True, False) if a.thorough else (True,))}
    variants.update({f"ort int8 {l}": lambda path=path: run_ort(path, True, a.seconds, core)
                     for l, path in quantize(models).items()})
    openvino = python_with("openvino")
    if openvino:
        variants.update({f"ov fp32 {l}": lambda path=path: run_openvino(openvino, path, a.seconds, core)
                         for l, path in models.items()})
    results = rounds(interleave(engines, variants), a.rounds, a.until)
    found = report(results, engines, variants)
    version = subprocess.run(["node", "-p", "require('onnxruntime-node/package.json').version"],
                             cwd=os.path.dirname(RUN_JS), capture_output=True, text=True).stdout.strip()
    found["ort"].update(version=version, rounds=len(results), seconds=a.seconds, core=core, note=a.note,
                        max_diff=worst)
    record.merge(found)


if __name__ == "__main__":
    try:
        main()
    except Skip as why:
        record.skip("peer", str(why))

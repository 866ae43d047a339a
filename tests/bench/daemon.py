#!/usr/bin/env python3
"""The whole daemon over loopback, held against the bare engine of the same run.

    daemon.py [--precision P] [--backend B] [--seconds 10] [--sessions N] [--core N]

One shoald with one worker; shoal-load with paced sessions of 160 ms chunks and 20 ms packets. The
worker has a core to itself (--core, default the idlest); the daemon's loop thread and the load
generator share the others. It

  - finds the knee (shoal-load --find-knee), unless --sessions says what it is;
  - runs at 50 % and 80 % of it: latency beyond the chunk, CPU by thread, streams a run;
  - runs saturated (--fast uploads): what the worker gives when it always has work;
  - runs depths 3, 6 and full with equally many sessions: what depth costs end to end;
  - times the bare engine on the worker's core with as many streams a run as the daemon had, which
    it reports itself (shoal_chunks_total / shoal_runs_total).

To bench.json: daemon_over_engine = CPU seconds of the bare engine / CPU seconds of the daemon's worker
thread, both for a second of audio at the same mean batch, at 80 % of the knee: 1 would mean that
protocol, queues and conversions cost nothing. daemon_over_engine_process counts all threads of
the daemon; daemon_over_engine_saturated is the first with uploads. With --precision these names end
in it. `daemon` holds the numbers behind them.
"""

import argparse
import json
import math
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request

import record
from peer import Skip, idlest_core
from record import BUILD

CHUNK_MS, RAMP_S, LEAD_S = 160, 1, 1.0      # LEAD_S: what shoal-load adds to the ramp
SHARES, HEADLINE = (0.5, 0.8), 0.8
DEPTHS = (3, 6, None)                       # None: the server's choice, full depth
UPLOADS, ENGINE_ROUNDS = 32, 3
LOAD = os.path.join(BUILD, "clients/shoal-load")
ENGINE = os.path.join(BUILD, "tests/bench/bench_engine")
SHOALD = os.path.join(BUILD, "daemon/shoald")


# ---- the daemon --------------------------------------------------------------------------

def thread_cpu(folder):
    """CPU seconds of a thread: in nanoseconds where the kernel counts them, else in ticks."""
    try:
        with open(folder + "/schedstat") as f:
            return int(f.read().split()[0]) * 1e-9
    except OSError:
        with open(folder + "/stat") as f:
            user, system = f.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Daemon:
    """A running shoald, its threads on their cores."""

    def __init__(self, options, core, folder):
        ready = os.path.join(folder, "ready")
        self.process = subprocess.Popen([SHOALD, "--listen", "127.0.0.1:0", "--workers", "1", "--log-level",
                                         "warning", "--ready-file", ready, "--set", "max_sessions=5000",
                                         *options])
        while not os.path.exists(ready) or not os.path.getsize(ready):
            if self.process.poll() is not None:
                raise Skip("shoald did not start")
            time.sleep(0.05)
        with open(ready) as f:
            self.address = f.read().strip()
        self.pid, self.core = self.process.pid, core
        self.others = os.sched_getaffinity(0) - {core} or {core}
        self.model = json.loads(self.get("/v1/model"))

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as r:
            return r.read().decode()

    def cpu(self):
        """{thread id: CPU seconds}."""
        return {int(t): thread_cpu(f"/proc/{self.pid}/task/{t}") for t in os.listdir(f"/proc/{self.pid}/task")}

    def pin(self):
        """The worker is the thread besides the first that computes: seen under a little load."""
        subprocess.run([LOAD, "--quiet", "--url", f"ws://{self.address}", "--sessions", "2", "--ramp", "0",
                        "--duration", "1"], stdout=subprocess.DEVNULL, check=True)
        cpu = self.cpu()
        self.worker = max((t for t in cpu if t != self.pid), key=cpu.get)
        for t in cpu:
            os.sched_setaffinity(t, {self.core} if t == self.worker else self.others)

    def counters(self):
        text = self.get("/metrics")
        value = lambda name: float(re.search(rf"^shoal_{name} (\S+)$", text, re.M)[1])
        names = ("chunks_total", "runs_total", "audio_seconds_total")
        return {n: value(n) for n in names}

    def sample(self):
        return time.monotonic(), self.cpu(), self.counters()

    def between(self, before, after):
        """What happened between two samples."""
        (t0, cpu0, c0), (t1, cpu1, c1) = before, after
        used = {t: cpu1[t] - cpu0.get(t, 0) for t in cpu1}
        count = {n: c1[n] - c0[n] for n in c1}
        audio = max(count["audio_seconds_total"], 1e-9)
        return {"seconds": t1 - t0, "audio_s": audio,
                "batch_mean": count["chunks_total"] / max(count["runs_total"], 1),
                "worker_cpu_per_audio_s": used[self.worker] / audio,
                "other_cpu_per_audio_s": (sum(used.values()) - used[self.worker]) / audio,
                "worker_busy": used[self.worker] / (t1 - t0)}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


# ---- load --------------------------------------------------------------------------------

def load_command(d, options):
    pinned = ["taskset", "-c", ",".join(map(str, sorted(d.others)))]
    return [*pinned, LOAD, "--quiet", "--url", f"ws://{d.address}", "--pid", str(d.pid), "--chunk-ms",
            str(CHUNK_MS), "--ramp", str(RAMP_S), *map(str, options)]


def load(d, folder, options):
    """The JSON of one shoal-load, None when it wrote none."""
    out = os.path.join(folder, "load.json")
    if os.path.exists(out):
        os.remove(out)
    p = subprocess.run(load_command(d, [*options, "--json", out]), capture_output=True, text=True)
    if not os.path.exists(out):
        print(p.stdout + p.stderr)
        return None
    with open(out) as f:
        return json.load(f)


def paced(d, folder, sessions, seconds, depth=None):
    """A paced run and what the daemon used in its steady seconds."""
    options = ["--sessions", sessions, "--duration", seconds]
    options += ["--depths", depth] if depth else []
    out = os.path.join(folder, "load.json")
    p = subprocess.Popen(load_command(d, [*options, "--json", out]), stdout=subprocess.PIPE)
    time.sleep(RAMP_S + LEAD_S)
    before = d.sample()
    time.sleep(max(seconds - 1, 1))
    after = d.sample()
    p.communicate()
    with open(out) as f:
        run = json.load(f)["run"]
    kept = ("latency_ms", "server_ms", "rss_mb", "refused", "failed", "frames_missing", "own_late_ms")
    return {"sessions": sessions, "depth": depth or d.model["depth"], **d.between(before, after),
            **{k: run[k] for k in kept}}


def saturated(d, folder, seconds):
    """Uploads that are always ready: between two moments in the middle of them."""
    p = subprocess.Popen(load_command(d, ["--sessions", UPLOADS, "--duration", 600, "--fast"]),
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(RAMP_S + 1)
    before = d.sample()
    time.sleep(seconds)
    after = d.sample()
    p.send_signal(signal.SIGINT)
    time.sleep(0.2)
    p.send_signal(signal.SIGINT)
    p.wait()
    return {"sessions": UPLOADS, **d.between(before, after)}


# ---- the bare engine ---------------------------------------------------------------------

def engine_runs(d, streams):
    """{streams: CPU seconds of a run of one 160 ms chunk of each}, on the worker's core."""
    backend, precision = d.model["backend"].split()[0], precision_of(d)
    command = [ENGINE, "--plain", "--seconds", "0.2", "--backends", backend, "--precisions", precision,
               "--depths", "full", "--chunks", str(CHUNK_MS), "--streams", ",".join(map(str, streams)),
               "--json", "-"]
    p = subprocess.run(["taskset", "-c", str(d.core), *command], capture_output=True, text=True, check=True)
    cases = json.loads(p.stdout)["engine"]["cases"]
    return {c["streams"]: c["cpu_per_run_s"] for c in cases}


def precision_of(d):
    """The first precision that the backend's name has: "amx bf16", "openblas 0.3.21 SkylakeX"."""
    return next((w for w in d.model["backend"].split() if w in ("fp32", "bf16", "int8")), "fp32")


def engine_cost(d, batch_mean):
    """CPU seconds of the bare engine for a second of audio when a run has so many streams in the mean.
    A run's cost is nearly a straight line in its streams, so the mean batch is what counts."""
    low = max(1, math.floor(batch_mean))
    costs = []
    for _ in range(ENGINE_ROUNDS):
        run = engine_runs(d, [low, low + 1])
        costs.append(run[low] + (batch_mean - low) * (run[low + 1] - run[low]))
    return statistics.median(costs) / (batch_mean * CHUNK_MS / 1000)


def hold_against_engine(d, r):
    r["engine_cpu_per_audio_s"] = engine_cost(d, r["batch_mean"])
    r["over_engine"] = r["engine_cpu_per_audio_s"] / r["worker_cpu_per_audio_s"]
    r["over_engine_process"] = r["engine_cpu_per_audio_s"] / (r["worker_cpu_per_audio_s"]
                                                             + r["other_cpu_per_audio_s"])
    return r


# ---- all of it ---------------------------------------------------------------------------

def find_knee(d, folder, seconds):
    """Doubling from half of what the bare engine does with 32 streams, so that few steps are needed."""
    bare = 32 * CHUNK_MS / 1000 / engine_runs(d, [32])[32]
    start = max(2, int(bare / 2))
    found = load(d, folder, ["--find-knee", "--knee-start", start, "--knee-max", 5000, "--duration",
                             max(3, seconds // 3)])
    if not found or not found["knee"]["holds"]:
        raise Skip("no number of sessions holds: the machine is too busy to measure")
    knee = found["knee"]
    print(f"  knee: {knee['holds']} sessions hold, {knee['breaks']} do not; the bare engine does "
          f"{bare:.1f} with 32 streams a run")
    return {"holds": knee["holds"], "breaks": knee["breaks"], "bare_engine_32": bare}


def percent(x):
    return f"{100 * x:.0f} %"


def show_load(title, r):
    ms = r["latency_ms"]
    print(f"  {title:22s} {r['sessions']:5d} {ms['p50']:8.1f} {ms['p95']:8.1f} {ms['p99']:8.1f} "
          f"{ms['p999']:8.1f} {ms['max']:8.1f} {percent(r['worker_busy']):>7s} {r['batch_mean']:6.1f} "
          f"{r['refused']:4d} {r['failed'] + r['frames_missing']:5d}")


def show_engine(title, r):
    us = lambda key: 1e6 * r[key]
    print(f"  {title:22s} {r['batch_mean']:6.1f} {us('engine_cpu_per_audio_s'):9.0f} "
          f"{us('worker_cpu_per_audio_s'):9.0f} {us('other_cpu_per_audio_s'):9.0f} {r['over_engine']:9.3f} "
          f"{r['over_engine_process']:9.3f}")


def measure(d, folder, a):
    d.pin()
    print(f"\nshoald, {d.model['backend']}, one worker on core {d.core}; depth {d.model['depth']}, "
          f"{CHUNK_MS} ms chunks")
    out = {"backend": d.model["backend"], "core": d.core}
    out["knee"] = {"holds": a.sessions} if a.sessions else find_knee(d, folder, a.seconds)
    holds = out["knee"]["holds"]
    print(f"\n  {'latency beyond chunk':22s}     n  p50, ms      p95      p99    p99.9      max  worker  "
          "batch  ref. fail.")
    out["load"] = []
    for share in SHARES:
        r = paced(d, folder, max(1, round(share * holds)), a.seconds)
        out["load"].append({"share": share, **hold_against_engine(d, r)})
        show_load(f"{percent(share)} of the knee", r)
    out["depths"] = []
    for depth in DEPTHS:
        r = paced(d, folder, max(1, holds // 2), max(3, a.seconds // 2), depth)
        out["depths"].append(r)
        show_load(f"depth {r['depth']}", r)
    out["saturated"] = hold_against_engine(d, saturated(d, folder, max(3, a.seconds // 2)))
    report_costs(out)
    return out


def report_costs(out):
    print(f"\n  {'CPU us / audio s':22s}  batch    engine    worker    others /worker  /process")
    for r in out["load"]:
        show_engine(f"{percent(r['share'])} of the knee", r)
    show_engine("saturated", out["saturated"])
    full = out["depths"][-1]["worker_cpu_per_audio_s"]
    print("\n  cost against full depth, worker: " + ", ".join(
        f"depth {r['depth']} {r['worker_cpu_per_audio_s'] / full:.2f}" for r in out["depths"])
        + " (with the streams a run that each has)")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--precision", help="of shoald: fp32, bf16, int8; default: its own")
    ap.add_argument("--backend", help="of shoald; default: its own")
    ap.add_argument("--seconds", type=int, default=10, help="a paced run")
    ap.add_argument("--sessions", type=int, help="take this as the knee")
    ap.add_argument("--core", type=int, help="the worker's; default: the idlest")
    a = ap.parse_args()
    options = ["--precision", a.precision] if a.precision else []
    options += ["--backend", a.backend] if a.backend else []
    core = idlest_core() if a.core is None else a.core
    with tempfile.TemporaryDirectory() as folder:
        d = Daemon(options, core, folder)
        try:
            out = measure(d, folder, a)
        finally:
            d.stop()
    headline = next(r for r in out["load"] if r["share"] == HEADLINE)
    suffix = "_" + a.precision if a.precision else ""
    found = {"daemon_over_engine" + suffix: round(headline["over_engine"], 4),
             "daemon_over_engine_process" + suffix: round(headline["over_engine_process"], 4),
             "daemon_over_engine_saturated" + suffix: round(out["saturated"]["over_engine"], 4)}
    print("\n" + "\n".join(f"  {k} {v}" for k, v in found.items()))
    record.merge({**found, "daemon" + suffix: out})


if __name__ == "__main__":
    try:
        main()
    except Skip as why:
        record.skip("daemon", str(why))

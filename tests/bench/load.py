#!/usr/bin/env python3
"""What live clients see of one worker: the knee, a mix of depths, a rush, a thousand idle sessions.

    load.py [--seconds 20] [--core N] [SHOALD OPTION]...      about five minutes

Runs shoald and shoal-load as daemon.py does, and shows each shoal-load command with its table: that
is what docs/performance.md holds. SVG, CSV and JSON of the runs go to bench-load/ in the build
directory. For instance: load.py --precision bf16
"""

import argparse
import json
import os
import subprocess
import tempfile

import record
from daemon import LOAD, Daemon
from peer import idlest_core
from record import BUILD

OUT = os.path.join(BUILD, "bench-load")
IDLE, ACTIVE, ACTIVE_DEPTH = 1000, 200, 3


def show(d, name, *options):
    """Run shoal-load, show command and table; the JSON of the run."""
    files = {kind: os.path.join(OUT, f"{name}.{kind}") for kind in ("json", "csv", "svg")}
    words = [str(o) for o in options]
    print(f"\n$ shoal-load {' '.join(words)}", flush=True)
    command = [LOAD, "--quiet", "--url", f"ws://{d.address}", "--pid", str(d.pid), *words, "--json",
               files["json"], "--csv", files["csv"], "--plot", files["svg"]]
    subprocess.run(["taskset", "-c", ",".join(map(str, sorted(d.others))), *command])
    with open(files["json"]) as f:
        return json.load(f)


def measure(d, seconds):
    d.pin()
    print(f"\nshoald, {d.model['backend']}, one worker on core {d.core}")
    knee = show(d, "knee", "--find-knee", "--knee-start", 16, "--knee-tries", 2, "--duration",
                seconds)["knee"]["holds"]
    most = max(knee, 2)
    show(d, "mix", "--sessions", most, "--depths", "3:0.5,12:0.5", "--chunk-ms", "80:1,160:2,320:1",
         "--packet-ms", "20,100", "--duration", seconds)
    show(d, "rush", "--sessions", max(1, most // 2), "--depths", "3..12", "--rush",
         f"{most}@{seconds}+{seconds}", "--duration", 3 * seconds)
    show(d, "idle", "--sessions", ACTIVE, "--idle", IDLE, "--depths", ACTIVE_DEPTH, "--ramp", seconds,
         "--duration", seconds)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--seconds", type=int, default=20, help="a run")
    ap.add_argument("--core", type=int, help="the worker's; default: the idlest")
    a, shoald = ap.parse_known_args()
    os.makedirs(OUT, exist_ok=True)
    core = idlest_core() if a.core is None else a.core
    record.heading()
    with tempfile.TemporaryDirectory() as folder:
        d = Daemon(shoald, core, folder)
        try:
            measure(d, a.seconds)
        finally:
            d.stop()


if __name__ == "__main__":
    main()

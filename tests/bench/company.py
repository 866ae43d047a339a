#!/usr/bin/env python3
"""What hostile clients, one of every kind and all at once, do to the latency of honest ones.

    company.py [--rounds 5] [--seconds 15] [SHOALD OPTION]...        about three minutes

One shoald with one worker on a core of its own. 20 honest sessions of depth 3 speak in real time (shoal-load), by turns alone
and in the company of tests/hostile/attackers.py, whose head tells who they are. Those run with idle priority, for there are two
cores here and an attacker's would be another machine's; the CPU that they got is told. Printed: p99 of the latency beyond the chunk,
alone and in company, of each round, and the ratio of the medians. Issue 16 wants 1.2 at most. No honest session may
fail, and none of its frames be missing.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

import record
from daemon import Daemon, load
from peer import idlest_core

ATTACKERS = os.path.join(record.HERE, "../hostile/attackers.py")
HONEST, DEPTH = 20, 3


def honest(d, folder, seconds):
    """p99 in ms; nothing of theirs may fail or be missing."""
    run = load(d, folder, ["--sessions", HONEST, "--depths", DEPTH, "--duration", seconds])["run"]
    if run["failed"] or run["refused"] or run["frames_missing"]:
        sys.exit(f"honest sessions suffered: {run}")
    return run["latency_ms"]["p99"]


def attacked(d, folder, seconds, cpu):
    port = d.address.rsplit(":", 1)[1]
    attackers = subprocess.Popen(["taskset", "-c", ",".join(map(str, sorted(d.others))), sys.executable, ATTACKERS, port],
                                 stdout=subprocess.PIPE, text=True)
    try:
        return honest(d, folder, seconds)
    finally:
        attackers.terminate()
        cpu.append(float(attackers.communicate()[0]))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=15)
    a, options = p.parse_known_args()
    record.heading()
    with tempfile.TemporaryDirectory() as folder:
        d = Daemon(["--set", "max_http_connections=64", *options], idlest_core(), folder)
        alone, company, cpu = [], [], []
        try:
            d.pin()
            for n in range(a.rounds):
                alone.append(honest(d, folder, a.seconds))
                company.append(attacked(d, folder, a.seconds, cpu))
                print(f"round {n + 1}: p99 {alone[-1]:.1f} ms alone, {company[-1]:.1f} ms in company; attackers' CPU "
                      f"{cpu[-1]:.1f} s", flush=True)
        finally:
            d.stop()
    ratio = statistics.median(company) / statistics.median(alone)
    print(f"p99, {HONEST} sessions at depth {DEPTH}: {statistics.median(alone):.1f} ms alone, "
          f"{statistics.median(company):.1f} ms in company, {ratio:.2f} times")


if __name__ == "__main__":
    main()

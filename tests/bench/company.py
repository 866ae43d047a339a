#!/usr/bin/env python3
"""What hostile clients, one of every kind and all at once, do to the latency of honest ones.

    company.py [--rounds 5] [--seconds 15] [--kinds LIST] [SHOALD OPTION]...        about three minutes

One shoald with one worker on a core of its own. 20 honest sessions of depth 3 speak in real time (shoal-load), by turns alone
and in the company of tests/hostile/attackers.py, whose head tells who they are. Those run with idle priority, for there are two
cores here and an attacker's would be another machine's; the CPU that they got is told. Where others use the machine,
let root run it: shoald and shoal-load then come before everybody (nice -15), the attackers after. Printed: p99 of
the latency beyond the chunk and of the server's own part of it (waiting and computing), alone and in company, of each
round, and the ratio of the medians. --kinds upload,crumbs: those attackers only. Issue 16 wants 1.2 at most. No honest session may
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
    """p99 in ms, in all and the server's; nothing of theirs may fail or be missing."""
    run = load(d, folder, ["--sessions", HONEST, "--depths", DEPTH, "--duration", seconds])["run"]
    if run["failed"] or run["refused"] or run["frames_missing"]:
        sys.exit(f"honest sessions suffered: {run}")
    return run["latency_ms"]["p99"], run["server_ms"]["p99"]


def attacked(d, folder, a, cpu):
    port = d.address.rsplit(":", 1)[1]
    attackers = subprocess.Popen(["taskset", "-c", ",".join(map(str, sorted(d.others))), sys.executable, ATTACKERS, port,
                                  *filter(None, a.kinds.split(","))],
                                 stdout=subprocess.PIPE, text=True)
    try:
        return honest(d, folder, a.seconds)
    finally:
        attackers.terminate()
        cpu.append(float(attackers.communicate()[0]))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=15)
    p.add_argument("--kinds", default="")
    a, options = p.parse_known_args()
    record.heading()
    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -15)     # and what we start
    with tempfile.TemporaryDirectory() as folder:
        d = Daemon(["--set", "max_http_connections=64", *options], idlest_core(), folder)
        alone, company, cpu = [], [], []
        try:
            d.pin()
            for n in range(a.rounds):
                alone.append(honest(d, folder, a.seconds))
                company.append(attacked(d, folder, a, cpu))
                print(f"round {n + 1}: p99 {alone[-1][0]:.1f} ms alone, {company[-1][0]:.1f} ms in company; of these the "
                      f"server's {alone[-1][1]:.1f} and {company[-1][1]:.1f}; attackers' CPU {cpu[-1]:.1f} s", flush=True)
        finally:
            d.stop()
    for i, what in enumerate(("p99", "of it the server's")):
        a, b = (statistics.median(r[i] for r in rounds) for rounds in (alone, company))
        print(f"{what}, {HONEST} sessions at depth {DEPTH}: {a:.1f} ms alone, {b:.1f} ms in company, {b / a:.2f} times")


if __name__ == "__main__":
    main()

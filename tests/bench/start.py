#!/usr/bin/env python3
"""How long shoald takes from its start until it listens and has said so, in milliseconds.

    tests/bench/start.py [--rounds 15] [--options "--workers 1"] SHOALD [SHOALD]...

Programs by turns (builds of two commits, say), with the built-in model: for each the median and the
best by the clock, and the median of CPU time. Only an idle machine's clock means anything."""
import argparse
import os
import signal
import statistics
import subprocess
import tempfile
import time


def start(program, options):
    """(by the clock, CPU) in ms"""
    with tempfile.TemporaryDirectory() as folder:
        ready = os.path.join(folder, "ready")
        begin = time.monotonic()
        p = subprocess.Popen([program, "--listen", "127.0.0.1:0", "--ready-file", ready, *options],
                             stderr=subprocess.DEVNULL)
        while not (os.path.exists(ready) and os.path.getsize(ready)):
            if p.poll() is not None:
                raise SystemExit(f"{program} did not start")
            time.sleep(0.0005)
        took = time.monotonic() - begin
        with open(f"/proc/{p.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        p.send_signal(signal.SIGTERM)
        p.wait()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return took * 1000, cpu * 1000


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--rounds", type=int, default=15)
    ap.add_argument("--options", default="")
    ap.add_argument("programs", nargs="+")
    a = ap.parse_args()
    found = {program: [] for program in a.programs}
    for _ in range(a.rounds):
        for program in found:
            found[program].append(start(program, a.options.split()))
    for program, rows in found.items():
        took, cpu = zip(*rows)
        print(f"{program}: median {statistics.median(took):.0f} ms, best {min(took):.0f}; "
              f"CPU {statistics.median(cpu):.0f}")


main()

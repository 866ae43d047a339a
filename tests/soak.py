#!/usr/bin/env python3
"""soak.py [--minutes 2] [--load 0.7] - shoald under load for long: does anything grow?

A shoald of its own with one worker and the built-in model. Half of the load are sessions that stay from the beginning
to the end, half are sessions of ten seconds, one lot after the other; a tenth as many again break off without a word. All
of them may be served at depth 3 to 12, so a machine that others use meanwhile changes depths, not results. Those that it
refuses even so are told.

Must hold: no session fails, no frame is missing, no sequence number either; memory in the last quarter is at most 5 % (and 4 MiB) above that of
the second; at the end no session is left and SIGTERM is obeyed. Told, not judged: p99 of the latency beyond the
chunk and memory, by quarter. (make check-soak; the last line is "N passed, N failed".)
"""

import argparse
import csv
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "hostile"))

from case_endurance import gone_abruptly                        # noqa: E402
from daemon import BUILD, Failed, Shoald, check, wait_until     # noqa: E402
from ws import BINARY, frame, noise                             # noqa: E402

LOAD = os.path.join(BUILD, "clients", "shoal-load")
RENEWED_S, GROWTH, LEAST = 10, 1.05, 4
SLACK_MIB = 4       # a few parked sessions more or less


class Load:
    """shoal-load for so many seconds; result() is what it measured."""

    def __init__(self, folder, name, port, sessions, seconds):
        self.csv = os.path.join(folder, name + ".csv")
        self.json = os.path.join(folder, name + ".json")
        self.process = subprocess.Popen(
            [LOAD, "--quiet", "--url", f"ws://127.0.0.1:{port}", "--sessions", str(sessions), "--depths", "3-12",
             "--ramp", "2", "--duration", str(seconds), "--csv", self.csv, "--json", self.json],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        words = self.process.communicate()[0]
        with open(self.json, encoding="utf-8") as f:
            run = json.load(f)["run"]
        check(run["failed"] == run["frames_missing"] == run["seq_gaps"] == 0, words)
        return run


class Broken(threading.Thread):
    """Sessions that break off in mid-frame, until told to end."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.over, self.count = port, threading.Event(), 0

    def run(self):
        rng, audio = random.Random(1), frame(BINARY, noise(0.5))
        while not self.over.wait(0.5):
            try:
                gone_abruptly(self.port, rng, audio)
                self.count += 1
            except (OSError, Failed):
                pass        # refused, if it is full


def latencies(path):
    """[(second, p99 in ms)]"""
    with open(path, encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    return [(float(r["t_s"]), float(r["p99_ms"])) for r in rows if r.get("p99_ms")]


def quarters(values, seconds):
    """Medians by quarter of [(second, value)]."""
    parts = [[v for t, v in values if i * seconds / 4 <= t < (i + 1) * seconds / 4] for i in range(4)]
    return [statistics.median(p) if p else math.nan for p in parts]


def soak(shoald, seconds, load, folder):
    stay = max(LEAST, round(load * shoald.metric("capacity_streams") / 2))
    print(f"{stay} sessions for {seconds} s, {stay} of {RENEWED_S} s at a time, by depth 3 to 12", flush=True)
    memory, start, renewed, refused = [], time.monotonic(), 0, 0
    long = Load(folder, "stay", shoald.port, stay, seconds)
    broken = Broken(shoald.port)
    broken.start()
    while long.process.poll() is None:
        lot = Load(folder, "lot", shoald.port, stay, RENEWED_S)
        while lot.process.poll() is None:
            memory.append((time.monotonic() - start, shoald.rss_bytes() / 2**20))
            time.sleep(0.5)
        run = lot.result()
        renewed, refused = renewed + run["offered"], refused + run["refused"]
        print(f"  {time.monotonic() - start:5.0f} s  {memory[-1][1]:.1f} MiB", file=sys.stderr)
    broken.over.set()
    broken.join()
    result = long.result()
    print(f"{renewed} renewed, {refused} of them refused, {broken.count} broken off; "
          f"p99 {result['latency_ms']['p99']:.0f} ms")
    return memory, long.csv


def judge(shoald, memory, path, seconds):
    mib = quarters(memory, seconds)
    print("p99, ms, by quarter: ", *(f"{v:.0f}" for v in quarters(latencies(path), seconds)))
    print("memory, MiB, by quarter: ", *(f"{v:.1f}" for v in mib))
    check(mib[3] <= mib[1] * GROWTH + SLACK_MIB, "memory grows")
    wait_until(lambda: shoald.metric("sessions") == 0, 30, "sessions stay")
    check(shoald.stop(30) == 0, "SIGTERM")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--minutes", type=float, default=2)
    p.add_argument("--load", type=float, default=0.7, help="share of shoal_capacity_streams")
    a = p.parse_args()
    seconds = round(60 * a.minutes)
    with tempfile.TemporaryDirectory() as folder, Shoald(model=None, max_sessions=2000, park_ms=2000) as shoald:
        try:
            memory, path = soak(shoald, seconds, a.load, folder)
            judge(shoald, memory, path, seconds)
        except Failed as failed:
            print(failed)
            print("0 passed, 1 failed")
            return 1
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

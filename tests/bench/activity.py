#!/usr/bin/env python3
"""How well activity events tell where speech begins and ends: the tables of docs/performance.md.

    tests/bench/activity.py SPEECH [--build build] [--clips 300] [--thresholds 80,90,95] ...

SPEECH is the folder of recordings described in docs/training.md: clips of speechocean762's dev
part with their forced alignment (the reference: phones are speech, SIL is silence, pauses shorter
than the hangover belong to the speech) and all noise clips of ESC-10. Everything goes through the
real shoald and shoal-file, all depths from one pass.
"""
import argparse
import collections
import csv
import json
import os
import random
import signal
import statistics
import subprocess
import tempfile
import time

Clip = collections.namedtuple("Clip", "path seconds reference kind")    # reference: [(start, end)]


def read_alignment(speech):
    with open(os.path.join(speech, "align.tsv"), encoding="utf-8") as f:
        for line in f:
            name, spans = line.rstrip("\n").split("\t")
            phones = (span.rsplit(":", 1) for span in spans.split())
            yield name, [tuple(int(t) / 100 for t in times.split("-"))
                         for phone, times in phones if phone != "SIL" and phone[0] != "+"]


def read_clips(speech, count, seed):
    """Speech drawn by chance but the same for each seed, and all noise."""
    reference = dict(read_alignment(speech))
    talk, noise = [], []
    with open(os.path.join(speech, "manifest.tsv"), encoding="utf-8") as f:
        for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
            path, seconds = os.path.join(speech, row["path"]), float(row["seconds"])
            if row["corpus"] == "esc10-noise":
                noise.append(Clip(path, seconds, [], row["path"].split("/")[1]))
            elif row["corpus"] == "speechocean762" and row["split"] == "dev" and reference.get(row["id"]):
                talk.append(Clip(path, seconds, reference[row["id"]], "speech"))
    return random.Random(seed).sample(talk, min(count, len(talk))) + noise


def start_daemon(build, folder):
    ready = os.path.join(folder, "ready")
    process = subprocess.Popen([os.path.join(build, "daemon/shoald"), "--listen", "127.0.0.1:0",
                                "--workers", "1", "--log-level", "warning", "--ready-file", ready])
    while not os.path.exists(ready) or not open(ready).read().endswith("\n"):
        if process.poll() is not None:
            raise SystemExit("shoald did not start")
        time.sleep(0.05)
    return process, open(ready).read().strip()


def detect(build, address, clips, depths, threshold, hangover_ms):
    """{depth: {path: [(start, end)]}}"""
    command = [os.path.join(build, "clients/shoal-file"), "--url", f"ws://{address}", "--fast", "-q",
               "--output", "jsonl", "--outputs", ",".join(f"activity@{d}" for d in depths),
               "--activity-threshold", str(threshold), "--activity-hangover-ms", str(hangover_ms)]
    run = subprocess.run(command + [c.path for c in clips], stdout=subprocess.PIPE, check=True)
    found = {d: collections.defaultdict(list) for d in depths}
    begun = {}
    for event in map(json.loads, run.stdout.splitlines()):
        key = event["tap"], event["file"]
        if event["activity"] == "speech":
            begun[key] = event["time"]
        else:
            found[event["tap"]][event["file"]].append((begun.pop(key), event["time"]))
    assert not begun, "speech that never ended"
    return found


def fill_pauses(spans, pause):
    out = []
    for start, end in spans:
        if out and start - out[-1][1] < pause:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def overlap(a, b):
    return sum(max(0, min(x[1], y[1]) - max(x[0], y[0])) for x in a for y in b)


def length(spans):
    return sum(end - start for start, end in spans)


def ninety(errors):
    return statistics.quantiles(errors, n=10)[-1]


def judge_speech(clips, found, hangover_ms):
    speech = silence = heard = false = 0
    begins, ends, deaf = [], [], 0
    for clip in clips:
        want, got = fill_pauses(clip.reference, hangover_ms / 1000), found[clip.path]
        both = overlap(want, got)
        speech, silence = speech + length(want), silence + clip.seconds - length(want)
        heard, false = heard + both, false + length(got) - both
        if got:
            begins.append(1000 * (got[0][0] - want[0][0]))
            ends.append(1000 * (got[-1][1] - want[-1][1]))
        deaf += not got
    row = [f"{100 * (1 - heard / speech):.1f} %", f"{100 * false / silence:.1f} %", str(deaf)]
    for errors in begins, ends:
        sizes = [abs(e) for e in errors]
        row.append(f"{statistics.median(errors):+.0f}, {statistics.median(sizes):.0f}, {ninety(sizes):.0f}")
    return row


def judge_noise(clips, found):
    minutes = sum(c.seconds for c in clips) / 60
    events = sum(len(found[c.path]) for c in clips)
    share = sum(length(found[c.path]) for c in clips) / 60 / minutes
    return [f"{events / minutes:.1f}", f"{100 * share:.1f} %"]


def print_row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def print_kinds(noise, found):
    print_row(["noise", "false alarms a minute", "taken for speech"])
    print_row(["---"] * 3)
    for kind in sorted({c.kind for c in noise}):
        print_row([kind.replace("_", " ")] + judge_noise([c for c in noise if c.kind == kind], found))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("speech")
    p.add_argument("--build", default="build")
    p.add_argument("--clips", type=int, default=300)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--depths", default="2,4,6,12")
    p.add_argument("--thresholds", default="80,90,95")
    p.add_argument("--hangover-ms", type=int, default=300)
    p.add_argument("--kinds-at", type=int, default=4, help="depth of the table of kinds of noise")
    a = p.parse_args()
    clips = read_clips(a.speech, a.clips, a.seed)
    talk, noise = [c for c in clips if c.reference], [c for c in clips if not c.reference]
    depths = [int(d) for d in a.depths.split(",")]
    thresholds = [int(t) for t in a.thresholds.split(",")]
    print(f"{len(talk)} clips of speech ({sum(c.seconds for c in talk) / 60:.1f} min), {len(noise)} of "
          f"noise ({sum(c.seconds for c in noise) / 60:.1f} min), hangover {a.hangover_ms} ms\n")
    with tempfile.TemporaryDirectory() as folder:
        daemon, address = start_daemon(a.build, folder)
        try:
            found = {t: detect(a.build, address, clips, depths, t, a.hangover_ms) for t in thresholds}
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
    print_row(["threshold", "depth", "speech missed", "silence taken for speech", "clips unheard",
               "begin: median, size, 90 % (ms)", "end: median, size, 90 % (ms)",
               "false alarms a minute of noise", "noise taken for speech"])
    print_row(["---"] * 9)
    for t in thresholds:
        for d in depths:
            print_row([f"{t} %", str(d)] + judge_speech(talk, found[t][d], a.hangover_ms)
                      + judge_noise(noise, found[t][d]))
    print()
    print_kinds(noise, found[thresholds[0]][a.kinds_at])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How well activity events tell where speech begins and ends: the tables of docs/performance.md.

    tests/bench/activity.py SPEECH [--build build] [--clips 300] [--noise 400] ...

SPEECH is the folder of recordings described in training/README.md: clips of speechocean762's dev
part with their forced alignment (the reference: phones are speech, SIL is silence, pauses shorter
than the hangover belong to the speech) and noise clips of ESC-10. All depths of a clip
come from one pass through shoald; what the engine's detector makes of the posteriors is what shoald
tells as events (tests/integration/test_taps.c).
"""
import argparse
import collections
import ctypes
import csv
import os
import random
import signal
import statistics
import subprocess
import tempfile
import time

FRAME_MS, CLASSES = 20, 40
Clip = collections.namedtuple("Clip", "path seconds reference kind")    # reference: [(start, end)]


def stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def read_alignment(speech):
    with open(os.path.join(speech, "align.tsv"), encoding="utf-8") as f:
        for line in f:
            name, spans = line.rstrip("\n").split("\t")
            phones = (span.rsplit(":", 1) for span in spans.split())
            yield name, [tuple(int(t) / 100 for t in times.split("-"))
                         for phone, times in phones if phone != "SIL" and phone[0] != "+"]


def read_clips(speech, count, noise_count, seed):
    """Drawn by chance but the same for each seed."""
    reference = dict(read_alignment(speech))
    talk, noise = [], []
    with open(os.path.join(speech, "manifest.tsv"), encoding="utf-8") as f:
        for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
            path, seconds = os.path.join(speech, row["path"]), float(row["seconds"])
            if row["corpus"] == "esc10-noise":
                noise.append(Clip(path, seconds, [], row["path"].split("/")[1]))
            elif row["corpus"] == "speechocean762" and row["split"] == "dev" and reference.get(row["id"]):
                talk.append(Clip(path, seconds, reference[row["id"]], "speech"))
    rng = random.Random(seed)
    return rng.sample(talk, min(count, len(talk))) + rng.sample(noise, min(noise_count, len(noise)))


def start_daemon(build, folder):
    ready = os.path.join(folder, "ready")
    process = subprocess.Popen([os.path.join(build, "daemon/shoald"), "--listen", "127.0.0.1:0",
                                "--workers", "1", "--log-level", "warning", "--ready-file", ready])
    while not os.path.exists(ready) or not open(ready).read().endswith("\n"):
        if process.poll() is not None:
            raise SystemExit("shoald did not start")
        time.sleep(0.05)
    return process, open(ready).read().strip()


def stream(build, clips, depths, folder):
    """NAME.posteriors@N.npy of every clip in folder, all depths from one pass through shoald."""
    process, address = start_daemon(build, folder)
    try:
        subprocess.run([os.path.join(build, "clients/shoal-file"), "--url", f"ws://{address}", "--fast", "-q",
                        "--output", "npy", "--outputs", ",".join(f"posteriors@{d}" for d in depths),
                        "--out-dir", folder] + [c.path for c in clips], check=True)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def read_npy(path):
    with open(path, "rb") as f:
        header = f.read(10)
        f.read(int.from_bytes(header[8:], "little"))
        return f.read()


class Params(ctypes.Structure):
    _fields_ = [("threshold", ctypes.c_float), ("release", ctypes.c_float),
                ("min_speech_frames", ctypes.c_int), ("hangover_frames", ctypes.c_int)]


class Event(ctypes.Structure):
    _fields_ = [("speech", ctypes.c_int), ("frame", ctypes.c_int64)]


class Detector:
    """The engine's own, on rows of log posteriors."""

    def __init__(self, build):
        self.lib = ctypes.CDLL(os.path.join(build, "engine/.libs/libshoal.so"))
        self.lib.shoal_activity_default_params.restype = Params
        self.model = ctypes.c_void_p()
        assert self.lib.shoal_model_open(ctypes.byref(self.model), None, None, ctypes.c_size_t(0)) == 0

    def params(self, threshold, hangover_ms):
        p = self.lib.shoal_activity_default_params()
        p.release += threshold / 100 - p.threshold
        p.threshold = threshold / 100
        p.hangover_frames = hangover_ms // FRAME_MS
        return p

    def spans(self, rows, params):
        """[(start, end)] in seconds"""
        frames = len(rows) // (4 * CLASSES)
        events = (Event * (frames + 1))()
        a = ctypes.c_void_p()
        assert self.lib.shoal_activity_new(ctypes.byref(a), self.model, ctypes.byref(params),
                                           ctypes.c_int64(0)) == 0
        n = self.lib.shoal_activity_run(a, rows, frames, events, frames)
        n += self.lib.shoal_activity_finish(a, ctypes.byref(events, n * ctypes.sizeof(Event)))
        self.lib.shoal_activity_free(a)
        times = [e.frame * FRAME_MS / 1000 for e in events[:n]]
        return list(zip(times[::2], times[1::2]))


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
        row.append(f"{statistics.median(errors):.0f}, {statistics.median(sizes):.0f}, {ninety(sizes):.0f}")
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
    p.add_argument("--noise", type=int, default=400)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--depths", default="2,4,6,12")
    p.add_argument("--thresholds", default="80,90,95")
    p.add_argument("--hangover-ms", type=int, default=300)
    p.add_argument("--posteriors", help="folder with NAME.posteriors@N.npy from an earlier run of shoal-file")
    p.add_argument("--kinds-at", type=int, default=4, help="depth of the table of kinds of noise")
    a = p.parse_args()
    clips = read_clips(a.speech, a.clips, a.noise, a.seed)
    talk, noise = [c for c in clips if c.reference], [c for c in clips if not c.reference]
    depths = [int(d) for d in a.depths.split(",")]
    thresholds = [int(t) for t in a.thresholds.split(",")]
    print(f"{len(talk)} clips of speech ({sum(c.seconds for c in talk) / 60:.1f} min), {len(noise)} of "
          f"noise ({sum(c.seconds for c in noise) / 60:.1f} min), hangover {a.hangover_ms} ms\n")
    detector = Detector(a.build)
    with tempfile.TemporaryDirectory() as made:
        folder = a.posteriors or made
        if not a.posteriors:
            stream(a.build, clips, depths, folder)
        rows = {(c.path, d): read_npy(os.path.join(folder, stem(c.path) + f".posteriors@{d}.npy"))
                for c in clips for d in depths}
    found = {t: {d: {c.path: detector.spans(rows[c.path, d], detector.params(t, a.hangover_ms))
                     for c in clips} for d in depths} for t in thresholds}
    print_row(["threshold", "depth", "speech missed", "silence taken for speech", "clips unheard",
               "begin, ms: median, size, 90 %", "end, ms: median, size, 90 %",
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

#!/usr/bin/env python3
"""mic_live.py - shoal-mic against the real shoald

By a command: phones equal those of shoal-file, a terminal is left as it was, a server that restarts
is told and found again, failures say what to do. By a sound card that PulseAudio makes up: speech
that is played into it is heard, and a card that goes away and comes back is told. The second half
is left out where PulseAudio is not installed; the whole test where shoal-mic was not built.

Environment: TOP_BUILDDIR, SRCDIR, TEST_PATIENCE."""

import difflib
import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

from cutter import Cutter

BUILD = os.environ["TOP_BUILDDIR"]
TINY = os.path.join(os.environ["SRCDIR"], "tests/data/tiny.safetensors")
MIC, FILE = f"{BUILD}/clients/shoal-mic", f"{BUILD}/clients/shoal-file"
PATIENCE = 20 * int(os.environ.get("TEST_PATIENCE", "1"))
SPEECH = "/usr/share/sounds/alsa/Front_Center.wav"


def until(what, told):
    """Wait until what() is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in {PATIENCE} s: {told() if callable(told) else told}")


STARTED = []  # what must not outlive a test that fails


class Shoald:
    def __init__(self, folder, listen="127.0.0.1:0", *args):
        ready = os.path.join(folder, "ready")
        self.log = open(os.path.join(folder, "shoald.log"), "ab")
        self.process = subprocess.Popen(
            [f"{BUILD}/daemon/shoald", "--listen", listen, "--workers", "1", "--ready-file", ready,
             "--log-level", "warning", "--set", "capacity=100000", "--set", "elastic=off", "--set",
             "admission=off", "--set", "late_limit_ms=600000", *args],
            stdout=self.log, stderr=self.log)
        STARTED.append(self.process)
        until(lambda: os.path.exists(ready) and os.path.getsize(ready), "shoald starts")
        self.address = open(ready).read().strip()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()


class Mic:
    """shoal-mic --jsonl, whose events are collected in a file."""

    def __init__(self, folder, url, *args, env=None):
        self.out = os.path.join(folder, "mic.jsonl")
        self.err = os.path.join(folder, "mic.err")
        self.process = subprocess.Popen(
            [MIC, "--url", url, "--jsonl", *args], stdin=subprocess.DEVNULL,
            stdout=open(self.out, "wb"), stderr=open(self.err, "wb"),
            env={**os.environ, **(env or {})})
        STARTED.append(self.process)

    def events(self, kind=None):
        lines = open(self.out).read().split("\n")[:-1]
        return [e for e in map(json.loads, lines) if kind in (None, e["event"])]

    def wait_for(self, kind, count=1):
        return until(lambda: len(self.events(kind)) >= count and self.events(kind)[count - 1],
                     lambda: f"{kind} number {count}; {self.events()} {open(self.err).read()}")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


def make_noise(path, seconds):
    """Bursts of noise as a WAV file; the samples alone as path.raw."""
    rng = random.Random(1)
    samples = [int(rng.gauss(0, 3000 if i // 4000 % 3 else 30)) for i in range(16000 * seconds)]
    raw = struct.pack(f"<{len(samples)}h", *samples)
    write_wav(path, raw)
    with open(path + ".raw", "wb") as f:
        f.write(raw)


def write_wav(path, raw):
    with open(path, "wb") as f:
        f.write(struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(raw), b"WAVEfmt ", 16, 1, 1,
                            16000, 32000, 2, 16, b"data", len(raw)) + raw)


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE * 3, **more)


def phones_of_file(url, path, *args):
    done = run(FILE, "--url", url, "--fast", "--output", "jsonl", *args, path)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- by a command ------------------------------------------------------------------------------

def same_as_shoal_file(folder, url):
    wav = os.path.join(folder, "noise.wav")
    make_noise(wav, 4)
    expected = [(p["phone"], p["start"], p["end"])
                for p in phones_of_file(url, wav, "--depth", "2")]
    assert len(expected) > 3, expected
    mic = Mic(folder, url, "--depth", "2", "--input-command", f"cat {wav}.raw")
    assert mic.process.wait(PATIENCE) == 0, open(mic.err).read()
    heard = [(p["phone"], p["start"], p["end"]) for p in mic.events("phone")]
    assert heard == expected, (heard, expected)
    assert mic.events("start")
    plain = run(MIC, "--url", url, "--depth", "2", "--input-command", f"cat {wav}.raw")
    words = [w for line in plain.stdout.splitlines() if not line.startswith("#")
             for w in line.split()[1:]]
    assert words == [p[0] for p in expected] and "\033" not in plain.stdout, plain.stdout


def opus_is_nearly_the_same(folder):
    """Of real speech, with the model that is built in; packets, not samples, reach the server."""
    inner = os.path.join(folder, "opus")
    os.mkdir(inner)
    server = Shoald(inner)
    url, raw = f"ws://{server.address}", os.path.join(inner, "speech.raw")
    with open(SPEECH, "rb") as f, open(raw, "wb") as out:
        out.write(f.read()[44:])
    expected = [p["phone"] for p in phones_of_file(url, SPEECH, "--depth", "4")]
    args = [MIC, "--url", url, "--depth", "4", "--rate", "48000", "--jsonl", "--opus", "--input-command", f"cat {raw}"]
    done = run(*args)
    if "without Opus" in done.stderr:
        return print("skipped: --opus (built without it)")
    heard = [m["phone"] for m in map(json.loads, done.stdout.splitlines()) if "phone" in m]
    assert done.returncode == 0 and len(expected) >= 8, (done, expected)
    assert difflib.SequenceMatcher(None, heard, expected).ratio() > 0.75, (heard, expected)
    args[args.index("48000")] = "44100"
    wrong = run(*args)
    assert wrong.returncode == 1 and "--rate 48000" in wrong.stderr, wrong
    server.stop()


def utterances_are_handed_on(folder, url):
    wav, cut = os.path.join(folder, "noise.wav"), os.path.join(folder, "cut")
    threshold = url + "/?activity_threshold=30&activity_hangover_ms=20"
    mic = Mic(folder, threshold, "--depth", "2", "--input-command", f"cat {wav}.raw",
              "--utterances", cut, "--exec", "f() { echo got; wc -c < $1; }; f")
    assert mic.process.wait(PATIENCE) == 0, open(mic.err).read()
    files = sorted(os.path.join(cut, name) for name in os.listdir(cut))
    assert files and [e["message"] for e in mic.events("utterance")] == files, mic.events()
    sizes = sorted(f"got {os.path.getsize(f)}" for f in files)
    assert sorted(e["message"] for e in mic.events("heard")) == sizes, mic.events()
    sound = open(wav + ".raw", "rb").read()
    for f in files:
        assert open(f, "rb").read()[44:] in sound
    assert len(mic.events("activity")) == 2 * len(files), mic.events()


def failures_say_what_to_do(folder, url):
    done = run(MIC, "--url", "ws://127.0.0.1:9", "--input-command", "yes")
    assert done.returncode == 1 and "SHOAL_URL" in done.stderr, done
    done = run(MIC, "--input-command", "exit 3", env={**os.environ, "SHOAL_URL": url})
    assert done.returncode == 1 and "exit code 3" in done.stderr, done
    done = run(MIC, "talk.wav")
    assert done.returncode == 2 and "shoal-file" in done.stderr, done
    done = run(MIC, "--help")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) <= 24 and max(map(len, lines)) <= 80, done


def server_that_is_killed(folder, server):
    """Nothing is lost: the phones are those of a session that nothing happened to."""
    url, wav, go = f"ws://{server.address}", os.path.join(folder, "noise.wav"), folder + "/go"
    twice = os.path.join(folder, "twice.wav")
    write_wav(twice, 2 * open(wav + ".raw", "rb").read())
    expected = [(p["phone"], p["start"], p["end"])
                for p in phones_of_file(url, twice, "--depth", "2")]
    mic = Mic(folder, url, "--depth", "2", "--input-command",
              f"cat {wav}.raw; while [ ! -e {go} ]; do sleep 0.05; done; cat {wav}.raw")
    mic.wait_for("phone")
    server.process.kill()
    server.process.wait()
    assert "trying again" in mic.wait_for("away")["message"]
    server = Shoald(folder, server.address, "--model", TINY)
    open(go, "w").close()
    back = mic.wait_for("back")
    assert back["seconds"] == 0 and "lost 0 ms" in back["message"], back
    assert mic.process.wait(PATIENCE) == 0, open(mic.err).read()
    heard = [(p["phone"], p["start"], p["end"]) for p in mic.events("phone")]
    assert heard == expected, (heard, expected)
    return server


def link_that_is_cut(folder, server):
    """The server has kept the session: nothing is lost, nothing is sent again but what did not arrive."""
    wav, go = os.path.join(folder, "noise.wav"), folder + "/go-on"
    expected = [(p["phone"], p["start"], p["end"])
                for p in phones_of_file(f"ws://{server.address}", os.path.join(folder, "twice.wav"), "--depth", "2")]
    with Cutter(server.address) as cutter:
        mic = Mic(folder, f"ws://127.0.0.1:{cutter.port}", "--depth", "2", "--input-command",
                  f"cat {wav}.raw; while [ ! -e {go} ]; do sleep 0.05; done; cat {wav}.raw")
        mic.wait_for("phone")
        cutter.cut()
        back = mic.wait_for("back")
        assert back["seconds"] == 0 and "lost 0 ms" in back["message"], back
        open(go, "w").close()
        assert mic.process.wait(PATIENCE) == 0, open(mic.err).read()
    heard = [(p["phone"], p["start"], p["end"]) for p in mic.events("phone")]
    assert heard == expected, (heard, expected)


def in_a_terminal(folder, url):
    """Keys are taken, Ctrl-C ends, and the terminal is as it was before."""
    control, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    env = {**os.environ, "TERM": "xterm", "NO_COLOR": ""}
    process = subprocess.Popen(
        [MIC, "--url", url, "--depth", "2", "--input-command",
         f"cat {folder}/noise.wav.raw; sleep 60"],
        stdin=terminal, stdout=terminal, stderr=terminal, env=env, preexec_fn=take_terminal)
    STARTED.append(process)
    os.set_blocking(control, False)
    seen = bytearray()

    def shows(text):
        try:
            seen.extend(os.read(control, 65536))
        except BlockingIOError:
            pass
        return text in seen

    until(lambda: shows(b"speak now"), lambda: seen)
    until(lambda: shows(b"depth 2") and shows(b"lag "), lambda: seen)
    # a phone that is not settled is dim; the status line, dim too, follows a line end
    until(lambda: shows(b"") and re.search(rb"[^\n]\033\[2m[ 0-9.]+[A-Z]", seen), lambda: seen)
    assert not termios.tcgetattr(terminal)[3] & termios.ICANON
    os.write(control, b"?")
    until(lambda: shows(b"save the last 30 s"), lambda: seen)
    os.write(control, b"\x03")
    assert process.wait(PATIENCE) == 0, seen
    assert termios.tcgetattr(terminal) == before
    os.close(control)
    os.close(terminal)


def take_terminal():
    """Of a new session, so that it may have the terminal."""
    import fcntl
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


# ---- by a made-up sound card -------------------------------------------------------------------

class Pulse:
    def __init__(self, folder):
        # ALSA's plugin for PulseAudio leaks a little when its server goes away
        self.env = {"XDG_RUNTIME_DIR": folder, "HOME": folder, "PULSE_SERVER": f"unix:{folder}/ps",
                    "ASAN_OPTIONS": "detect_leaks=0"}
        self.log = open(os.path.join(folder, "pulse.log"), "wb")
        self.process = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1",
             "-L", f"module-native-protocol-unix auth-anonymous=1 socket={folder}/ps"],
            env={**os.environ, **self.env}, stdout=self.log, stderr=self.log)
        STARTED.append(self.process)
        until(lambda: self.call("info").returncode == 0, "pulseaudio starts")
        self.add_card()

    def call(self, *args, program="pactl"):
        return run(program, *args, env={**os.environ, **self.env})

    def add_card(self):
        self.card = self.call("load-module", "module-null-sink", "sink_name=card",
                              "rate=48000").stdout.strip()
        self.call("set-default-source", "card.monitor")

    def remove_card(self):
        self.call("unload-module", self.card)

    def play(self, path):
        assert self.call("--device=card", path, program="paplay").returncode == 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()


def part_heard(mic, first, expected):
    """Of the expected phones, the part that came in order from this one on. Where chunks begin is
    chance, and what was before a splice is another sound: a phone or two may differ."""
    heard = [p["phone"] for p in mic.events("phone")[first:]]
    match = difflib.SequenceMatcher(None, heard, expected, autojunk=False)
    return sum(b.size for b in match.get_matching_blocks()) / len(expected)


def speech_into_a_card(folder):
    server, pulse = Shoald(folder), Pulse(folder)
    try:
        url = f"ws://{server.address}"
        expected = [p["phone"] for p in phones_of_file(url, SPEECH, "--depth", "6")
                    if p["start"] >= 0.2 and p["end"] <= 1.2]
        mic = Mic(folder, url, "--depth", "6", env=pulse.env)
        mic.wait_for("start")
        pulse.play(SPEECH)
        until(lambda: part_heard(mic, 0, expected) > 0.7, lambda: f"{expected}; {mic.events()}")
        pulse.remove_card()
        mic.wait_for("away")
        time.sleep(0.5)
        assert not mic.events("hole"), mic.events()
        pulse.add_card()
        assert mic.wait_for("hole")["seconds"] > 0.5, mic.events()
        before = len(mic.events("phone"))
        pulse.play(SPEECH)
        until(lambda: part_heard(mic, before, expected) > 0.4, mic.events)
        assert mic.stop() == 0
    finally:
        pulse.stop()
        server.stop()


def by_command(folder):
    server = Shoald(folder, "127.0.0.1:0", "--model", TINY)
    url = f"ws://{server.address}"
    same_as_shoal_file(folder, url)
    if os.path.exists(SPEECH):
        opus_is_nearly_the_same(folder)
    utterances_are_handed_on(folder, url)
    failures_say_what_to_do(folder, url)
    in_a_terminal(folder, url)
    server = server_that_is_killed(folder, server)
    link_that_is_cut(folder, server)
    server.stop()


def main():
    if not os.path.exists(MIC):
        print("shoal-mic was not built (no PortAudio)")
        return 77
    with tempfile.TemporaryDirectory(prefix="shoal-mic.") as folder:
        by_command(folder)
    if not all(map(shutil.which, ("pulseaudio", "pactl", "paplay"))) or not os.path.exists(SPEECH):
        print("no PulseAudio or no recording here: no card was made up")
        return 0
    with tempfile.TemporaryDirectory(prefix="shoal-mic.") as folder:
        speech_into_a_card(folder)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        for one in STARTED:
            if one.poll() is None:
                one.kill()

#!/usr/bin/env python3
"""check_complaints.py - a wrong command line is told what is wrong and what to do instead

Each program, each mistake: the exit code, words that name the cause, words that are the remedy. Most need no
server; those that do share one.
"""

import os
import subprocess
import sys
import tempfile
import wave

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile"))
from daemon import BUILD, Shoald   # noqa: E402

checks = failures = 0
FILE, LOAD, TUNE, MIC = (f"{BUILD}/clients/shoal-{name}" for name in ("file", "load", "tune", "mic"))
DAEMON = BUILD + "/daemon/shoald"
MICROPHONE = ["--input-command", "true"]


def told(code, words, *command, stdin=b""):
    """Once, in a line, with all the words."""
    global checks, failures
    if not os.path.exists(command[0]):
        return      # shoal-mic, without PortAudio
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=30, check=False)
    said = (done.stdout + done.stderr).decode()
    checks += 1
    if done.returncode != code or not all(word in said for word in words) or said.count(words[0]) != 1:
        failures += 1
        print("FAILED:", *command[:8], f"-> {done.returncode}, not {code} with {words}: {said[-600:]}")


def write_wav(path, channels, frame, rate=16000):
    with wave.open(path, "wb") as f:
        f.setparams((channels, 2, rate, 0, "NONE", ""))
        f.writeframes(b"".join(frame(i) for i in range(rate)))
    return path


def noise(i):
    return (i * 7919 * 7919 >> 4) % 20000 - 10000


def sample(x):
    return x.to_bytes(2, "little", signed=True)


def without_server(wav):
    for program, more in ((FILE, [wav, wav]), (TUNE, [wav]), (MIC, MICROPHONE), (LOAD, [])):
        told(2, ["foo: it does not begin with ws://", "use ws://HOST:PORT"], program, "--url", "foo", *more)
        told(2, ["unrecognized option", "--help"], program, "--nonsense", *more)
        told(0, [os.path.basename(program)], program, "-V")
    for program, more in ((FILE, [wav, wav]), (MIC, MICROPHONE)):
        told(2, ["proxy must be HOST:PORT", "not foo"], program, "--proxy", "foo", *more)
    told(2, ["--channel takes left, right, mix, each or a number, not foo"], FILE, "--channel", "foo", wav)
    told(2, ["--channel takes a whole number from 1 to 1024, not 0"], FILE, "--channel", "0", wav)
    told(2, ["--beside and --out-dir: choose one"], FILE, "--beside", "--out-dir", "x", wav)
    told(2, ["--packet-ms takes 1 to 1000", "20:0.5,100:0.5", "not 0"], LOAD, "--packet-ms", "0")
    told(2, ["--packet-ms takes 1 to 1000", "no ranges"], LOAD, "--packet-ms", "20-40")
    told(2, ["--chunk-ms takes multiples of 20", "80:0.5,160:0.5", "not x"], LOAD, "--chunk-ms", "x")
    told(2, ["--depths takes 1 to 255", "3:0.5,12:0.5", "not 0"], LOAD, "--depths", "0")
    told(2, ["lasts 1 s", "2 is the least", "say 2@1+2"], LOAD, "--rush", "2@1+1")
    told(2, ["is not a rush", "100@20+10"], LOAD, "--rush", "2")
    nowhere = os.path.dirname(wav) + "/nowhere/x.json"
    for option in ("--json", "--svg"):
        told(1, [f"{option} {nowhere}: cannot write there", "its folder is not there"], TUNE, option, nowhere, wav)
    for option in ("--json", "--plot"):
        told(1, [f"{option} {nowhere}: cannot write there", "its folder is not there"], LOAD, option, nowhere)
    told(1, ["--json /: cannot write there", "name a file in it"], TUNE, "--json", "/", wav)
    for option in ("--out-dir", "--utterances"):
        for program, more in ((FILE, [wav]), (MIC, MICROPHONE)):
            told(1, [f"{option} {wav}/x: cannot write there", "Not a directory"], program, option, wav + "/x", *more)
            told(1, [f"{option} {wav}: cannot write there", "Not a directory"], program, option, wav, *more)
    blank = os.path.dirname(wav) + "/blank.txt"
    with open(blank, "w", encoding="utf-8") as f:
        f.write("a.wav F R AH N T\n")
    told(1, ["there is no file", "put a TAB"], TUNE, "--list", blank)
    for key, words in (("backlog", 'did you mean "backlog_ms"?'), ("max_session", 'did you mean "max_sessions"?'),
                       ("worker", 'did you mean "workers"?'), ("lisen", 'did you mean "listen"?'),
                       ("foo", "shoald.conf lists all")):
        told(1, [words], DAEMON, "--check", "--set", key + "=1")
    told(0, ["Usage: shoald"], DAEMON, "-h")
    told(0, ["depth 12"], DAEMON, "-V")
    told(1, ["/nonexistent"], DAEMON, "--version", "--model", "/nonexistent")


def with_server(folder, wav, shoald):
    url = f"ws://127.0.0.1:{shoald.port}"
    file = [FILE, "--url", url, "--fast", "--depth", "1"]
    told(3, ["does not answer in TLS", "use ws://"], FILE, "--url", url.replace("ws:", "wss:"), "--reconnect", "0", wav)
    told(1, ["does not answer in TLS", "use ws://"], FILE, "--url", url.replace("ws:", "wss:"), "--output", "kaldi",
         "--priors", "server", "--out-dir", folder, wav)
    told(1, ["TLS with", "wants ws://"], LOAD, "--url", url.replace("ws:", "wss:"), "--sessions", "1", "--ramp", "0",
         "--duration", "1")
    told(1, ["this is a WAV", "ffmpeg -i X -f s16le -ac 1 -ar 8000 -"], MIC, "--url", url, "--depth", "1", "--rate", "8000",
         "--input-command", f"cat {wav}")
    with open(wav, "rb") as f:
        bytes_ = f.read()
    for rate in ("16000", "7000"):      # one is converted, the other is not
        told(1, ["this is a WAV", "leave --raw out"], *file, "--raw", "s16le", "--rate", rate, wav)
        told(1, ["this is a WAV", "leave --raw out"], *file, "--raw", "s16le", "--rate", rate, "-", stdin=bytes_)
    told(0, ["# standing"], "/bin/sh", "-c", 'tail -c +45 "$1" | "$2" --url "$3" --fast --raw s16le - >&2 && '
         'echo "# standing"', "sh", wav, FILE, url)
    both = write_wav(folder + "/inverted.wav", 2, lambda i: sample(noise(i)) + sample(-noise(i)))
    told(0, ["cancel each other out", "--channel left"], *file, both)
    told(2, ["--channel each reads the header first", "--raw"], *file, "--channel", "each", "-", stdin=bytes_)
    fifo = folder + "/fifo"
    os.mkfifo(fifo)
    told(2, ["--channel each reads the header first", "--raw"], *file, "--channel", "each", fifo)


def main():
    with tempfile.TemporaryDirectory() as folder:
        wav = write_wav(folder + "/a.wav", 1, lambda i: sample(noise(i)))
        without_server(wav)
        with Shoald("--log-level", "warning", model=None, capacity=100000, elastic="off", admission="off",
                    late_limit_ms=0) as shoald:
            with_server(folder, wav, shoald)
            shoald.stop()
    print(f"100%: Checks: {checks}, Failures: {failures}, Errors: 0")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

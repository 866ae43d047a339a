#!/usr/bin/env python3
"""check_terminal.py - what people see of the programs in a terminal

--help of each fits a screen of 30 lines and 80 columns; what it leaves out is in --help all, and all of
that in the manual page. shoal-file shows what is not settled in the last line, and rewrites no other.
A progress line never fills a row, at 80 columns or 40, and there is none where nothing can be erased. A
reader that has gone ends a program without a word, a full disk does not.
"""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import wave

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile"))
from daemon import BUILD, SRC, Shoald   # noqa: E402

RECORDING = "/usr/share/sounds/alsa/Front_Center.wav"
PROGRAMS = {"clients/shoal-file": "clients/file/shoal-file.1", "clients/shoal-load": "clients/load/shoal-load.1",
            "clients/shoal-tune": "clients/tune/shoal-tune.1", "clients/shoal-mic": "clients/mic/shoal-mic.1",
            "daemon/shoald": "daemon/shoald.8"}
LINES, COLUMNS = 30, 80
ERASE = "\r\x1b[K"
checks = failures = 0


def check(holds, what):
    global checks, failures
    checks += 1
    if not holds:
        failures += 1
        print("FAILED:", what)


def help_of(program, *more):
    done = subprocess.run([f"{BUILD}/{program}", "--help", *more], capture_output=True, text=True, check=False)
    check(done.returncode == 0 and not done.stderr, f"{program} --help: {done.returncode} {done.stderr}")
    return done.stdout


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def manuals():
    for program, page in PROGRAMS.items():
        if not os.path.exists(f"{BUILD}/{program}"):
            continue
        short, whole = help_of(program), help_of(program, "all")
        lines = short.splitlines()
        check(8 < len(lines) <= LINES, f"{program} --help has {len(lines)} lines")
        for line in lines + whole.splitlines():
            check(len(line) <= COLUMNS, f"{program}, {len(line)} columns: {line}")
        check(options(short) <= options(whole), f"{program}: only in --help: {options(short) - options(whole)}")
        if page:
            with open(f"{SRC}/{page}", encoding="utf-8") as f:
                text = f.read().replace("\\-", "-")
            check(options(whole) <= options(text), f"{page} lacks {sorted(options(whole) - options(text))}")
            synopsis = options(text.split(".SH SYNOPSIS")[1].split(".SH")[0])
            check(not synopsis or options(whole) <= synopsis, f"{page}'s synopsis lacks {options(whole) - synopsis}")


def in_terminal(command, columns=COLUMNS, **environment):
    """Everything that a program writes to a terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        os.environ.update({"TERM": "xterm", **environment})
        os.execv(command[0], command)
    said = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:             # Linux tells the end so
            break
        if not piece:
            break
        said += piece
    check(os.waitpid(pid, 0)[1] == 0, f"{command} failed: {said[-500:]}")
    return said.decode()


def screen(said):
    """The lines that are left standing."""
    lines = [""]
    for piece in re.split(r"(\r\n|\r\x1b\[K|\x1b\[[0-9]*m)", said):
        if piece == "\r\n":
            lines.append("")
        elif piece == ERASE:
            lines[-1] = ""
        elif not piece.startswith("\x1b"):
            lines[-1] += piece
    return lines


def tentative(url):
    command = [BUILD + "/clients/shoal-file", "--url", url, "--depth", "4", RECORDING]
    piped = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    said = in_terminal(command)
    dim = re.findall(r"\x1b\[2m([^\x1b\r\n]*)\x1b\[0m", said)
    check(len(piped) >= 5 and not any("..." in line for line in piped), f"in a pipe: {piped}")
    check(len(dim) >= 3 and all("..." in line for line in dim), f"dim: {dim}")
    check(re.search(r"\x1b\[[0-9]*[A-JL-Z]", said) is None, "it moves beyond the line")
    check(screen(said)[1:] == piped + [""], f"left standing: {screen(said)}")
    shown = {label for line in dim for label in line.split("...")[1].split()}
    labels = [line.split()[2] for line in piped]
    check(sum(label in shown for label in labels) >= len(labels) - 2, f"{labels}, shown before: {shown}")
    plain = in_terminal(command, NO_COLOR="1")
    check("\x1b[2m" not in plain and re.search(r"\.\.\.  ?[a-z]+", plain), f"NO_COLOR: {plain!r}")
    check(screen(plain)[1:] == piped + [""], f"left standing: {screen(plain)}")
    off = in_terminal([*command, "--tentative", "off"])
    check("..." not in off and screen(off)[1:] == piped + [""], f"off: {off!r}")


def talk(path):
    """11 s of it: only then is there a progress line."""
    with wave.open(RECORDING) as source, wave.open(path, "wb") as to:
        to.setparams(source.getparams())
        bytes_ = source.readframes(source.getnframes())
        for _ in range(8):
            to.writeframes(bytes_)
    return path


def programs(url, folder):
    """What each of them does for a second, and what its progress line has."""
    files = [talk(f"{folder}/{'a name that is longer than any line of a terminal should be ' * 2}{i}.wav") for i in range(2)]
    short = shutil.copy(RECORDING, f"{folder}/short.wav")
    file = [BUILD + "/clients/shoal-file", "--url", url, "--fast", "--depth", "12", "--out-dir", folder]
    yield [*file, "--output", "jsonl", "--outputs", "posteriors", files[0]], "x real time"
    yield [*file, "--output", "text", "--jobs", "2", *files], "of 2 files"
    yield [BUILD + "/clients/shoal-load", "--url", url, "--sessions", "1", "--ramp", "0", "--duration", "1"], " sessions"
    yield [BUILD + "/clients/shoal-tune", "--url", url, "--chunks", "160", "--no-live", "--max-latency", "5000",
           short], "of 1 passes"
    if os.path.exists(BUILD + "/clients/shoal-mic"):
        yield [BUILD + "/clients/shoal-mic", "--url", url, "--rate", "48000", "--input-command",
               f"tail -c +45 {short}"], "depth"


def progress(url, folder):
    for command, words in programs(url, folder):
        for columns in (80, 40):
            said = in_terminal(command, columns)
            lines = re.split(r"[\r\n]+|\x1b\[[0-9;]*[A-Za-z]", said)
            live = [line for line in lines if words in line] if "mic" not in command[0] else lines
            if "posteriors" in command: # lines of results are as long as they are
                lines = live
            elif "load" in command[0]: # so is the table
                lines = [line for line in lines if re.match(r" *\d+ s ", line)]
            elif "tune" in command[0]:
                lines = lines[:lines.index("")] if "" in lines else live
            check(live, f"{command[0]} at {columns}: no progress: {said[:300]!r}")
            wide = [line for line in lines if len(line) >= columns and not line.startswith("#")]
            check(not wide, f"{command[0]} at {columns} columns: {wide[:3]}")
        said = in_terminal(command, TERM="dumb")
        check("\x1b" not in said, f"{command[0]} in a dumb terminal: {said[-300:]!r}")


def unread(url, folder):
    for command, _ in programs(url, folder):
        ours, theirs = os.pipe()
        os.close(ours)
        done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
        os.close(theirs)
        check(done.returncode in (141, -13) and not done.stderr, f"nobody reads {command[0]}: {done}")
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        check(done.returncode == 1 and "cannot write the output" in done.stderr, f"{command[0]} to a full disk: {done}")


def main():
    manuals()
    if os.path.exists(RECORDING):
        with Shoald("--log-level", "warning", model=None, capacity=100000, elastic="off", admission="off",
                    late_limit_ms=0) as shoald:
            url = f"ws://127.0.0.1:{shoald.port}"
            tentative(url)
            with tempfile.TemporaryDirectory() as folder:
                progress(url, folder)
                unread(url, folder)
            shoald.stop()
    print(f"100%: Checks: {checks}, Failures: {failures}, Errors: 0")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

"""daemon.py - a shoald of one's own, on a port that the system chose, and what it says of itself"""

import contextlib
import ctypes
import http.client
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("TOP_BUILDDIR", "build"))
SRC = os.path.abspath(os.environ.get("SRCDIR", "."))
SHOALD = os.environ.get("SHOALD", os.path.join(BUILD, "daemon", "shoald"))
SHOAL_FILE = os.environ.get("SHOAL_FILE", os.path.join(BUILD, "clients", "shoal-file"))
TINY = os.path.join(SRC, "tests", "data", "tiny.safetensors")
PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
FULL = os.environ.get("HOSTILE_FULL") == "1"

PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """What a case found; its text says what was wanted."""


def check(condition, *words):
    if not condition:
        raise Failed(" ".join(str(w) for w in words))


def scaled(small, full):
    """How many: in CI, or with --full as the trials had it."""
    return full if FULL else small


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Shoald:
    """A running daemon: tiny model (None: the built-in one), one worker, settings as keywords;
    stopped by close()."""

    def __init__(self, *args, listen="127.0.0.1:0", model=TINY, stderr=None, close_fds=(),
                 env=None, wait=True, directory=None, **settings):
        self.own = directory is None
        self.dir = directory or tempfile.mkdtemp(prefix="shoal-hostile.")
        self.ready_file = os.path.join(self.dir, "ready")
        self.log_path = os.path.join(self.dir, "log")
        command = [SHOALD, "--listen", listen, "--workers", "1", "--ready-file", self.ready_file,
                   *(["--model", model] if model else []), *args]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]

        def prepare():
            die_with_parent()
            for fd in close_fds:
                os.close(fd)

        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log if stderr is None else stderr,
                preexec_fn=prepare, env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        if wait:
            self.wait_ready()

    def wait_ready(self):
        wait_until(lambda: self.process.poll() is not None or self.address(), 20,
                   "shoald did not come up")
        check(self.address(), "shoald did not start:", self.log())
        self.port = int(self.address().rsplit(":", 1)[1])

    def address(self):
        with contextlib.suppress(FileNotFoundError), open(self.ready_file, encoding="ascii") as f:
            return f.read().strip()
        return ""

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def get(self, path, method="GET", timeout=None):
        """(status, headers, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=timeout or 5 * PATIENCE)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def metric(self, name):
        text = self.get("/metrics")[2].decode()
        found = re.search(rf"^shoal_{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.M)
        check(found, "no metric", name)
        return float(found[1])

    def await_clock(self):
        """Until all that has ended is in the metrics: what the workers measured and the load are
        looked at in each tick of the daemon's clock, and the loop's lag is observed once in each."""
        ticks = self.metric("loop_lag_seconds_count")
        wait_until(lambda: self.metric("loop_lag_seconds_count") >= ticks + 2, 5, "no clock ticks")

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def alive(self):
        return self.process.poll() is None

    def stop(self, seconds=5.0):
        """SIGTERM; the exit code, or Failed when it did not obey."""
        self.process.terminate()
        return self.wait_exit(seconds)

    def wait_exit(self, seconds):
        try:
            return self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"shoald did not end within {seconds:g} s") from None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.own:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wait_until(condition, seconds, words):
    """Until it is true; Failed after so many seconds (times TEST_PATIENCE)."""
    end = time.monotonic() + seconds * PATIENCE
    while not condition():
        check(time.monotonic() < end, words, f"within {seconds:g} s")
        time.sleep(0.02)

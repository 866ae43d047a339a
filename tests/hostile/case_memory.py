"""One allocation after the other finds no memory, in the daemon and in shoal-file

Built from the same objects as the programs (starved.c). Whatever fails: the daemon answers with
an error or goes on, the next session is served, no slot stays; a client ends by itself and says
why. Nothing crashes; under ASan nothing leaks (the exit code says so)."""

import contextlib
import json
import mmap
import os
import random
import struct
import subprocess

import daemon
from daemon import BUILD, PATIENCE, Failed, Shoald, check, die_with_parent, scaled, wait_until
from ws import BINARY, CLOSE, TEXT, Socket, honest_session, noise

STARVED_SHOALD = os.path.join(BUILD, "tests", "hostile", "starved_shoald")
STARVED_FILE = os.path.join(BUILD, "tests", "hostile", "starved_shoal_file")
VOICE = "/usr/share/sounds/alsa/Front_Center.wav"
PATH = "/v1/stream?depth=1-3&rate=8000&output=phones,posteriors@2,embedding,activity&encoding=json"


class Starve:
    """The two numbers of starved.c"""

    def __init__(self, directory):
        self.path = os.path.join(directory, "starve")
        with open(self.path, "w+b") as f:
            f.write(bytes(16))
            f.flush()
            self.map = mmap.mmap(f.fileno(), 16)

    def fail(self, n):
        """The n-th allocation from now on; 0: none"""
        self.map[:] = struct.pack("<qq", 0, n)

    def count(self):
        return struct.unpack("<q", self.map[:8])[0]


def sampled(total, most):
    """All of 1..total if they are few, else the first ones and some of the rest, always the same"""
    if total <= most:
        return range(1, total + 1)
    rest = random.Random(total).sample(range(most // 2 + 1, total + 1), most - most // 2)
    return [*range(1, most // 2 + 1), *sorted(rest)]


def session():
    """Every kind of message once; how it ended: "done", "error" or "refused" """
    def run(port):
        try:
            ws = Socket(port, PATH)
        except Failed:
            return "refused"
        with ws, contextlib.suppress(ConnectionError):
            ws.send(BINARY, noise(0.5))
            for text in ('{"type":"set","depth":3}', '{"type":"ping","id":"1"}',
                         '{"type":"set","depth":[1,3],"output":["phones@1","posteriors"]}',
                         '{"type":"flush","id":"2"}'):
                ws.send(TEXT, text.encode())
                ws.send(BINARY, noise(0.5))
            ws.send(TEXT, b'{"type":"end"}')
            while True:
                got = ws.receive()
                if got is None or got[0] == CLOSE:
                    return "closed"
                message = json.loads(got[1]) if got[0] == TEXT else {"type": "binary"}
                if message["type"] == "done":
                    return "done"
                if message["type"] == "error" and message["fatal"]:
                    return "error"
        return "closed"
    return run


def case_no_memory_in_sessions():
    """Sessions on a daemon whose n-th allocation fails"""
    with starved() as (shoald, starve):
        run = session()
        starve.fail(0)
        check(run(shoald.port) == "done", "a session with memory did not end well")
        total, ends = starve.count(), {}
        check(total >= 10, "only", total, "allocations in a session: are they counted?")
        for n in sampled(total, scaled(80, 400)):
            starve.fail(n)
            end = run(shoald.port)
            ends[end] = ends.get(end, 0) + 1
            check(shoald.alive(), f"allocation {n} of {total} ended shoald:", shoald.log()[-2000:])
            check(end != "closed", f"allocation {n} of {total}: ended without a word")
            starve.fail(0)
            wait_until(lambda: shoald.metric("sessions") == 0, 5,
                       f"allocation {n} of {total}: the slot stays")
        honest_session(shoald.port, 0.3)
        check(len(ends) > 1, "nothing failed:", ends)
        check(shoald.stop() == 0, "exit code not 0:", shoald.log()[-2000:])


def case_no_memory_for_pages():
    """/metrics, /v1/model and their like"""
    with starved() as (shoald, starve):
        for path in ("/metrics", "/v1/model", "/v1/depths", "/healthz", "/readyz", "/v1/stream"):
            starve.fail(0)
            wanted = shoald.get(path)[0]
            for n in sampled(starve.count(), 12):
                starve.fail(n)
                with contextlib.suppress(ConnectionError, daemon.http.client.HTTPException):
                    status = shoald.get(path)[0]
                    check(status in (wanted, 500, 503), f"{path}, allocation {n}: {status}")
                check(shoald.alive(), f"{path}, allocation {n} ended shoald:", shoald.log()[-2000:])
        starve.fail(0)
        honest_session(shoald.port, 0.3)
        check(shoald.stop() == 0, "exit code not 0:", shoald.log()[-2000:])


@contextlib.contextmanager
def starved():
    """(a daemon, what makes it fail)"""
    directory = daemon.tempfile.mkdtemp(prefix="shoal-hostile.")
    starve, whole = Starve(directory), daemon.SHOALD
    daemon.SHOALD = STARVED_SHOALD
    try:
        with Shoald(directory=directory, env={"STARVE_FILE": starve.path}) as shoald:
            yield shoald, starve
    finally:
        daemon.SHOALD = whole
        daemon.shutil.rmtree(directory, ignore_errors=True)


def case_no_memory_at_the_start():
    """Starts, or says why not: never a crash, never a hang"""
    directory = daemon.tempfile.mkdtemp(prefix="shoal-hostile.")
    starve, whole = Starve(directory), daemon.SHOALD
    daemon.SHOALD = STARVED_SHOALD
    with contextlib.ExitStack() as stack:
        stack.callback(daemon.shutil.rmtree, directory, True)
        stack.callback(setattr, daemon, "SHOALD", whole)
        starve.fail(0)
        with Shoald(directory=directory, env={"STARVE_FILE": starve.path}) as shoald:
            total = starve.count()
            check(shoald.stop() == 0, "exit code with memory")
        for n in sampled(total, scaled(40, 1000)):
            os.truncate(os.path.join(directory, "log"), 0)
            starve.fail(n)
            with Shoald(directory=directory, env={"STARVE_FILE": starve.path}, wait=False) as shoald:
                wait_until(lambda: shoald.address() or not shoald.alive(), 10,
                           f"allocation {n} of {total}: neither starts nor ends")
                code = shoald.stop() if shoald.alive() else shoald.process.returncode
                check(code in (0, 1), f"allocation {n} of {total}: exit code {code}",
                      shoald.log()[-2000:])
                check(code == 0 or shoald.log(), f"allocation {n} of {total}: no word")


def case_no_memory_in_shoal_file():
    """Ends by itself, says why, and says so in its exit code"""
    with Shoald() as shoald:
        starve = Starve(shoald.dir)
        command = [STARVED_FILE, "--url", f"ws://127.0.0.1:{shoald.port}", "--fast", "--outputs",
                   "phones,posteriors,activity", "--output", "jsonl", VOICE]

        def run(n):
            starve.fail(n)
            return subprocess.run(command, env={**os.environ, "STARVE_FILE": starve.path},
                                  capture_output=True, timeout=20 * PATIENCE, check=False,
                                  preexec_fn=die_with_parent)

        whole = run(0)
        check(whole.returncode == 0, "exit code with memory", whole.returncode, whole.stderr)
        total, failures = starve.count(), 0
        for n in sampled(total, scaled(60, 500)):
            done = run(n)
            what = f"allocation {n} of {total}:"
            check(done.returncode in (0, 1), what, "exit code", done.returncode, done.stderr)
            check(done.returncode == 0 or done.stderr, what, "exit code 1 without a word")
            if done.returncode == 0:
                lines, wanted = done.stdout.count(b"\n"), whole.stdout.count(b"\n")
                check(lines == wanted, what, lines, "lines, not", wanted, "and exit code 0")
            failures += done.returncode
        check(failures > 5, "only", failures, "of", total, "allocations made it fail")

"""What the machine does to shoald: descriptors and disk that run out, a thread that hangs, clients
that are stopped, files that change (operations.md, "Faults")"""

import contextlib
import ctypes
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

from case_process import VOICE, shoal_file
from daemon import PATIENCE, SHOALD, SRC, TINY, Shoald, check, die_with_parent, wait_until
from ws import BINARY, TEXT, Socket, connect, honest_session, noise, read_head

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


# ---- descriptors ------------------------------------------------------------------------------

def case_no_descriptors():
    """Who is in is served, who comes waits, one line in the log, no busy loop; then all get in"""
    with Shoald() as shoald, Socket(shoald.port) as honest:
        honest.message("ready")
        first = lowest_free(shoald)
        for times in (1, 2):
            wait_until(lambda: lowest_free(shoald) == first, 5, "those before are not closed")
            limits = resource.prlimit(shoald.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(shoald.pid, resource.RLIMIT_NOFILE, (lowest_free(shoald), limits[1]))
            waiting = [connect(shoald.port) for _ in range(3)]
            for s in waiting:
                s.sendall(HEALTH)
            wait_until(lambda: shoald.log().count("accept_failed") == times, 5, "no accept_failed")
            before = shoald.cpu_seconds()
            honest.send(BINARY, noise(0.3))
            honest.send(TEXT, b'{"type":"flush"}')
            honest.message("flushed")
            time.sleep(0.8)     # three tries more
            used = shoald.cpu_seconds() - before
            check(used < 0.4, f"{used:.2f} s of CPU in 0.8 s of waiting")
            check(shoald.log().count("accept_failed") == times, "told more than once")
            resource.prlimit(shoald.pid, resource.RLIMIT_NOFILE, limits)
            for s in waiting:
                check(read_head(s)[0] == 200, "who waited is not served")
                s.close()
            wait_until(lambda: shoald.log().count("accept_works") == times, 5, "no accept_works")


def lowest_free(shoald):
    taken = {int(fd) for fd in os.listdir(f"/proc/{shoald.pid}/fd")}
    return next(fd for fd in range(len(taken) + 1) if fd not in taken)


# ---- disk -------------------------------------------------------------------------------------

def case_log_on_a_full_disk():
    """Lines are lost and counted; nothing else is"""
    with open("/dev/full", "wb") as full, Shoald("--log-level", "debug", stderr=full) as shoald:
        honest_session(shoald.port, 0.3)
        lost = shoald.metric("log_lost_total")
        check(lost >= 3, lost, "lines counted as lost")
        check(shoald.stop() == 0, "exit code not 0")


def no_room():
    die_with_parent()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def case_ready_file_on_a_full_disk():
    """No start without it, one line that says why, and no half a file"""
    with Shoald() as other:     # for its folder
        path = os.path.join(other.dir, "another")
        done = subprocess.run([SHOALD, "--listen", "127.0.0.1:0", "--workers", "1", "--model", TINY,
                               "--ready-file", path], stderr=subprocess.PIPE, text=True,
                              timeout=20 * PATIENCE, preexec_fn=no_room, check=False)
        check(done.returncode == 1, "exit code", done.returncode)
        check(f"cannot write --ready-file {path}: " in done.stderr, "it says:", done.stderr[-300:])
        left = [name for name in os.listdir(other.dir) if name.startswith("another")]
        check(not left, "left behind:", left)


# ---- a worker that hangs ------------------------------------------------------------------------

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207


@contextlib.contextmanager
def held(tid):
    """One thread stands still; the others of its process go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def ptrace(what):
        check(libc.ptrace(what, tid, None, None) == 0, "ptrace:", os.strerror(ctypes.get_errno()))

    ptrace(PTRACE_SEIZE)
    ptrace(PTRACE_INTERRUPT)
    os.waitpid(tid, 0x40000000)     # __WALL
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH)


def thread_of(shoald, name):
    for tid in os.listdir(f"/proc/{shoald.pid}/task"):
        with open(f"/proc/{shoald.pid}/task/{tid}/comm", encoding="ascii") as f:
            if f.read().strip() == name:
                return int(tid)
    return check(False, "no thread", name)


def status_of(shoald, path):
    return shoald.get(path)[0]


def words_of(notices):
    """What systemd was told since the last look."""
    words = []
    with contextlib.suppress(BlockingIOError):
        while True:
            words.append(notices.recv(4096).decode())
    return "\n".join(words)


def case_a_worker_hangs():
    """Health says so, the watchdog starves, the other worker's sessions go on; and all is well after"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        name = f"\0shoal-hostile.{os.getpid()}"
        notices.bind(name)
        notices.setblocking(False)
        env = {"NOTIFY_SOCKET": "@" + name[1:], "WATCHDOG_USEC": "1000000"}
        with Shoald("--workers", "2", "--set", "stall_timeout_s=1", env=env) as shoald:
            systemd = "READY=1" in words_of(notices)    # else it was built without libsystemd
            hang_one_of_two(shoald, notices, systemd)


def case_a_manager_that_does_not_read():
    """Nobody waits for who started it; the state it was to know comes when it reads again"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        name = f"\0shoal-hostile.deaf.{os.getpid()}"
        notices.bind(name)
        notices.setblocking(False)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"no room is left", name)
        env = {"NOTIFY_SOCKET": "@" + name[1:], "WATCHDOG_USEC": "500000"}
        with Shoald(env=env) as shoald:
            honest_session(shoald.port, 1.5)
            check("READY=1" not in words_of(notices), "there was room")
            with open(SHOALD, "rb") as program:
                tells = b"NOTIFY_SOCKET" in program.read()      # else it was built without libsystemd
            if tells:
                wait_until(lambda: "READY=1" in words_of(notices), 5, "no READY=1")
            code = shoald.stop(5)
            check(code == 0, "exit code", code)


def started(shoald):
    """A session, and its worker."""
    ws = Socket(shoald.port)
    name = ws.message("ready")["session"]
    line = f"session_open session={name} .* worker=(\\d)"
    wait_until(lambda: re.search(line, shoald.log()), 5, "it is not in the log")
    return ws, int(re.search(line, shoald.log())[1])


def spoken(shoald):
    """Like started, with some sound that is answered."""
    ws, worker = started(shoald)
    ws.send(BINARY, noise(0.3))
    ws.send(TEXT, b'{"type":"flush"}')
    ws.message("flushed")
    return ws, worker


def hang_one_of_two(shoald, notices, systemd):
    stuck, on = spoken(shoald)      # its worker has something to do: the next goes to the other
    other, on_other = started(shoald)
    words_of(notices)               # its queue is short, and who writes waits for room
    check(on != on_other, "both are on worker", on)
    with held(thread_of(shoald, f"worker-{on}")):
        stuck.send(BINARY, noise(0.3))
        stuck.send(TEXT, b'{"type":"end"}')
        wait_until(lambda: status_of(shoald, "/healthz") == 503, 5, "/healthz is not 503")
        check(status_of(shoald, "/readyz") == 503, "/readyz is not 503")
        words_of(notices)
        come = [spoken(shoald) for _ in range(3)]       # all of them to the other one
        other.send(BINARY, noise(0.3))
        other.send(TEXT, b'{"type":"end"}')
        check(other.message("done")["frames"] == 15, "the other worker's session")
        time.sleep(0.8)
        check("WATCHDOG=1" not in words_of(notices), "the watchdog is fed")
    check(stuck.message("done")["frames"] == 30, "the session of the one that hung")
    wait_until(lambda: status_of(shoald, "/healthz") == 200, 5, "/healthz is not 200 again")
    if systemd:
        wait_until(lambda: "WATCHDOG=1" in words_of(notices), 5, "the watchdog is not fed again")
    for s in (stuck, other, *(ws for ws, _ in come)):
        s.close()


# ---- clients ------------------------------------------------------------------------------------

def case_client_is_stopped():
    """SIGSTOP, SIGCONT: nothing is lost, and meanwhile others are served"""
    arguments = ("--outputs", "posteriors", "--output", "jsonl", VOICE)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Shoald() as shoald:
        whole = shoal_file(shoald, "--fast", *arguments, **pipes).communicate(timeout=20 * PATIENCE)
        frames = shoald.metric("frames_total")
        client = shoal_file(shoald, *arguments, **pipes)
        wait_until(lambda: shoald.metric("frames_total") > frames, 10, "it does not stream")
        client.send_signal(signal.SIGSTOP)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            honest_session(shoald.port, 0.2)
        wait_until(lambda: shoald.metric("sessions") == 1, 5, "not one session but the honest ones' and its own")
        client.send_signal(signal.SIGCONT)
        out, words = client.communicate(timeout=20 * PATIENCE)
        check(client.returncode == 0, "exit code", client.returncode, words)
        lines, wanted = out.count(b"\n"), whole[0].count(b"\n")
        check(lines == wanted > 1, lines, "lines, not", wanted)


def case_client_stays_stopped():
    """idle_timeout_s ends its session: the slot comes back"""
    with Shoald(idle_timeout_s=1, slow_reader_timeout_s=1, ping_interval_s=1) as shoald:
        client = shoal_file(shoald, VOICE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_until(lambda: shoald.metric("frames_total") > 0, 10, "it does not stream")
        client.send_signal(signal.SIGSTOP)
        wait_until(lambda: shoald.metric("sessions") == 0, 10, "its slot stays")
        client.kill()
        client.wait()
        honest_session(shoald.port, 0.3)


# ---- files ----------------------------------------------------------------------------------------

def case_model_changes_on_disk():
    """Written over, cut or gone while it is served: those who run notice nothing; a start refuses it"""
    with Shoald() as other:     # for its folder
        path = os.path.join(other.dir, "model")
        shutil.copyfile(TINY, path)
        with Shoald(model=path) as shoald, Socket(shoald.port) as before:
            before.message("ready")
            size = os.path.getsize(path)
            with open(path, "r+b") as f:
                f.seek(size // 2)
                f.write(bytes(size // 4))
            os.truncate(path, size - 1)
            honest_session(shoald.port, 0.3)
            done = subprocess.run([SHOALD, "--check", "--model", path], capture_output=True, text=True,
                                  timeout=20 * PATIENCE, preexec_fn=die_with_parent, check=False)
            check(done.returncode == 1 and path in done.stdout + done.stderr, "--check says:",
                  done.returncode, done.stdout + done.stderr)
            os.remove(path)
            shoald.process.send_signal(signal.SIGHUP)
            wait_until(lambda: " reloaded" in shoald.log(), 5, "no reload")
            before.send(BINARY, noise(0.3))
            before.send(TEXT, b'{"type":"end"}')
            check(before.message("done")["frames"] == 15, "the session of before")
            honest_session(shoald.port, 0.3)


def case_killed_and_started_again():
    """kill -9 leaves a unix socket and a ready file: the next start takes their places"""
    with Shoald() as other:     # for its folder
        path, ready = os.path.join(other.dir, "socket"), os.path.join(other.dir, "unix-ready")
        command = [SHOALD, "--listen", "unix:" + path, "--model", TINY, "--workers", "1",
                   "--ready-file", ready]
        for _ in range(2):
            with contextlib.suppress(FileNotFoundError):
                os.rename(ready, ready + ".old")        # to see the new one
            with subprocess.Popen(command, stderr=subprocess.DEVNULL,
                                  preexec_fn=die_with_parent) as process:
                wait_until(lambda p=process: os.path.exists(ready) or p.poll() is not None, 20,
                           "no ready file")
                check(process.poll() is None, "it does not start: exit code", process.returncode)
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(5 * PATIENCE)
                    s.connect(path)
                    s.sendall(HEALTH)
                    check(read_head(s)[0] == 200, "it does not serve")
                process.kill()
        check(os.path.exists(path), "the socket is gone: this case shows nothing")


# ---- clocks -----------------------------------------------------------------------------------------

# Where the clock that people set is read: what it gives is shown, and nothing waits for it.
WALL_CLOCK = {"daemon/base/log.c": "lines of the log", "daemon/base/usage.c": "/metrics: the start",
              "clients/mic/mic_utter.c": "names of files", "clients/mic/mic_input.c": "names of files",
              "clients/mic/mic_show.c": "times beside the phones",
              "clients/tune/shoal-tune.c": "how long is left",
              "daemon/net/confine.c": "the decoder's codecs may (in a table of system calls)"}
READS = re.compile(r"CLOCK_REALTIME|gettimeofday|\btime\(NULL\)|pthread_timedjoin_np|timespec_get")


def case_wall_clock():
    """No deadline depends on it: nobody else reads it"""
    found = set()
    for part in ("engine", "protocol", "daemon", "clients"):
        for folder, _, names in os.walk(os.path.join(SRC, part)):
            for name in (n for n in names if n.endswith((".c", ".h"))):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as f:
                    if READS.search(f.read()):
                        found.add(os.path.relpath(path, SRC))
    check(found == set(WALL_CLOCK), "read in", *sorted(found ^ set(WALL_CLOCK)))

"""What the settings name, at a start and at a reload: files that make one wait, addresses that exclude
each other, more sockets and connections than there is room for"""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile

from daemon import PATIENCE, SHOALD, TINY, Shoald, check, die_with_parent, wait_until
from ws import Socket, read_head

STOP_S = 2          # SIGTERM is obeyed within


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def reload(shoald, word):
    """SIGHUP, until the log has that word once more."""
    before = shoald.log().count(word)
    shoald.process.send_signal(signal.SIGHUP)
    wait_until(lambda: shoald.log().count(word) > before, 5, f"no {word} in the log")


def make_fifo(path):
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
    os.mkfifo(path)


def case_settings_that_are_pipes():
    """A file that has become a pipe without a writer: the reload says so, the daemon serves and stops"""
    with tempfile.TemporaryDirectory() as directory:
        config, tokens, model, card = (os.path.join(directory, name)
                                       for name in ("conf", "tokens", "m.safetensors", "m.json"))
        shutil.copy(TINY, model)
        write(config, f"tokens = {tokens}\n")
        write(tokens, "anna " + "0" * 64 + "\n")
        for path, word in ((config, "reload_failed"), (tokens, "reload_failed"), (card, "models_reloaded")):
            with Shoald("--config", config, model=model) as shoald:
                before = None
                if os.path.exists(path):
                    with open(path, encoding="ascii") as f:
                        before = f.read()
                make_fifo(path)
                reload(shoald, word)
                check(word != "reload_failed" or f"{path}: it is a pipe" in shoald.log(), "no word of", path)
                check(shoald.get("/healthz")[0] == 200, "it does not answer with a pipe as", path)
                check(shoald.stop(STOP_S) == 0, "exit code not 0 with a pipe as", path)
                os.remove(path)
                if before is not None:
                    write(path, before)
        for name, words in (("config", ["--config", config]), ("tokens", ["--set", "tokens=" + tokens])):
            make_fifo(config if name == "config" else tokens)
            code, said = run(*words, "--listen", "127.0.0.1:0", "--check")
            check(code == 1 and "it is a pipe" in said, "a pipe as", name, "says:", said)


def run(*words):
    done = subprocess.run([SHOALD, "--model", TINY, "--workers", "1", *words], capture_output=True, text=True,
                          timeout=20 * PATIENCE, check=False, preexec_fn=die_with_parent)
    return done.returncode, done.stdout + done.stderr


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def case_addresses_that_exclude_each_other():
    """--check and the start say the same of two `listen` that cannot both be had, and blame nobody else"""
    with tempfile.TemporaryDirectory() as directory:
        port, path = free_port(), "unix:" + os.path.join(directory, "socket")
        for one, other in ((f"127.0.0.1:{port}",) * 2, (f"*:{port}", f"127.0.0.1:{port}"),
                           (f"127.0.0.1:{port}", f"localhost:{port}"), (path, path)):
            words = ["--insecure-listen", "--listen", one, "--listen", other]
            for more in ([], ["--check"]):
                code, said = run(*words, *more)
                check(code == 1 and said.count("\n") == 1 and f"{one} and {other}" in said, words, "says", said)
        code, said = run("--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--listen", f"127.0.0.1:{port}",
                         "--listen", f"127.0.0.2:{port}", "--check")
        check(code == 0, "addresses that go together:", said)


def case_more_connections_by_reload():
    """A reload raises the limit of descriptors as a start does, or is refused with its words"""
    def limits(pid):
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    with tempfile.TemporaryDirectory() as directory:
        config = os.path.join(directory, "conf")
        few = "max_sessions = 10\nmax_http_connections = 8\nmax_uploads = 1\n"
        write(config, few)
        with Shoald("--config", config) as shoald:
            resource.prlimit(shoald.pid, resource.RLIMIT_NOFILE, (128, 4096))
            write(config, few.replace("= 8", "= 1000"))
            reload(shoald, "reloaded needs")
            check(limits(shoald.pid) >= 2000, "descriptors for 1000 connections:", limits(shoald.pid))
            write(config, few.replace("= 8", "= 9000") + "idle_timeout_s = 7\n")
            reload(shoald, "reload_failed")
            check("max_http_connections" in shoald.log().rsplit("reload_failed", 1)[1], "no cause in the log")
            with Socket(shoald.port) as ws:
                limit = ws.message("ready")["limits"]["idle_timeout_s"]
                check(limit == 60, "half of a refused reload counts:", limit)


def inherited(count, directory):
    """shoald with so many sockets as systemd would pass them; and their ports"""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]

    def prepare():
        die_with_parent()
        high = [os.dup2(s.fileno(), 300 + i) for i, s in enumerate(sockets)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, inheritable=True)
        os.closerange(3 + count, 400)
    log = os.path.join(directory, f"log{count}")
    with open(log, "wb") as f:
        process = subprocess.Popen(
            ["sh", "-c", "LISTEN_PID=$$ exec \"$@\"", "sh", SHOALD, "--model", TINY, "--workers", "1"],
            stderr=f, close_fds=False, env={**os.environ, "LISTEN_FDS": str(count)}, preexec_fn=prepare)
    for s in sockets:
        s.close()
    return process, ports, log


def case_sockets_of_systemd():
    """All that are passed are served, or it does not start: nobody waits for ever on one that is not"""
    with tempfile.TemporaryDirectory() as directory:
        process, ports, _ = inherited(20, directory)
        try:
            for port in ports:
                with socket.create_connection(("127.0.0.1", port), 10 * PATIENCE) as s:
                    s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    check(read_head(s)[0] == 200, "no answer at one of 20 sockets")
        finally:
            process.kill()
            process.wait()
        process, _, log = inherited(40, directory)
        try:
            code = process.wait(10 * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "none: it runs"
        with open(log, encoding="utf-8") as f:
            said = f.read()
        check(code == 1 and "passes 40 sockets" in said, "exit code", code, said)


def case_a_second_signal_leaves_nothing():
    """Who is told twice to go goes at once, but takes the files along that say it is there"""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        with Shoald("--listen", "unix:" + path) as shoald, Socket(shoald.port) as ws:
            ws.message("ready")
            check(os.path.exists(path) and shoald.address(), "it has not made its files")
            shoald.process.terminate()
            wait_until(lambda: "draining" in shoald.log(), 5, "it does not drain")
            shoald.process.terminate()
            check(shoald.wait_exit(5) == 1, "exit code", shoald.process.returncode)
            check(not os.path.exists(path), "the socket's file stays")
            check(not shoald.address(), "the ready file stays")

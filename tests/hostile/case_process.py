"""Start, stop, and what lies around the process: descriptors, files, pipes, the environment"""

import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time

from daemon import (PATIENCE, SHOAL_FILE, SHOALD, TINY, Shoald, check, die_with_parent, scaled,
                    wait_until)
from ws import BINARY, TEXT, Socket, connect, honest_session, noise, read_head

STOP_S = 2          # SIGTERM is obeyed within, whatever happens
VOICE = "/usr/share/sounds/alsa/Front_Center.wav"


def case_stderr_undrained():
    """Nobody reads the log: it is lost and counted, never waited for"""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with Shoald("--log-level", "debug", stderr=writer) as shoald:
        os.close(writer)
        for _ in range(scaled(60, 400)):
            with Socket(shoald.port) as ws:
                ws.message("ready")
        honest_session(shoald.port, 0.5)
        lost = shoald.metric("log_lost_total")
        check(lost > 10, "only", lost, "lines counted as lost")
        start = time.monotonic()
        code = shoald.stop(STOP_S)
        check(code == 0, "exit code", code, "after", time.monotonic() - start, "s")
    os.close(reader)


def case_output_that_cannot_be_written():
    """What is asked for and cannot be printed is an error, a token above all, which is nowhere else"""
    def no_output():
        die_with_parent()
        os.close(1)
    asked = (["--check", "--listen", "127.0.0.1:0"], ["--version"], ["--help"], ["--explain", TINY], ["--new-token", "anna"])
    with open("/dev/full", "wb") as full:
        for words in asked:
            for how in ({"stdout": full, "preexec_fn": die_with_parent}, {"preexec_fn": no_output}):
                done = subprocess.run([SHOALD, "--model", TINY, *words], stderr=subprocess.PIPE, timeout=20 * PATIENCE,
                                      check=False, **how)
                check(done.returncode != 0 and b"written" in done.stderr, words, "ended with", done)


def reload_with(shoald, path, text):
    reloads = shoald.log().count("reloaded ")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    os.kill(shoald.pid, signal.SIGHUP)
    wait_until(lambda: shoald.log().count("reloaded ") > reloads, 5, "it does not reload")


def case_a_reload_keeps_its_promises():
    """What ready has told holds until the session ends, whatever is said to who comes next"""
    audio = noise(1)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "shoald.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write("max_message_bytes = 65536\npark_ms = 20000\n")
        with Shoald("--config", path) as shoald, Socket(shoald.port) as ws:
            check(ws.message("ready")["limits"]["max_message_bytes"] == 65536, "not 65536")
            reload_with(shoald, path, "max_message_bytes = 4096\npark_ms = 1\n")
            with Socket(shoald.port) as other:
                check(other.message("ready")["limits"]["max_message_bytes"] == 4096, "not 4096")
                other.send(BINARY, audio)
                check(other.refusal()[0]["code"] == "message_too_large", "a new one is not held to it")
            ws.send(BINARY, audio)
            ws.message("phones")
            with Socket(shoald.port) as other:
                other.message("ready")
                other.reset()
            ws.reset()
            wait_until(lambda: shoald.metric("parks_lost_total") == 1, 5, "a new one is not held to it")
            shoald.await_clock()
            check(shoald.metric("parked_sessions") == 1, "who was promised 20 s got less")


def case_stderr_gone():
    """The reader of the log has gone: EPIPE harms nothing"""
    reader, writer = os.pipe()
    with Shoald("--log-level", "debug", stderr=writer) as shoald:
        os.close(writer)
        os.close(reader)
        for _ in range(5):
            honest_session(shoald.port, 0.3)
        check(shoald.stop(STOP_S) == 0, "exit code not 0")


def case_closed_descriptors():
    """0, 1, 2 closed at the start, each alone and all: serves, stops, writes into no socket"""
    for closed in ((0,), (1,), (2,), (0, 1, 2)):
        with Shoald("--log-level", "debug", close_fds=closed) as shoald:
            honest_session(shoald.port, 0.3)
            for fd in (0, 1, 2):
                target = os.readlink(f"/proc/{shoald.pid}/fd/{fd}")
                check(target.startswith("/"), f"with {closed} closed descriptor {fd} is {target}")
            code = shoald.stop()
            check(code == 0, f"exit code {code} with {closed} closed")


def case_model_is_a_fifo():
    """A model that never comes: an error or SIGTERM ends the start"""
    directory = tempfile.mkdtemp(prefix="shoal-hostile.")
    fifo = os.path.join(directory, "model")
    os.mkfifo(fifo)
    with Shoald(model=fifo, wait=False, directory=directory) as shoald:
        time.sleep(0.5)
        if shoald.alive():
            shoald.stop(STOP_S)
        else:
            check(shoald.process.returncode == 1, "exit code", shoald.process.returncode)
            check(fifo in shoald.log(), "no word about the file:", shoald.log())
    os.remove(fifo)


def case_terminated_at_any_time():
    """SIGTERM in every phase of the start: obeyed within its limit"""
    for milliseconds in (0, 2, 5, 10, 20, 30, 50, 80, 120, 200):
        with Shoald(wait=False) as shoald:
            time.sleep(milliseconds / 1000)
            code = shoald.stop(STOP_S)
            check(code in (0, -signal.SIGTERM), f"exit code {code} at {milliseconds} ms")


def case_live_sessions_are_listed():
    """/v1/sessions and SIGUSR1, for who sits at the machine; in the midst of a session"""
    with Shoald() as shoald, Socket(shoald.port) as ws:
        name = ws.message("ready")["session"]
        status, _, body = shoald.get("/v1/sessions")
        listed = [s["session"] for s in json.loads(body)["sessions"]]
        check(status == 200 and listed == [name], f"{status}: {listed}, not {name}")
        shoald.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: f"session session={name} " in shoald.log(), 5, "no line of the session")
        ws.send(TEXT, b'{"type":"ping"}')
        ws.message("pong")
        with connect(shoald.port, source="127.0.0.9") as other: # not 127.0.0.1: from elsewhere
            other.sendall(b"GET /v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n")
            check(read_head(other)[0] == 404, "the list of sessions goes to others")


def case_second_instance():
    """A second one that cannot bind says so and harms nothing of the first"""
    with Shoald() as first:
        with Shoald(listen=f"127.0.0.1:{first.port}", wait=False, directory=first.dir) as second:
            check(second.wait_exit(10) not in (0, None), "a second one on the same port runs")
        check(first.address().endswith(f":{first.port}"), "the ready file is", first.address())
        honest_session(first.port, 0.3)
        check(first.stop() == 0, "exit code of the first")


def case_second_instance_unix():
    """The same on a unix socket: the running one keeps its path"""
    directory = tempfile.mkdtemp(prefix="shoal-hostile.")
    path = os.path.join(directory, "socket")
    command = [SHOALD, "--listen", "unix:" + path, "--model", TINY, "--workers", "1"]
    with open(os.path.join(directory, "log"), "w+", encoding="utf-8") as log:
        first = subprocess.Popen(command, stderr=log, preexec_fn=die_with_parent)
        try:
            end = time.monotonic() + 10 * PATIENCE
            while not os.path.exists(path) and time.monotonic() < end:
                time.sleep(0.02)
            second = subprocess.run(command, stderr=log, timeout=10 * PATIENCE, check=False)
            check(second.returncode != 0, "a second one on the same path runs")
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5 * PATIENCE)
                s.connect(path)
                s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                check(read_head(s)[0] == 200, "the first one no longer answers")
        finally:
            first.terminate()
            first.wait(10 * PATIENCE)
    check(first.returncode == 0, "exit code", first.returncode)


def few_descriptors():
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))


def run_check(*arguments, limited=False):
    done = subprocess.run([SHOALD, "--check", *arguments], capture_output=True, text=True,
                          timeout=20 * PATIENCE, check=False,
                          preexec_fn=few_descriptors if limited else die_with_parent)
    return done.returncode, done.stdout + done.stderr


BAD_LINES = (b"listen = 127.0.0.1:0 # ours", b"model = \"/nonexistent\"", b"model = /nonexistent",
             b"workers = 1 # one", b"worker = 1", b"workers", b"precision = fp17",
             b"model = " + b"x" * 9000)
BAD_ARGUMENTS = (("--listen", "not an address"), ("--listen", "0.0.0.0:0"), ("--listen", "127.0.0.1:99999"),
                 ("--listen", "no.such.host.invalid:80"), ("--listen", "unix:/nonexistent/socket"),
                 ("--model", "/nonexistent"), ("--model", __file__), ("--set", "workers=1 # one"),
                 ("--config", "/nonexistent"), ("--config", "/"), ("--set", "max_sessions=100000"),
                 ("--ready-file", "/nonexistent/ready"), ("--ready-file", "/tmp"), ("--ready-file", "/tmp/"),
                 ("--ready-file", ""), ("--ready-file", "/tmp/" + "r" * 255))


def case_check_means_it():
    """--check refuses what a start would refuse, and takes nothing of a running one"""
    with tempfile.NamedTemporaryFile() as config:
        for line in BAD_LINES:
            config.seek(0)
            config.truncate()
            config.write(b"# a comment\nlog_level = info\n" + line + b"\n")
            config.flush()
            code, words = run_check("--config", config.name, limited=True)
            check(code == 1 and words.count("\n") == 1, "--check of", line[:40], "says:", words)
            model = line.startswith(b"model = /")
            check(model or f"{config.name}, line 3: " in words, "no line is named:", words)
    for arguments in BAD_ARGUMENTS:
        code, words = run_check(*arguments, limited=True)
        check(code == 1 and words.count("\n") == 1, "--check of", *arguments, "says:", words)
    with Shoald() as shoald:
        code, words = run_check("--listen", f"127.0.0.1:{shoald.port}", "--model", TINY)
        check(code == 0, "--check of a running one's settings:", words)
        honest_session(shoald.port, 0.3)


def case_every_family():
    """`*` is IPv4 and IPv6"""
    try:
        probe = socket.socket(socket.AF_INET6)
        probe.bind(("::1", 0))
        probe.close()
    except OSError:
        return                  # no IPv6 here
    with Shoald("--insecure-listen", listen="*:0") as shoald:
        for host in ("127.0.0.1", "::1"):
            with connect(shoald.port, host) as s:
                s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                check(read_head(s)[0] == 200, "no answer on", host)


def shoal_file(shoald, *arguments, **keywords):
    return subprocess.Popen([SHOAL_FILE, "--url", f"ws://127.0.0.1:{shoald.port}", *arguments],
                            preexec_fn=die_with_parent, **keywords)


def case_proxy_of_the_environment():
    """http_proxy is for others"""
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")
    env = {**os.environ, **{name: "http://127.0.0.1:9" for name in names}}
    with Shoald() as shoald:
        client = shoal_file(shoald, "--fast", VOICE, env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
        words = client.communicate(timeout=20 * PATIENCE)[1]
        check(client.returncode == 0, "exit code", client.returncode, words)


def case_small_messages():
    """Audio is cut to what the server takes"""
    with Shoald(max_message_bytes=1024) as shoald:
        client = shoal_file(shoald, "--fast", "--outputs", "posteriors", "--output", "jsonl", VOICE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        words = client.communicate(timeout=20 * PATIENCE)[1]
        check(client.returncode == 0, "exit code", client.returncode, words)


def case_client_output_waits():
    """shoal-file | (sleep; wc -l): the session stays and every line comes"""
    with Shoald(slow_reader_timeout_s=1, ping_interval_s=1) as shoald:
        arguments = ("--fast", "--outputs", "posteriors", "--output", "jsonl", VOICE, VOICE)
        client = shoal_file(shoald, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        whole = client.communicate(timeout=20 * PATIENCE)[0]
        check(client.returncode == 0, "exit code", client.returncode)
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        client = shoal_file(shoald, *arguments, stdout=writer, stderr=subprocess.DEVNULL)
        os.close(writer)
        time.sleep(scaled(5, 25))
        with os.fdopen(reader, "rb") as f:
            text = f.read()
        check(client.wait(10 * PATIENCE) == 0, "exit code", client.returncode)
        lines, wanted = text.count(b"\n"), whole.count(b"\n")
        check(lines == wanted and wanted > 1, lines, "lines, not", wanted)


def case_client_interrupted():
    """Ctrl-C in shoal-file while its output waits, and while its source says nothing"""
    with Shoald() as shoald:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        client = shoal_file(shoald, "--outputs", "posteriors", "--output", "jsonl", VOICE,
                            stdout=writer, stderr=subprocess.DEVNULL)
        time.sleep(1)
        interrupt(client)
        os.close(writer)
        os.close(reader)
        with tempfile.TemporaryDirectory() as directory:
            fifo = os.path.join(directory, "fifo.wav")
            os.mkfifo(fifo)
            client = shoal_file(shoald, fifo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            source = os.open(fifo, os.O_RDWR)
            with open(VOICE, "rb") as f:
                os.write(source, f.read(20000))
            time.sleep(1)
            interrupt(client)
            os.close(source)


def interrupt(client):
    """Sampled: 200 ms are promised; on a machine that others use ten times that tell a hang."""
    check(client.poll() is None, "it ended by itself:", client.returncode)
    client.send_signal(signal.SIGINT)
    try:
        client.wait(2 * PATIENCE)
    except subprocess.TimeoutExpired:
        client.kill()
        check(False, "shoal-file ignores Ctrl-C")

"""Connections that ask for nothing, and requests whose answers nobody takes"""

import contextlib
import threading
import time

from daemon import PATIENCE, Shoald, check, scaled
from ws import BINARY, TEXT, Socket, connect, honest_session, read_head, request

SILENT = 128        # as many as max_http_connections


def serve_meanwhile(shoald, sessions=20):
    """So many honest sessions, and a health check with each"""
    for _ in range(sessions):
        honest_session(shoald.port, 0.3)
        status = shoald.get("/healthz")[0]
        check(status == 200, "/healthz says", status, "meanwhile")


def case_silent_connections():
    """128 connections that say nothing shut nobody out"""
    with Shoald(handshake_timeout_s=30) as shoald:
        silent = [connect(shoald.port) for _ in range(SILENT)]
        serve_meanwhile(shoald)
        for s in silent:
            s.close()


def case_connect_method():
    """CONNECT is a request like others: answered or ended, and shuts nobody out"""
    with Shoald(handshake_timeout_s=2) as shoald:
        held = []
        for _ in range(SILENT):
            s = connect(shoald.port)
            s.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
            held.append(s)
        serve_meanwhile(shoald)
        end = time.monotonic() + 10 * PATIENCE
        for s in held:              # each ends by itself: no state is without a deadline
            check(ends(s, max(0.1, end - time.monotonic())), "CONNECT is still there after 10 s")


def case_half_requests():
    """Half a request line, half a header, a body that does not come: ended by their deadline"""
    texts = (b"GE", b"GET /healthz HTTP/1.1\r\nHo", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
             b"POST /v1/stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
    with Shoald(handshake_timeout_s=2) as shoald:
        held = [connect(shoald.port) for _ in texts]
        for s, text in zip(held, texts):
            s.sendall(text)
        for s, text in zip(held, texts):
            check(ends(s, 6), "still there after 6 s:", text)


def case_trickle():
    """A byte now and then does not put the deadline off; the answer says what was missing"""
    with Shoald(handshake_timeout_s=2) as shoald, connect(shoald.port) as s:
        text, begin = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 1000, time.monotonic()
        s.settimeout(0.2)
        answer = b""
        for i in range(len(text)):
            with contextlib.suppress(TimeoutError):
                s.sendall(text[i:i + 1])
                answer += s.recv(4096)
                break
            check(time.monotonic() - begin < 6 * PATIENCE, "still there after 6 s")
        check(answer.startswith(b"HTTP/1.1 408 ") and b"bad_request" in answer, "got", answer[:200])


def case_answers_that_nobody_takes():
    """A connection whose answers are not read ends, and so does one that reads them by the byte"""
    with Shoald(slow_reader_timeout_s=2) as shoald:
        held = [connect(shoald.port, receive_buffer=4096) for _ in range(2)]
        for s in held:
            fill(s, b"GET /v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50, 0.5)
        before = shoald.metric("connections")
        check(before >= 3, "they are not there:", before)
        end = time.monotonic() + 20 * PATIENCE
        while shoald.metric("connections") > 1:
            check(time.monotonic() < end, "unread answers are still held")
            with contextlib.suppress(OSError):
                held[1].recv(1)
            time.sleep(0.1)


def case_refusals_have_a_number():
    """Clients that are told after the upgrade and do not read: so many, then HTTP; others are served"""
    with Shoald(max_sessions=1, max_http_connections=8) as shoald, Socket(shoald.port) as honest:
        honest.message("ready")
        held, statuses = [], []
        for _ in range(40):
            held.append(connect(shoald.port))
            held[-1].sendall(request())
            statuses.append(read_head(held[-1])[0])
        check(set(statuses) == {101, 503} and statuses.count(101) >= 8, statuses)
        check(shoald.get("/healthz")[0] == 200, "/healthz is not served")
        check(shoald.metric("connections") <= 8 + 8 + 2, shoald.metric("connections"), "connections")
        honest.send(BINARY, b"\0" * 3200)
        honest.send(TEXT, b'{"type":"end"}')
        honest.message("done")


def case_renewing_connections():
    """Silent connections that come again as soon as they are ended"""
    stop = threading.Event()
    opened = [0]

    def renew(port, count):
        held = []
        while not stop.is_set():
            held = [s for s in held if still_open(s)]
            while len(held) < count and not stop.is_set():
                try:
                    held.append(connect(port))
                    opened[0] += 1
                except OSError:
                    time.sleep(0.01)
            time.sleep(0.05)
        for s in held:
            s.close()

    with Shoald(handshake_timeout_s=2) as shoald:
        count = scaled(300, 2000)
        attackers = [threading.Thread(target=renew, args=(shoald.port, count // 4))
                     for _ in range(4)]
        for thread in attackers:
            thread.start()
        try:
            time.sleep(1)
            serve_meanwhile(shoald)
        finally:
            stop.set()
            for thread in attackers:
                thread.join()
        check(opened[0] > SILENT, "only", opened[0], "connections were tried")


def ends(s, seconds):
    """Reads what comes; does the server end it?"""
    s.settimeout(seconds * PATIENCE)
    try:
        while s.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    s.close()
    return True


def still_open(s):
    s.setblocking(False)
    try:
        return s.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        s.close()
        return False


def fill(s, text, seconds):
    """Sends again and again for so long, reading nothing."""
    s.setblocking(False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            s.send(text)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return


def case_pipelined_requests():
    """Pipelined GETs whose answers are not read: the loop does a bounded work, others are served"""
    with Shoald(handshake_timeout_s=30) as shoald:
        s = connect(shoald.port, receive_buffer=4096)
        get = b"GET /v1/model HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50
        fill(s, get, 1)
        before = shoald.cpu_seconds()
        fill(s, get, 2)
        used = (shoald.cpu_seconds() - before) / 2
        check(used < 0.25, f"the loop is held at {100 * used:.0f} % of a CPU")
        serve_meanwhile(shoald)
        s.close()


def case_pipelined_requests_read():
    """Who reads the answers gets all of them"""
    with Shoald() as shoald, connect(shoald.port) as s:
        count, text = 40, b""
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * (count - 1) +
                  b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            text += piece
        got = text.count(b"HTTP/1.1 200")
        check(got == count or got >= 1 and b"onnection: close" in text, got, "of", count, "answers")


def case_pipelined_requests_without_end():
    """Who reads the answers and asks on and on is answered so often a second, and no more"""
    with Shoald() as shoald, connect(shoald.port) as s:
        get, text, begin = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"", time.monotonic()
        s.sendall(get * 1000)
        s.settimeout(0.1)
        while time.monotonic() < begin + 2:
            with contextlib.suppress(TimeoutError):
                text += s.recv(1 << 16)
        seconds, count = time.monotonic() - begin, text.count(b"HTTP/1.1 200")
        check(10 <= count <= 80 * (seconds + 1), count, "answers in", round(seconds, 1), "s")
        serve_meanwhile(shoald, 5)


def case_sessions_behind_other_addresses():
    """The limit by address, if there is one, counts by address"""
    with Shoald(handshake_timeout_s=30) as shoald:
        silent = [connect(shoald.port, source="127.0.0.2") for _ in range(SILENT)]
        serve_meanwhile(shoald, 5)
        for s in silent:
            s.close()


def case_upgrades_that_stall():
    """Upgraded and then silent: start_timeout_s ends them, nobody else waits"""
    with Shoald(start_timeout_s=2, max_sessions=50) as shoald:
        held = []
        for _ in range(20):
            s = connect(shoald.port)
            s.sendall(request("/v1/stream"))
            held.append(s)
        serve_meanwhile(shoald, 5)
        for s in held:
            check(ends(s, 10), "still there after 10 s")
        check(shoald.metric("sessions") == 0, "slots are still taken")

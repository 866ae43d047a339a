"""ws.py - WebSocket by hand, so that it can be done wrongly"""

import json
import os
import random
import re
import socket
import struct
import time

from daemon import PATIENCE, Failed, check

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
RATE = 16000
FRAME_SAMPLES = 320


def connect(port, host="127.0.0.1", receive_buffer=None, source=None):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source:
        s.bind((source, 0))
    s.settimeout(10 * PATIENCE)
    s.connect((host, port))
    return s


def request(path="/v1/stream?depth=3", method="GET", version="HTTP/1.1", headers=None, **changes):
    """A correct upgrade, but for the headers that are changed (None: left out)."""
    lines = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
             "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13", **(headers or {}), **changes}
    head = [f"{method} {path} {version}"]
    head += [f"{name}: {value}" for name, value in lines.items() if value is not None]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")


def read_head(s):
    """(status, headers in lower case, bytes beyond); status 0: the end came without an answer"""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = s.recv(4096)
        except ConnectionError:
            piece = b""
        if not piece:
            return 0, {}, data
        data += piece
    head, rest = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    found = re.match(r"HTTP/1\.[01] (\d{3})", lines[0])
    check(found, "not HTTP:", lines[0])
    headers = dict(re.match(r"([^:]*): *(.*)", line).groups() for line in lines[1:])
    return int(found[1]), {k.lower(): v for k, v in headers.items()}, rest


def answer(port, raw):
    """What a raw request gets: (status, headers, body)"""
    with connect(port) as s:
        s.sendall(raw)
        status, headers, body = read_head(s)
        while len(body) < int(headers.get("content-length", 0)):
            piece = s.recv(4096)
            if not piece:
                break
            body += piece
        return status, headers, body


class Socket:
    """An upgraded connection."""

    def __init__(
        self, port, path="/v1/stream?depth=3", receive_buffer=None, host="127.0.0.1", headers=None, source=None
    ):
        self.s = connect(port, host, receive_buffer, source)
        self.s.sendall(request(path, headers=headers))
        status, self.headers, self.data = read_head(self.s)
        if status != 101:
            self.s.close()
            raise Failed(f"upgrade got {status or 'no answer'}, not 101")

    def send(self, op, payload=b"", fin=True):
        self.s.sendall(frame(op, payload, fin))

    def take(self, n):
        while len(self.data) < n:
            piece = self.s.recv(65536)
            if not piece:
                return None
            self.data += piece
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def receive(self):
        """(op, payload) of the next frame; None at the end of the connection"""
        head = self.take(2)
        if head is None:
            return None
        size = head[1] & 127
        if size >= 126:
            size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
        return head[0] & 15, self.take(size) if size else b""

    def message(self, kind, limit=10000):
        """The next JSON message of that type; Failed when an error or the end comes first."""
        for _ in range(limit):
            got = self.receive()
            check(got is not None, "the connection ended before", kind)
            if got[0] == TEXT:
                message = json.loads(got[1])
                if message["type"] == kind:
                    return message
                check(message["type"] != "error", kind, "wanted, but:", message)
            check(got[0] != CLOSE, "closed before", kind, got[1])
        raise Failed(f"no {kind}")

    def refusal(self):
        """(error message, close code) of a session that is refused after the upgrade"""
        got = self.receive()
        check(got and got[0] == TEXT, "no error message but", got)
        error = json.loads(got[1])
        check(error["type"] == "error", "not an error:", error)
        got = self.receive()
        check(got and got[0] == CLOSE and len(got[1]) >= 2, "no Close with a code but", got)
        return error, struct.unpack(">H", got[1][:2])[0]

    def frames(self):
        """Each (op, payload) to the end of the connection, however that comes"""
        while True:
            try:
                got = self.receive()
            except ConnectionError:
                return
            if got is None:
                return
            yield got

    def close(self):
        self.s.close()

    def reset(self):
        """RST, as a cable that is pulled and a box in between would send it."""
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def frame(op, payload=b"", fin=True):
    """A frame as clients send it, with a mask."""
    mask = os.urandom(4)
    size = len(payload)
    head = bytes([op | (128 if fin else 0)])
    if size < 126:
        head += bytes([128 | size])
    elif size < 65536:
        head += bytes([128 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([128 | 127]) + size.to_bytes(8, "big")
    stream = mask * (size // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(stream[:size], "big")
    return head + mask + masked.to_bytes(size, "big")


def noise(seconds, seed=1):
    rng = random.Random(seed)
    count = int(seconds * RATE)
    return struct.pack(f"<{count}h", *(rng.randrange(-3000, 3000) for _ in range(count)))


def patiently(session, *arguments, tries=4):
    """Again, if it is refused for a moment: a machine that stood still made the server late."""
    for left in reversed(range(tries)):
        try:
            return session(*arguments)
        except Failed as failed:
            if "'overloaded'" not in str(failed) or left == 0:
                raise
            time.sleep(0.5)


def honest_session(port, seconds=1.0, path="/v1/stream?depth=3&output=posteriors", host="127.0.0.1"):
    """Audio up, all its frames down; Failed when anything is missing."""
    patiently(one_honest_session, port, seconds, path, host)


def one_honest_session(port, seconds, path, host):
    samples = int(seconds * RATE)
    with Socket(port, path, host=host) as ws:
        ws.send(BINARY, noise(seconds))
        ws.send(TEXT, b'{"type":"end"}')
        done = ws.message("done")
        wanted = -(-samples // FRAME_SAMPLES)
        check(done["frames"] == wanted, done["frames"], "frames, not", wanted)

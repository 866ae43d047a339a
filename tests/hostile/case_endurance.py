"""Many of everything: links that break, messages that mean nothing, an end in the middle of speech"""

import contextlib
import json
import random
import select
import signal
import struct
import threading
import time

from daemon import PATIENCE, Failed, Shoald, check, scaled, wait_until
from ws import BINARY, CLOSE, FRAME_SAMPLES, PING, PONG, RATE, TEXT, Socket, frame, honest_session, noise

SEED = 16
RSS_GROWTH = 1.05
PACKET_S = 0.06


# ---- what strangers do ----------------------------------------------------------------------

WORDS = [b'{"type":"set","depth":2}', b'{"type":"set","depth":"1-3","chunk_ms":80}', b'{"type":"flush"}',
         b'{"type":"ping","id":"x"}', b'{"type":"skip","samples":1600}', b'{"type":"end"}',
         b'{"type":"start","rate":16000,"format":"s16le","depth":3}', b"", b"[]", b"{}", b"null", b"\xff\xfe"]


def mutated(rng, text):
    """Some of its bytes changed, left out or doubled."""
    text = bytearray(text)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(text) + 1)
        how = rng.randrange(3)
        text[at:at + (how != 0)] = bytes([rng.randrange(256)]) * (1 if how else rng.randrange(4))
    return bytes(text)


def strange_message(rng, wild):
    """(op, payload): mostly text that is or nearly is a message, some audio, some of WebSocket's own"""
    kind, wrong = rng.random(), rng.random() < wild
    if kind < 0.70:
        text = rng.choice(WORDS if wrong else WORDS[:5])
        return TEXT, mutated(rng, text) if wrong else text
    if kind < 0.90:
        return BINARY, rng.randbytes(rng.choice((0, 1, 3, 1279) if wrong else (2, 640)))
    if kind < 0.97 or not wrong:
        return rng.choice((PING, PONG)), rng.randbytes(rng.randrange(126))
    return rng.choice((CLOSE, 3, 7, 11, 15)), rng.randbytes(rng.randrange(126))


def strange_session(port, rng, most):
    """Messages until the server has had enough of it; how many there were."""
    sent, wild = 0, rng.choice((0.002, 0.05, 1))
    path = rng.choice(("/v1/stream", "/v1/stream?depth=3", "/v1/stream?depth=1-3&output=phones,mel"))
    with contextlib.suppress(OSError), Socket(port, path) as ws:
        ws.s.settimeout(0.5 * PATIENCE)
        while sent < most:
            pack = [frame(*strange_message(rng, wild)) for _ in range(16)]
            ws.s.sendall(b"".join(pack))
            sent += len(pack)
            while select.select([ws.s], [], [], 0)[0]:
                if not ws.s.recv(1 << 16):
                    return sent
    return sent


def gone_abruptly(port, rng, audio):
    """A session with some audio whose client resets the connection."""
    with Socket(port) as ws:
        ws.s.sendall(audio[:rng.randrange(len(audio))])
        ws.reset()


def await_rest(shoald, words):
    """Until no session is left, nor one that waits for its client."""
    wait_until(lambda: shoald.metric("sessions") == 0, 20, "sessions stay after " + words)
    wait_until(lambda: shoald.metric("parked_sessions") == 0, 20, "parked sessions stay after " + words)


def rss_at_rest(shoald, words):
    await_rest(shoald, words)
    return shoald.rss_bytes()


def served_as_before(shoald, rss, words):
    rss_at_rest(shoald, words)
    honest_session(shoald.port)
    with contextlib.suppress(Failed):       # pages go back after a calm second, which a busy machine has late
        wait_until(lambda: shoald.rss_bytes() <= rss * RSS_GROWTH, 10, words)
    now = shoald.rss_bytes()
    check(now <= rss * RSS_GROWTH, f"{now / rss - 1:+.1%} of memory after {words}")


def case_abrupt_ends():
    """Connections that are reset in mid-frame leave nothing behind"""
    rng, audio = random.Random(SEED), frame(BINARY, noise(0.1))
    with Shoald(park_ms=1000) as shoald:
        for _ in range(scaled(300, 500)):
            gone_abruptly(shoald.port, rng, audio)
        rss = rss_at_rest(shoald, "the first resets")
        for _ in range(scaled(1000, 10000)):
            gone_abruptly(shoald.port, rng, audio)
        served_as_before(shoald, rss, "resets")


def faults(shoald):
    with open(f"/proc/{shoald.pid}/stat", encoding="ascii") as f:
        return int(f.read().rsplit(")", 1)[1].split()[7])


def case_sessions_that_follow_each_other():
    """They have the memory of those before them: given back and taken anew it would hold up all threads each time"""
    rng, audio, many = random.Random(SEED), frame(BINARY, noise(0.1)), 200
    with Shoald(park_ms=0, model=None) as shoald:
        def one_after_the_other():
            for _ in range(many):
                gone_abruptly(shoald.port, rng, audio)
                await_rest(shoald, "one more")      # on a busy machine it may have to be waited for
        one_after_the_other()
        before = faults(shoald)
        one_after_the_other()
        each = (faults(shoald) - before) / many
        check(each < 2, each, "page faults a session")


def case_strange_messages():
    """Messages that are nearly right, of every kind, in any order: the server lives and serves"""
    rng, total = random.Random(SEED), scaled(20000, 1000000)
    with Shoald(park_ms=1000) as shoald:
        for _ in range(200):
            strange_session(shoald.port, rng, 200)
        check(shoald.alive(), "shoald is gone:", shoald.log()[-300:])
        rss, sent = rss_at_rest(shoald, "the first messages"), 0
        while sent < total:
            sent += strange_session(shoald.port, rng, 200)
            check(shoald.alive(), "shoald is gone:", shoald.log()[-300:])
        served_as_before(shoald, rss, "strange messages")


# ---- an end in the middle of speech -----------------------------------------------------------

class Speaker(threading.Thread):
    """Live sound until its server says goodbye, or, if it is to pause, until it is told to."""

    def __init__(self, port, pauses):
        super().__init__(daemon=True)
        self.pauses, self.quiet = pauses, threading.Event()
        self.sent = self.received = self.frames = 0
        self.error = self.code = None
        self.ws = Socket(port, "/v1/stream?depth=3&output=posteriors")
        self.ws.message("ready")

    def take(self):
        """False: it was the last."""
        got = self.ws.receive()
        if got is None:
            return False
        if got[0] == BINARY:
            rows = struct.unpack_from("<H", got[1], 48)[0]
            self.received = struct.unpack_from("<Q", got[1], 32)[0]
            self.frames += rows
        elif got[0] == TEXT and b'"error"' in got[1]:
            self.error = json.loads(got[1])["code"]
        elif got[0] == CLOSE:
            self.code = struct.unpack(">H", got[1][:2])[0]
        return got[0] != CLOSE

    def run(self):
        packet, due = frame(BINARY, noise(PACKET_S)), time.monotonic()
        while not self.error:
            wait = due - time.monotonic()
            if self.ws.data or select.select([self.ws.s], [], [], max(0, wait))[0]:
                self.take()
            elif not (self.pauses and self.quiet.is_set()):
                self.ws.s.sendall(packet)
                self.sent += int(PACKET_S * RATE)
                due += PACKET_S
            else:
                due = time.monotonic() + PACKET_S
        while self.take():
            pass

    def judge(self):
        check((self.error, self.code) == ("draining", 1012), "ended with", self.error, self.code)
        held = self.sent if self.pauses else self.received
        check(self.frames == -(-held // FRAME_SAMPLES), self.frames, "frames of", held, "samples that the server had")


def case_drain_in_mid_speech():
    """SIGTERM with 100 live sessions: whatever was received is answered"""
    with Shoald(max_sessions=200, drain_timeout_s=30) as shoald:
        speakers = [Speaker(shoald.port, pauses=n % 2 == 0) for n in range(100)]
        for s in speakers:
            s.start()
        time.sleep(1.5)
        for s in speakers:
            s.quiet.set()
        time.sleep(0.5)     # what they had sent has arrived
        shoald.process.send_signal(signal.SIGTERM)
        for s in speakers:
            s.join(20 * PATIENCE)
            check(not s.is_alive(), "a session does not end")
            s.judge()
        check(shoald.wait_exit(10) == 0, "exit code")

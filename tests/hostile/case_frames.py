"""Frames that are not right, on connections that are"""

import contextlib
import json
import threading
import time

from daemon import Shoald, check, wait_until
from ws import BINARY, CLOSE, PING, PONG, TEXT, Socket, frame, honest_session, noise

ROUNDS = 15


def rest(ws):
    """All frames to the end of the connection"""
    frames = []
    for got in ws.frames():
        frames.append(got)
        if got[0] == CLOSE:         # as RFC 6455 has it, so that the server need not wait
            with contextlib.suppress(OSError):
                ws.send(CLOSE, got[1][:2])
    return frames


def ends_with_one_close(frames, codes, what):
    ops = [op for op, _ in frames]
    check(CLOSE in ops, f"{what}: no Close but {ops[-3:]}")
    check(ops.index(CLOSE) == len(ops) - 1, f"{what}: after Close came", ops[ops.index(CLOSE) + 1:])
    code = int.from_bytes(frames[-1][1][:2], "big")
    check(code in codes, f"{what}: closed with {code}, not {codes}")


def case_invalid_utf8():
    """Invalid UTF-8 with results under way: Close arrives, and nothing after it"""
    with Shoald() as shoald:
        audio = noise(1)
        for n in range(ROUNDS):
            with Socket(shoald.port, "/v1/stream?depth=1&chunk_ms=20&output=posteriors") as ws:
                ws.send(BINARY, audio)
                for _ in range(n):
                    ws.receive()
                ws.send(TEXT, b'{"type":"\xff\xfe"}')
                ws.send(BINARY, audio)
                ends_with_one_close(rest(ws), (1007,), "invalid UTF-8")
        wait_until(lambda: shoald.metric("sessions") == 0, 5, "slots stay")
        honest_session(shoald.port, 0.3)


def case_broken_frames():
    """Reserved opcodes and bits, long control frames, continuations of nothing"""
    with Shoald() as shoald:
        good = bytearray(frame(TEXT, b"{}"))
        bits = bytes([good[0] | 0x40]) + bytes(good[1:])
        broken = {"reserved opcode": frame(3, b"x"), "reserved bit": bits,
                  "long ping": frame(PING, b"x" * 126), "fragmented ping": frame(PING, b"x", False),
                  "continuation of nothing": frame(0, b"x")}
        for what, raw in list(broken.items()) * 2:
            with Socket(shoald.port, "/v1/stream?depth=1&chunk_ms=20&output=posteriors") as ws:
                ws.send(BINARY, noise(0.5))
                ws.receive()        # results are under way
                ws.s.sendall(raw)
                frames = rest(ws)
                if frames and CLOSE in [op for op, _ in frames]:
                    ends_with_one_close(frames, (1002, 1003, 1007, 1009), what)
        wait_until(lambda: shoald.metric("sessions") == 0, 5, "slots stay")
        honest_session(shoald.port, 0.3)


def case_close_is_answered():
    """A Close of the client's is answered, with results under way too"""
    with Shoald() as shoald:
        for payload in (b"", (1000).to_bytes(2, "big"), (1001).to_bytes(2, "big") + b"bye"):
            with Socket(shoald.port, "/v1/stream?depth=1&chunk_ms=20&output=posteriors") as ws:
                ws.send(BINARY, noise(1))
                ws.receive()
                ws.send(CLOSE, payload)
                frames = rest(ws)
                ops = [op for op, _ in frames]
                check(ops and ops[-1] == CLOSE and ops.count(CLOSE) == 1, "Close was answered by",
                      ops[-3:])


def case_stray_pings():
    """Pings and pongs in any number: answered or left alone, and the session is unharmed"""
    with Shoald() as shoald, Socket(shoald.port, "/v1/stream?depth=3&output=posteriors") as ws:
        for n in range(20):
            ws.send(PING, b"%d" % n)
            ws.send(PONG, b"unasked")
            ws.send(BINARY, noise(0.1, n))
        ws.send(PING, b"last")
        ws.send(TEXT, b'{"type":"end"}')
        pongs, done = [], None
        for op, payload in rest(ws):
            if op == PONG:
                pongs.append(payload)
            elif op == TEXT and json.loads(payload)["type"] == "done":
                done = json.loads(payload)
        check(done and done["frames"] == 100, "done is", done)
        check(pongs and all(p == b"last" or p.isdigit() for p in pongs), "pongs:", pongs)


def case_pings_keep_a_session():
    """WebSocket pings and {"type":"ping"} keep an idle session (protocol.md)"""
    with Shoald(idle_timeout_s=2) as shoald:
        for ping in ((PING, b"x"), (TEXT, b'{"type":"ping"}')):
            with Socket(shoald.port) as ws:
                ws.message("ready")
                end = time.monotonic() + 4
                while time.monotonic() < end:
                    ws.send(*ping)
                    time.sleep(0.3)
                ws.send(TEXT, b'{"type":"end"}')
                ws.message("done")
        with Socket(shoald.port) as ws:     # and without them it goes
            ws.message("ready")
            error, code = ws.refusal()
            check(error["code"] == "idle_timeout" and code == 1008, error, code)


def case_reset_under_way():
    """Connections that are reset with results under way"""
    with Shoald() as shoald:
        for _ in range(50):
            with Socket(shoald.port, "/v1/stream?depth=1&chunk_ms=20&output=posteriors") as ws:
                ws.send(BINARY, noise(0.3))
                ws.reset()
        wait_until(lambda: shoald.metric("sessions") == 0, 5, "slots stay")
        honest_session(shoald.port, 0.3)


def case_empty_messages_in_fragments():
    """An empty binary message is the end, in one frame as in several; an empty fragment is none"""
    with Shoald() as shoald:
        for cut in ([True], [False, True], [False, False, True]):
            with Socket(shoald.port) as ws:
                ws.send(BINARY, noise(0.3))
                for i, fin in enumerate(cut):
                    ws.send(0 if i else BINARY, b"", fin)
                done = ws.message("done")
                check(done["received"] == 4800, "in", len(cut), "frames:", done)
        with Socket(shoald.port) as ws:
            for op, payload, fin in ((BINARY, b"", False), (0, noise(0.1), True), (BINARY, noise(0.1), False), (0, b"", True)):
                ws.send(op, payload, fin)
            ws.send(TEXT, b'{"type":"ping"}')
            ws.message("pong")
            ws.send(BINARY, b"")
            check(ws.message("done")["received"] == 3200, "an empty fragment ended the session")


REQUESTS = ((b'{"type":"set","depth":2}', "changed"), (b'{"type":"start"}', "error"),
            (b'{"type":"set","output":["phones@1","mel"]}', "changed"), (b'{"type":"flush"}', "flushed"))


def case_many_requests_at_once():
    """As many short requests as anybody likes to send: the socket waits, and each has its answer"""
    count = 6000
    with Shoald() as shoald:
        for text, wanted in REQUESTS:
            with Socket(shoald.port) as ws:
                ws.message("ready")
                sender = threading.Thread(target=ws.s.sendall, args=(frame(TEXT, text) * count,), daemon=True)
                sender.start()
                for n in range(count):
                    op, payload = ws.receive()
                    answer = json.loads(payload) if op == TEXT else {"type": op}
                    check(answer["type"] == wanted and not answer.get("fatal"), "answer", n, "to", text, "is", answer)
                sender.join()

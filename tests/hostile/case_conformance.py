"""RFC 6455 by the case list of the Autobahn test suite (groups 1 to 7 and 9; shoald offers no compression)

Autobahn's server echoes; shoald answers {"type":"ping","id":X} with a pong of that id, and tells in
`done` how many samples came. So a text message is a ping, a binary one audio, and "echoed" is
"answered". Numbers in comments are Autobahn's."""

import json
import time

from daemon import Shoald, check, scaled, wait_until
from ws import BINARY, CLOSE, PING, PONG, TEXT, Socket, frame, honest_session, noise

PATH = "/v1/stream?depth=1&output=phones"
TEXT_LIMIT, BINARY_LIMIT = 16384, 1 << 20


def ping_message(n=0, size=0):
    text = json.dumps({"type": "ping", "id": str(n)})
    return text.encode() + b" " * (size - len(text))


def answered(ws, n=0):
    pong = ws.message("pong")
    check(pong["id"] == str(n), "pong of", pong["id"], "not", n)


def chopped(ws, raw, size):
    for at in range(0, len(raw), size):
        ws.s.sendall(raw[at:at + size])


def texts(ws):
    while (got := ws.receive()) is not None and got[0] == TEXT:
        yield json.loads(got[1])


def close_code(ws):
    """The code of the Close that comes; 0: it has none; None: the end comes without one"""
    payload = next((payload for op, payload in ws.frames() if op == CLOSE), None)
    return None if payload is None else int.from_bytes(payload[:2], "big")


def closes_with(shoald, codes, what, *raws):
    """After a ready session these bytes end in a Close of one of these codes (None: without one)."""
    with Socket(shoald.port, PATH) as ws:
        ws.message("ready")
        for raw in raws:
            ws.s.sendall(raw)
        got = close_code(ws)
        check(got in codes, f"{what}: closed with {got}, not {codes}")


def case_autobahn_1_framing():
    """Messages of every length class, whole and in pieces of 997 bytes"""
    with Shoald() as shoald, Socket(shoald.port, PATH) as ws:
        ws.message("ready")
        for n, size in enumerate((0, 125, 126, 127, 128, 4096, TEXT_LIMIT)):         # 1.1.1 to 1.1.8
            chopped(ws, frame(TEXT, ping_message(n, size)), 997 if n % 2 else 1 << 20)
            answered(ws, n)
        total = 0
        for size in (2, 124, 126, 128, 130, 65534, 65536, BINARY_LIMIT):             # 1.2.1 to 1.2.8
            chopped(ws, frame(BINARY, bytes(size)), 997)
            total += size // 2
        ws.send(TEXT, b'{"type":"end"}')
        check(ws.message("done")["received"] == total, "not all samples came")


def case_autobahn_2_pings():
    """A ping is answered with its payload; pongs that nobody asked for are left alone"""
    with Shoald() as shoald:
        with Socket(shoald.port, PATH) as ws:
            ws.message("ready")
            for payload in (b"", b"Hello", b"\0\xff\xfe\xfd\xfc\xfb\0\xff", b"\xfe" * 125):   # 2.1 to 2.4
                ws.send(PING, payload)
                check(ws.receive() == (PONG, payload), "no pong of", payload)
            chopped(ws, frame(PING, b"\xfe" * 125), 1)                               # 2.6
            check(ws.receive() == (PONG, b"\xfe" * 125), "no pong in pieces")
            for payload in (b"", b"unsolicited pong payload"):                       # 2.7 to 2.9
                ws.send(PONG, payload)
            ws.send(PING, b"ping payload")
            check(ws.receive() == (PONG, b"ping payload"), "pong after stray pongs")
            for n in range(10):                                                      # 2.10, 2.11
                chopped(ws, frame(PING, b"payload-%d" % n), 1 << n % 4)
            ws.send(TEXT, ping_message("sync"))
            pongs = []
            while (got := ws.receive()) and got[0] == PONG:
                pongs.append(got[1])
            # lws answers the first of several and drops others while that one waits (operations.md)
            check(pongs and pongs == sorted(set(pongs)) and pongs[0] == b"payload-0", "pongs", pongs)
        closes_with(shoald, (1002, None), "a ping of 126 bytes", frame(PING, b"\xfe" * 126))  # 2.5


def first_byte(raw, op_and_bits):
    return bytes([op_and_bits]) + raw[1:]


def case_autobahn_3_4_reserved():
    """Reserved bits and opcodes end the connection, whatever came before and follows"""
    with Shoald() as shoald:
        good = frame(TEXT, ping_message(7))
        for bits in range(1, 8):                                                     # 3.1 to 3.7
            op = (TEXT, BINARY, PING, CLOSE)[bits % 4]
            raw = first_byte(frame(op, b"xx"), 0x80 | bits << 4 | op)
            closes_with(shoald, (1002,), f"reserved bits {bits}", good, raw, good)
        for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):                               # 4.1.1 to 4.2.5
            payload = b"" if op % 2 else b"reserved opcode payload"
            closes_with(shoald, (1002,), f"opcode {op}", good, frame(op, payload), frame(PING))


def case_autobahn_5_fragments():
    """Fragments with control frames between them; continuations of nothing"""
    with Shoald() as shoald:
        text = ping_message(5)
        with Socket(shoald.port, PATH) as ws:
            ws.message("ready")
            for step in (1, 7, len(text) - 1):                                       # 5.3 to 5.8
                for at in range(0, len(text), step):
                    piece, last = text[at:at + step], at + step >= len(text)
                    chopped(ws, frame(0 if at else TEXT, piece, fin=last), 3)
                    ws.send(PING, b"between")
                pongs = 0
                while (got := ws.receive()) is not None and got[0] == PONG:
                    pongs += 1
                check(got and json.loads(got[1])["id"] == "5", "fragments gave", got)
                check(pongs >= 1 or ws.receive()[0] == PONG, "no pong between fragments")
                ws.send(TEXT, ping_message("sync"))
                ws.message("pong")
            for n in range(4):                                                       # 5.19, 5.20
                ws.send(TEXT if n == 0 else 0, b"", fin=False)
            ws.send(0, text)
            answered(ws, 5)
        for what, raws in {
            "a ping in fragments": (frame(PING, b"x", False), frame(0, b"y")),       # 5.1
            "a pong in fragments": (frame(PONG, b"x", False), frame(0, b"y")),       # 5.2
            "a continuation of nothing": (frame(0, b"x", False), frame(TEXT, text)),  # 5.9 to 5.14
            "a text within a text": (frame(TEXT, b"x", False), frame(TEXT, text)),   # 5.18
        }.items():
            closes_with(shoald, (1002,), what, *raws)


VALID = ("hello", "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\x7f", "߿", "ࠀ", "\uffff", "\U00010000",
         "\U0010ffff", "\ud7ff", "\ue000", "\ufffd", "\ufdd0", "\U0001fffe")               # 6.2, 6.5 to 6.22
BROKEN = (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xf8\x88\x80\x80\x80", b"\x80",
          b"\xbf", b"\x80\xbf", b"\xc0 ", b"\xe0 ", b"\xf0 ", b"\xc0", b"\xe0\x80", b"\xf0\x80\x80",
          b"\xfe", b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf",
          b"\xf0\x8f\xbf\xbf", b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbf\xbf",
          b"\xed\xa0\x80\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xfc\x84\x80\x80\x80\x80")        # 6.3, 6.4, 6.10 to 6.21


def case_autobahn_6_utf8():
    """Good UTF-8 is answered as it is, cut anywhere; bad is 1007"""
    with Shoald() as shoald:
        with Socket(shoald.port, PATH) as ws:
            ws.message("ready")
            for text in VALID:
                raw = json.dumps({"type": "ping", "id": text}, ensure_ascii=False).encode()
                for cut in (0, len(raw) - 3, 20):                                    # 6.2.3, 6.2.4
                    if cut:
                        ws.send(TEXT, raw[:cut], fin=False)
                    ws.send(0 if cut else TEXT, raw[cut:])
                    got = ws.message("pong")["id"]
                    check(got == text, "pong of", ascii(got), "not", ascii(text))
        for bad in BROKEN:
            closes_with(shoald, (1007,), f"text with {bad}", frame(TEXT, b'{"type":"ping","id":"' + bad + b'"}'))


def close_of(code, reason=b""):
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def case_autobahn_7_closing():
    """Codes and reasons of a Close; nothing that follows one is looked at"""
    good = (*range(1000, 1004), *range(1007, 1012), 3000, 3999, 4000, 4999)
    bad = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535)
    with Shoald() as shoald:
        for what, raws, codes in (
            ("a Close", (frame(CLOSE),), (0, 1000)),                                 # 7.3.1
            ("two Closes", (close_of(1000),) * 2, (1000,)),                          # 7.1.2
            ("a ping after it", (close_of(1000), frame(PING)), (1000,)),             # 7.1.3
            ("a text after it", (close_of(1000), frame(TEXT, ping_message())), (1000,)),  # 7.1.4
            ("amid fragments", (frame(TEXT, b"{", False), close_of(1000)), (1000,)),  # 7.1.5
            ("a reason", (close_of(1000, b"Hello World!"),), (1000,)),               # 7.3.4
            ("the longest reason", (close_of(1000, b"*" * 123),), (1000,)),          # 7.3.5
            ("one byte", (frame(CLOSE, b"\x03"),), (1002,)),                         # 7.3.2
            ("126 bytes", (close_of(1000, b"*" * 124),), (1002, None)),              # 7.3.6
            ("a reason that is no UTF-8", (close_of(1000, b"\xce\xba\xed\xa0\x80"),), (1007,)),  # 7.5.1
            *((f"code {n}", (close_of(n),), (n, 1000)) for n in good),               # 7.7.1 to 7.7.13
            *((f"code {n}", (close_of(n),), (1002,)) for n in bad),                  # 7.9.1 to 7.13.2
        ):
            closes_with(shoald, codes, what, *raws)
        wait_until(lambda: shoald.metric("sessions") == 0, 5, "slots stay")
        honest_session(shoald.port, 0.3)


def case_autobahn_9_sizes():
    """What is too large is refused by name, in one frame or in fragments; many small ones come through"""
    with Shoald() as shoald:
        for op, limit in ((TEXT, TEXT_LIMIT), (BINARY, BINARY_LIMIT)):               # 9.1 to 9.6
            for pieces in (1, 16):
                with Socket(shoald.port, PATH) as ws:
                    ws.message("ready")
                    for n in range(pieces):
                        part = bytes((2 * limit) // pieces)
                        ws.send(0 if n else op, part, fin=n == pieces - 1)
                    error = next(m for m in texts(ws) if m["type"] == "error")
                    code = close_code(ws)
                    check((error["code"], code) == ("message_too_large", 1009), error, code)
        count = scaled(2000, 100000)                                                 # 9.7, 9.8
        with Socket(shoald.port, PATH) as ws:
            ws.message("ready")
            start = time.monotonic()
            for n in range(count):
                ws.send(BINARY, noise(0.001, n % 16))
            ws.send(TEXT, b'{"type":"end"}')
            check(ws.message("done")["received"] == 16 * count, "not all samples came")
            check(time.monotonic() - start < 300, "too slow")

"""Clients that take no results"""

import socket
import struct
import time

from daemon import Shoald, check, scaled, wait_until
from ws import BINARY, CLOSE, TEXT, Socket, frame, honest_session, noise

MIB = 1 << 20
BACK_S = 25         # slots and memory are back within
LWS_S = 5           # libwebsockets waits for the answer to a Close so long


def upload(sockets, seconds):
    """All send audio for so long and read nothing."""
    piece = frame(BINARY, noise(0.5))
    waiting = {ws: piece for ws in sockets}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for ws in sockets:
            ws.s.setblocking(False)
            try:
                sent = ws.s.send(waiting[ws])
                waiting[ws] = waiting[ws][sent:] or piece
            except BlockingIOError:
                pass
            except OSError:
                waiting[ws] = piece
        time.sleep(0.005)


def never_reading(query):
    with Shoald(model=None, slow_reader_timeout_s=scaled(2, 15)) as shoald:
        # first, what the server keeps for itself at that size of messages
        honest_session(shoald.port, 3, "/v1/stream?depth=3&" + query)
        before = shoald.rss_bytes()
        sockets = [Socket(shoald.port, "/v1/stream?depth=3&" + query, receive_buffer=4096)
                   for _ in range(10)]
        upload(sockets, 3)
        peak = shoald.rss_bytes()
        check(peak - before > 2 * MIB, "they filled nothing:", peak - before, "bytes")
        wait_until(lambda: shoald.metric("sessions") == 0, BACK_S,
                   "the slots of clients that never read were not back")
        wait_until(lambda: shoald.metric("connections") <= 1, BACK_S,
                   "the connections of clients that never read were not back")
        wait_until(lambda: shoald.rss_bytes() - before <= (peak - before) // 20 + MIB // 2, BACK_S,
                   f"of {(peak - before) / MIB:.1f} MiB more than 5 % were not back")
        check(shoald.get("/readyz")[0] == 200, "/readyz is not 200 afterwards")
        honest_session(shoald.port, 0.5)
        for ws in sockets:
            ws.close()


def case_never_reading_large_messages():
    """Ten that never read are gone by their deadline: slots, and 95 % of their memory. Messages of
    hundreds of kilobytes: one lies half written in libwebsockets."""
    never_reading("chunk_ms=1280&output=posteriors,embedding&encoding=json")


def case_never_reading_small_messages():
    never_reading("chunk_ms=20&output=posteriors,embedding&encoding=f32")


def case_never_reading_the_close():
    """A fatal error to a client that neither reads nor closes: its slot comes back"""
    with Shoald(slow_reader_timeout_s=2) as shoald:
        sockets = [Socket(shoald.port, receive_buffer=4096) for _ in range(5)]
        for ws in sockets:
            ws.send(TEXT, b'{"type":"nonsense"}')
        wait_until(lambda: shoald.metric("sessions") == 0, BACK_S, "slots were not back")
        wait_until(lambda: shoald.metric("connections") <= 1, BACK_S, "connections were not back")
        for ws in sockets:
            ws.close()


def case_half_closed():
    """shutdown(SHUT_WR) in the midst of a stream: no slot stays"""
    with Shoald(slow_reader_timeout_s=2, ping_interval_s=1) as shoald:
        sockets = [Socket(shoald.port) for _ in range(5)]
        for ws in sockets:
            ws.send(BINARY, noise(0.3))
            ws.s.shutdown(socket.SHUT_WR)
        wait_until(lambda: shoald.metric("sessions") == 0, BACK_S, "slots were not back")
        for ws in sockets:
            ws.close()


def case_slow_but_reading():
    """Who reads slowly, but reads, loses nothing"""
    with Shoald(slow_reader_timeout_s=2, output_buffer_bytes=16384) as shoald:
        path = "/v1/stream?depth=3&output=posteriors&encoding=json"
        with Socket(shoald.port, path, receive_buffer=4096) as ws:
            for _ in range(3):
                ws.send(BINARY, noise(1))
                for _ in range(5):      # of some 7 that come
                    ws.receive()
                    time.sleep(0.2)
            ws.send(TEXT, b'{"type":"end"}')
            done = ws.message("done")
            check(done["frames"] == 150, done["frames"], "frames, not 150")


def case_refused_in_the_middle_of_much():
    """A session that ends by an error while reading from it is stopped hears its client's Close all the same."""
    sound = noise(1)
    wav = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(sound), b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16, b"data",
                      len(sound)) + sound
    with Shoald() as shoald:
        for _ in range(10):
            with Socket(shoald.port, "/v1/stream?depth=1&rate=8000") as ws:
                ws.message("ready")
                ws.s.sendall(b"".join(frame(BINARY, wav[i:i + 8192]) for i in range(0, len(wav), 8192)))
                kinds = []
                for op, payload in ws.frames():
                    kinds.append(op)
                    if op == CLOSE:
                        ws.send(CLOSE, payload[:2])
                        began = time.monotonic()
                check(kinds[-1:] == [CLOSE], "no Close at the end of", kinds)
                check(time.monotonic() - began < 4, "the client's Close was not heard: its session ended by a deadline of", LWS_S, "s")

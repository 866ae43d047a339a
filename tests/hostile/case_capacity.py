"""What the server thinks that it carries may not depend on what strangers did

The measure is of time, and others use the machine meanwhile; so what does not compute is compared
with the least that was measured before it (only a fall does harm), and what does with a second
server that has the same work at the same time in honest portions."""

import concurrent.futures

from daemon import Shoald, check, scaled, wait_until
from ws import BINARY, TEXT, Socket, honest_session, noise, patiently

WITHIN = 0.10
WITHIN_CONTROL = scaled(0.25, 0.10)     # two servers that compete for one machine
TRIES = 6           # each judges anew what ran last


def judged(shoald):
    """capacity_streams with all work that has ended in it"""
    shoald.await_clock()
    return shoald.metric("capacity_streams")


def settled(shoald):
    """The least of capacity_streams as calibrated and as measured after some honest work. Without
    work it moves from the second to the first."""
    calibrated = judged(shoald)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: honest_session(shoald.port, 1), range(8)))
    wait_until(lambda: shoald.metric("sessions") == 0, 5, "sessions stay")
    return min(calibrated, judged(shoald))


def unmoved(shoald, before):
    """The least known from now on: one more honest session may be measured slower."""
    now = judged(shoald)
    check(now >= before * (1 - WITHIN), f"capacity_streams {before:.4g} became {now:.4g}")
    wait_until(lambda: shoald.get("/readyz")[0] == 200, 5, "/readyz is not 200")
    honest_session(shoald.port, 0.5)
    return min(before, judged(shoald))


def case_opens_without_audio():
    """Sessions that open and close cost nobody anything"""
    with Shoald(model=None) as shoald:
        before = settled(shoald)
        for _ in range(scaled(1200, 2200)):
            with Socket(shoald.port) as ws:
                ws.message("ready")
        wait_until(lambda: shoald.metric("sessions") == 0, 10, "sessions stay")
        unmoved(shoald, before)


def case_idle_sessions():
    """Those who are silent leave the room to those who speak"""
    count = scaled(1500, 5000)
    with Shoald(model=None, max_sessions=count + 100) as shoald:
        before = settled(shoald)
        idle = [Socket(shoald.port) for _ in range(count)]
        before = unmoved(shoald, before)
        for ws in idle:
            ws.close()
        wait_until(lambda: shoald.metric("sessions") == 0, 10, "sessions stay")
        unmoved(shoald, before)


def flood(ws, count):
    for n in range(count):
        ws.send(TEXT, b'{"type":"flush"}')
        ws.send(TEXT, b'{"type":"set","depth":%d}' % (1 + n % 3))
        ws.send(TEXT, b'{"type":"ping","id":"%d"}' % n)
        while ws.message("pong")["id"] != str(n):
            pass


def case_odd_sessions():
    """Flushes, depth changes and pings without end, all at once, without audio"""
    with Shoald(model=None) as shoald:
        before = settled(shoald)
        with Socket(shoald.port) as ws:
            flood(ws, scaled(500, 3000))
        unmoved(shoald, before)


def one(port, audio):
    with Socket(port) as ws:
        ws.send(BINARY, audio)
        ws.send(TEXT, b'{"type":"end"}')
        ws.message("done")


def several(port, count, seconds):
    audio = noise(seconds)
    for _ in range(count):
        patiently(one, port, audio)


def case_short_sessions():
    """Half a second of audio each, against the same sound in sessions of five seconds"""
    count = scaled(150, 400)
    with Shoald(model=None) as shoald, Shoald(model=None) as control:
        for _ in range(TRIES):
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                short = pool.submit(several, shoald.port, count, 0.5)
                pool.submit(several, control.port, count // 10, 5).result()
                short.result()
            now, wanted = judged(shoald), judged(control)
            if now >= wanted * (1 - WITHIN_CONTROL):
                break
        check(now >= wanted * (1 - WITHIN_CONTROL),
              f"capacity_streams is {now:.4g}, with long sessions {wanted:.4g}")
        check(shoald.get("/readyz")[0] == 200, "/readyz is not 200")


def case_who_starts_by_a_message_is_counted_as_refused():
    """No room is no room, whichever way a session begins: the alarm for refusals asks one counter"""
    with Shoald(model=None, capacity=1) as shoald:
        for path, start in (("/v1/stream?depth=12", None), ("/v1/stream", b'{"type":"start","depth":12}')):
            before = shoald.metric("sessions_refused_total")
            with Socket(shoald.port, path) as ws:
                if start:
                    ws.send(TEXT, start)
                check(ws.refusal()[0]["code"] == "overloaded", path, "was not refused")
            check(shoald.metric("sessions_refused_total") == before + 1, path, "is not counted as refused")

#!/usr/bin/env python3
"""attackers.py PORT [KIND]... - hostile clients, one of every kind, against the shoald on PORT, until SIGTERM

    silent     connects and says nothing            trickle   a request's head, a byte at a time
    gets       pipelined requests                   resets    breaks off in mid-frame
    strange    messages that nearly are some        flood     flush, set and ping without end
    deaf       sends sound and never reads          crumbs    sound in messages of two bytes
    upload     sound as fast as it is taken         posts     files that are none
    guesses    tickets of sessions that others have parked

At its end it prints the CPU seconds that all of them had. They run with idle priority (SCHED_IDLE), as if on another
machine, or at nice 0 where whoever started them comes before everybody.
tests/bench/company.py measures what they do to others."""

import os
import random
import select
import signal
import sys
import time

import case_capacity
import ws
from case_endurance import gone_abruptly, strange_session
from ws import BINARY, Socket, frame

SOUND = ws.noise(0.5)


# ---- one attack each, again and again -----------------------------------------------------

def silent(port, rng):
    with ws.connect(port):
        time.sleep(1)


def trickle(port, rng):
    with ws.connect(port) as s:
        for byte in ws.request():
            s.send(bytes([byte]))
            time.sleep(0.05)


def gets(port, rng):
    with ws.connect(port) as s:
        s.settimeout(1)
        s.sendall(b"GET /v1/depths HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        while s.recv(65536):
            pass


def resets(port, rng):
    gone_abruptly(port, rng, frame(BINARY, SOUND)[:1000])


def strange(port, rng):
    strange_session(port, rng, 200)


def flood(port, rng):
    with Socket(port) as c:
        case_capacity.flood(c, 500)


def deaf(port, rng):
    with Socket(port, "/v1/stream?depth=3&output=posteriors,embedding", receive_buffer=4096) as c:
        c.s.settimeout(2)
        for _ in range(200):
            c.s.sendall(frame(BINARY, SOUND))


def crumbs(port, rng):
    with Socket(port) as c:
        for _ in range(200):
            c.s.sendall(frame(BINARY, b"\1\0") * 50)


def upload(port, rng):
    with Socket(port) as c:
        c.s.settimeout(2)
        for _ in range(100):
            c.send(BINARY, SOUND)
            while select.select([c.s], [], [], 0)[0]:
                if not c.s.recv(1 << 20):
                    return


def posts(port, rng):
    body = rng.randbytes(20000)
    ws.answer(port, b"POST /v1/phones HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def guesses(port, rng):
    ws.answer(port, ws.request(f"/v1/stream?resume={rng.randbytes(16).hex()}&got=0"))


ATTACKS = [silent, trickle, gets, strange, deaf, upload, guesses, resets, flood, crumbs, posts]


def attack(kind, port, seed):
    """In a process of its own, for good."""
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    else:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    rng = random.Random(seed)
    while True:
        try:
            kind(port, rng)
        except Exception:       # what a server does to such people is no concern of theirs
            time.sleep(0.05)


def begin(seed, kind, port):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        attack(kind, port, seed)
    return child


def main():
    kinds = [k for k in ATTACKS if k.__name__ in sys.argv[2:]] or ATTACKS
    if len(sys.argv) < 2 or not sys.argv[1].isdigit() or not {*sys.argv[2:]} <= {k.__name__ for k in ATTACKS}:
        sys.exit(__doc__.split("\n")[0])
    signal.signal(signal.SIGTERM, lambda *_: None)
    children = [begin(seed, kind, int(sys.argv[1])) for seed, kind in enumerate(kinds)]
    signal.pause()
    used = 0
    for child in children:
        os.kill(child, signal.SIGKILL)
        usage = os.wait4(child, 0)[2]
        used += usage.ru_utime + usage.ru_stime
    print(f"{used:.2f}")


if __name__ == "__main__":
    main()

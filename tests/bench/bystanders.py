#!/usr/bin/env python3
"""What sessions do to those who do not know them: `shoal_capacity_streams` before and after.

    bystanders.py [--scale 1.0] [SHOALD OPTION]...        about two minutes

Starts shoald and does, one after the other, on raw sockets:

    opens    2,200 sessions that open and close without audio
    idle     5,000 sessions that are started and never speak, at the same time
    short    400 sessions of half a second of audio, eight at a time

After each the capacity must be within 10 % of what it was at the start, /readyz must say 200, and
(idle) an honest session must be let in meanwhile. --scale 0.1 does a tenth of each. Exit code 1 if
one of it does not hold. A machine that others use meanwhile changes its speed, and the capacity
with it, whoever is connected: `quiet` says how far it went with nobody there for ten seconds.
"""

import argparse
import base64
import concurrent.futures
import json
import math
import os
import re
import resource
import socket
import struct
import sys
import tempfile
import time
import urllib.error
import urllib.request

from daemon import Daemon

PATH = "/v1/stream?rate=16000&format=s16le&depth=12"
LIMIT = 0.10


# ---- a WebSocket client, as little as does ------------------------------------------------

def connect(address):
    """A session, or None when it is refused."""
    host, port = address.rsplit(":", 1)
    s = socket.create_connection((host, int(port)), timeout=30)
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Protocol: shoal.v1\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = s.recv(4096)
        if not piece:
            break
        head += piece
    if b" 101 " not in head.split(b"\r\n")[0]:
        s.close()
        return None
    return s


def send(s, opcode, payload):
    n = len(payload)
    head = struct.pack("!BB", 0x80 | opcode, 0x80 | n) if n < 126 else \
        struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, n)
    s.sendall(head + b"\0\0\0\0" + payload)


def noise(seconds):
    n = int(16000 * seconds)
    return b"".join(struct.pack("<h", int(8000 * math.sin(i * 0.05) * math.sin(i * 0.0007))) for i in range(n))


def speak(address, audio, pace):
    """A whole session in real time. True when `done` came."""
    s = connect(address)
    if not s:
        return False
    for at in range(0, len(audio), 640):
        send(s, 2, audio[at:at + 640])
        time.sleep(pace)
    send(s, 1, b'{"type":"end"}')
    got = b""
    try:
        while piece := s.recv(65536):
            got = got[-200:] + piece
    except OSError:
        pass
    s.close()
    return b'"done"' in got


# ---- what is done --------------------------------------------------------------------------

def opens(d, scale):
    for _ in range(int(2200 * scale)):
        s = connect(d.address)
        if s:
            s.close()


def idle(d, scale):
    held = [s for _ in range(int(5000 * scale)) if (s := connect(d.address))]
    time.sleep(5)
    honest = speak(d.address, noise(1), 0.02)
    load = metric(d, "load_projected_ratio")
    print(f"  {len(held)} idle: load {load:.3f}, honest session {'served' if honest else 'REFUSED'}")
    for s in held:
        s.close()
    return honest


def short(d, scale):
    audio = noise(0.5)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        served = sum(pool.map(lambda _: speak(d.address, audio, 0.02), range(int(400 * scale))))
    print(f"  {served} of {int(400 * scale)} served")


def quiet(d, scale):
    time.sleep(10 * scale)


# ---- judging ------------------------------------------------------------------------------

def metric(d, name):
    return float(re.search(rf"^shoal_{name} (\S+)$", d.get("/metrics"), re.M)[1])


def ready(d):
    try:
        return d.get("/readyz") == "ready\n"
    except urllib.error.HTTPError:
        return False


def judge(d, name, first, result):
    time.sleep(1)
    now = metric(d, "capacity_streams")
    good = abs(now / first - 1) <= LIMIT and ready(d) and result is not False
    print(f"{name:8} capacity {first:.2f} -> {now:.2f} ({100 * (now / first - 1):+.1f} %), ready {ready(d)}, "
          f"sessions left {metric(d, 'sessions'):.0f}: {'good' if good else 'BAD'}", flush=True)
    return {"name": name, "before": first, "after": now, "good": good}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--scale", type=float, default=1.0)
    p.add_argument("--json")
    args, options = p.parse_known_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    with tempfile.TemporaryDirectory() as folder:
        d = Daemon(["--set", "max_sessions=6000", "--set", "start_timeout_s=600", *options], 0, folder)
        try:
            first = metric(d, "capacity_streams")
            results = [judge(d, f.__name__, first, f(d, args.scale)) for f in (quiet, opens, idle, short)]
        finally:
            d.stop()
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=2)
    sys.exit(not all(r["good"] for r in results[1:]))


if __name__ == "__main__":
    main()

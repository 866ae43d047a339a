#!/usr/bin/env python3
"""check_resume.py [--full] [--seed N] - sessions outlive their server, and their sockets

resume_clients streams from many clients of libshoal-client at once, each through a flush.

kills   shoald is killed (SIGKILL) at random moments while they stream, and started again on its port: all go
        on by replay, in a new process that knows nothing of them.
cuts    a proxy between the two breaks their sockets at random moments, with RST or by silence: all go on
        where they were, in sessions that the server has parked.

Wanted of every client: every frame once, in order, nothing lost, and the features of a run that nothing
disturbed: the same bytes after cuts; after kills the same bytes, or within 1e-4 where audio was sent again from
the middle on (docs/protocol.md, 7). Phones the same, but where a replay lies in between.

Without --full it is short (10 clients, 2 kills, 10 cuts), as make check runs it; make check-resume has 50
clients, 20 kills and 200 cuts. The seed is printed. SRCDIR, TOP_BUILDDIR, SHOALD, TEST_PATIENCE."""

import array
import asyncio
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hostile"))
from daemon import BUILD, PATIENCE, Failed, Shoald, check, wait_until  # noqa: E402

CLIENTS = os.path.join(BUILD, "tests", "resume", "resume_clients")
QUERY = "/?depth=2&output=posteriors,phones"
CLOSE_ENOUGH = 1e-4
HEAD = struct.Struct("=6I2Q")
PHONE = struct.Struct("=16s2d")


class Client:
    """What one of them got."""

    def __init__(self, data, at):
        self.rows, self.dim, phones, self.parked, self.replayed, self.flushed, self.lost, \
            self.again = HEAD.unpack_from(data, at)
        at += HEAD.size
        self.values = data[at:at + 4 * self.rows * self.dim]
        at += len(self.values)
        self.phones = [PHONE.unpack_from(data, at + i * PHONE.size) for i in range(phones)]
        self.end = at + phones * PHONE.size


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    clients, at = [], 0
    while at < len(data):
        clients.append(Client(data, at))
        at = clients[-1].end
    return clients


def distance(a, b):
    x, y = array.array("f"), array.array("f")
    x.frombytes(a)
    y.frombytes(b)
    return max(abs(i - j) for i, j in zip(x, y))


class Run:
    """resume_clients; held: they do not end before they are let go."""

    def __init__(self, port, folder, count, seconds, pace, held):
        self.out = os.path.join(folder, f"out-{pace}-{port}")
        self.go = self.out + ".go"
        url = f"ws://127.0.0.1:{port}{QUERY}"
        self.process = subprocess.Popen([CLIENTS, url, str(count), str(seconds), str(pace), self.out,
                                         *([self.go] if held else [])])

    def runs(self):
        return self.process.poll() is None

    def let_go(self):
        with open(self.go, "w", encoding="ascii"):
            pass


def finish(run, seconds):
    process, out = run.process, run.out
    try:
        status = process.wait(seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Failed(f"the clients did not end within {seconds:g} s") from None
    check(status == 0, "the clients ended with", status)
    return read(out)


def compare(got, wanted, exact):
    """The largest difference, and how many clients have other bytes."""
    worst, others = 0.0, 0
    check(len(got) == len(wanted), len(got), "clients")
    for i, (a, b) in enumerate(zip(got, wanted)):
        check((a.rows, a.dim, a.flushed, a.lost) == (b.rows, b.dim, 1, 0), f"client {i}: {a.rows} rows of {b.rows}, "
              f"{a.flushed} flushed, {a.lost} samples lost")
        if a.values != b.values:
            others += 1
            worst = max(worst, distance(a.values, b.values))
            check(not exact, f"client {i}: other bytes, by {worst:g}")
        if exact:
            check(a.phones == b.phones, f"client {i}: other phones")
    check(worst <= CLOSE_ENOUGH, f"features differ by {worst:g}")
    return worst, others


def again(got):
    """Seconds that were sent more than once."""
    return sum(c.again for c in got) / 16000


def undisturbed(folder, count, seconds):
    with Shoald(max_sessions=1000) as shoald:
        return finish(Run(shoald.port, folder, count, seconds, 0, False), 120)


# ---- kills ----

def kills(folder, wanted, count, seconds, pace, times, rng):
    shoald = Shoald(max_sessions=1000)
    try:
        port = shoald.port
        run = Run(port, folder, count, seconds, pace, True)
        wait_until(lambda: shoald.metric("sessions") == count, 30, "the clients did not all begin")
        gap = seconds / pace / (times + 1)
        for _ in range(times):
            time.sleep(gap * rng.uniform(0.6, 1.2))
            check(run.runs(), "the clients ended before all kills")
            shoald.close()
            time.sleep(rng.uniform(0, 0.3))
            shoald = Shoald(max_sessions=1000, listen=f"127.0.0.1:{port}")
        run.let_go()
        got = finish(run, 60 + 2 * seconds)
    finally:
        shoald.close()
    worst, others = compare(got, wanted, False)
    replays = sum(c.replayed for c in got)
    check(min(c.replayed for c in got) > 0 and replays >= count * times / 2,    # some were away still
          f"{replays} replays of {count} clients after {times} kills")
    print(f"kills: {times}, {count} clients, {replays} replays of {again(got) / replays:.1f} s, {others} clients with other bytes (largest difference "
          f"{worst:.2g}), 0 samples lost", flush=True)


# ---- cuts ----

class Proxy:
    """Passes on what it gets, until it is told not to."""

    def __init__(self, port):
        self.target, self.pairs, self.cuts = port, [], 0

    async def serve(self):
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def accept(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, up_writer)
        self.pairs.append(pair)
        await asyncio.gather(self.carry(reader, up_writer), self.carry(up_reader, writer))
        if pair in self.pairs:
            self.pairs.remove(pair)

    async def carry(self, reader, writer):
        try:
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
            writer.close()
        except (OSError, ConnectionError):
            writer.transport.abort()

    def cut(self, rng):
        """RST to both, or to the client alone: the server goes on writing to nobody."""
        if not self.pairs:
            return
        pair = rng.choice(self.pairs)
        self.pairs.remove(pair)
        half = rng.random() < 0.5
        for writer in pair[:1] if half else pair:
            s = writer.get_extra_info("socket")
            if s is not None:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        if half:
            pair[1].transport.pause_reading()
        self.cuts += 1


async def cut_all(shoald, folder, count, seconds, pace, times, rng):
    proxy = Proxy(shoald.port)
    run = Run(await proxy.serve(), folder, count, seconds, pace, True)
    while await asyncio.to_thread(shoald.metric, "sessions") < count:
        await asyncio.sleep(0.05)       # before the first `ready` nothing is tried again
    gap = seconds / pace / (times + 2)
    while proxy.cuts < times and run.runs():
        await asyncio.sleep(gap * rng.uniform(0.2, 1.6))
        proxy.cut(rng)
    run.let_go()
    while run.runs():
        await asyncio.sleep(0.05)
    return run, proxy.cuts


def cuts(folder, wanted, count, seconds, pace, times, rng):
    with Shoald(max_sessions=1000) as shoald:
        run, done = asyncio.run(cut_all(shoald, folder, count, seconds, pace, times, rng))
        got = finish(run, 10)
        lost = shoald.metric("parks_lost_total")
    parked, replays = sum(c.parked for c in got), sum(c.replayed for c in got)
    worst, others = compare(got, wanted, replays == 0)
    check(done == times, f"only {done} cuts")
    check(replays == 0, f"{replays} had to replay")
    check(parked >= times * 0.8, f"{parked} came back after {times} cuts")
    print(f"cuts: {times}, {count} clients, {parked} came back to parked sessions ({lost:g} did not), "
          f"{again(got) / parked:.2f} s sent again each, {others} with "
          "other bytes, 0 samples lost", flush=True)


def main():
    full = "--full" in sys.argv
    seed = int(sys.argv[sys.argv.index("--seed") + 1]) if "--seed" in sys.argv else random.randrange(1 << 30)
    count, killed, cut = (50, 20, 200) if full else (10, 2, 10)
    long, short = ((200, 2), (60, 1)) if full else ((12, 3), (12, 3))  # seconds of audio, pace
    rng = random.Random(seed)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="shoal-resume.") as folder:
        try:
            kills(folder, undisturbed(folder, count, long[0]), count, *long, killed, rng)
            cuts(folder, undisturbed(folder, count, short[0]), count, *short, cut, rng)
        except Failed as failed:
            print(f"FAILED (seed {seed}): {failed}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""check_fake.py - clients/python against a server that a test plays: what a real one never says; skipped where
Python lacks numpy or websockets"""

import asyncio
import copy
import json
import threading
import time
import unittest

from setting import PATIENCE, run
import numpy as np
import shoal
import websockets

READY = {"type": "ready", "latency_ms": 235, "model": {"rate": 16000, "sha256": "a"},
         "engine": {"precision": "fp32", "backend": "own", "kernels": "avx2"}, "limits": {"max_message_bytes": 65536},
         "options": {"format": "s16le", "rate": 16000, "channels": 1, "chunk_ms": 160, "left_ms": 160, "depth": 1,
                     "output": ["phones"], "activity_hangover_ms": 300}}
FULL = {"type": "error", "code": "overloaded", "message": "full", "fatal": True, "retry": True}
DONE = {"type": "done", "received": 0, "processed": 0, "frames": 0, "phones": 0, "packets": 0, "seconds": 0}


class Fake:
    """A server whose connection number n (from 0) runs script(ws, n)."""

    def __init__(self, script):
        self.script, self.connections = script, 0

    async def _serve(self, ws, *_):
        self.connections += 1
        try:
            await self.script(ws, self.connections - 1)
        except websockets.ConnectionClosed:
            pass

    def run(self, client, limit=10):
        """What client(url) returns."""
        async def both():
            async with websockets.serve(self._serve, "127.0.0.1", 0, subprotocols=["shoal.v1"]) as server:
                port = server.sockets[0].getsockname()[1]
                return await asyncio.wait_for(client(f"ws://127.0.0.1:{port}"), limit * PATIENCE)
        return asyncio.run(both())


async def say(ws, *messages):
    for m in messages:
        await ws.send(m if isinstance(m, (str, bytes)) else json.dumps(m))


async def simple(url, **options):
    """All messages of a short session."""
    async with shoal.connect(url, token="", **options) as session:
        await session.send(np.zeros(1600, np.int16))
        await session.end()
        return [m async for m in session]


class Breaks(unittest.TestCase):
    """Servers that break, and break again."""

    def test_one_that_breaks_at_the_same_place_is_given_up(self):
        async def script(ws, n):
            await say(ws, READY)
            await ws.recv()
        fake = Fake(script)
        with self.assertRaises(shoal.Failure) as caught:
            fake.run(lambda url: simple(url, reconnect_s=1.2))
        self.assertEqual(caught.exception.cause, "lost")
        self.assertGreater(fake.connections, 1)

    def test_one_that_asks_for_more_than_patience_has_is_not_waited_for(self):
        for ms in (60000, 2147483647, 1 << 70):
            async def script(ws, n):
                if n == 0:
                    return await say(ws, READY)
                await say(ws, {**FULL, "retry_after_ms": ms})
            began = time.monotonic()
            with self.assertRaises(shoal.Failure) as caught:
                Fake(script).run(lambda url: simple(url, reconnect_s=3))
            self.assertEqual((caught.exception.code, caught.exception.retry_ms), ("overloaded", ms))
            self.assertLess(time.monotonic() - began, 2.5 * PATIENCE)

    def test_what_is_new_renews_patience(self):
        patience, lost = shoal.again.Patience(3), shoal.Failure("lost", "")
        patience.breaks(1)
        self.assertGreaterEqual(patience.wait_s(lost, 1), 0.5)
        patience.hear({"type": "phones", "processed": 0})
        patience.hear({"type": "changed"})
        patience.breaks(3.9)
        self.assertAlmostEqual(patience.wait_s(lost, 3.9), 0.1)     # the last attempt
        self.assertEqual(patience.wait_s(lost, 4), -1)
        patience.hear({"type": "phones", "processed": 320})
        patience.breaks(9)
        self.assertGreaterEqual(patience.wait_s(lost, 9), 0.5)
        patience.hear({"type": "pong"})
        patience.breaks(12)
        self.assertGreaterEqual(patience.wait_s(lost, 12), 0.5)
        patience.breaks(15)
        self.assertEqual(patience.wait_s(lost, 15), -1)


PHONES = {"type": "phones", "seq": 0, "depth": 1, "received": 1600, "processed": 1600, "lag_ms": 0, "phones": []}
PHONE = {"phone": "AA", "start": 0.1, "end": 0.2, "confidence": 0.5}


def ready_with(path, value):
    ready = copy.deepcopy(READY)
    *parts, last = path.split("/")
    place = ready
    for part in parts:
        place = place[part]
    place[last] = value
    return ready


class Odd(unittest.TestCase):
    """What makes no sense is a Failure that says so, and nothing else."""

    def talk(self, *messages, ready=READY):
        async def script(ws, n):
            await say(ws, ready)
            while '"end"' not in str(await ws.recv()):
                pass
            await say(ws, *messages)
        return Fake(script).run(simple)

    def refused(self, *messages, **more):
        with self.assertRaises(shoal.Failure, msg=(messages, more)) as caught:
            self.talk(*messages, **more)
        self.assertEqual((caught.exception.cause, caught.exception.code), ("broken", "bad_answer"), (messages, more))

    def test_messages_that_make_no_sense(self):
        for m in ([1], "x", 5, None, {}, {"type": 5}, {"type": None}):
            self.refused(json.dumps(m))
        for more in ({"phones": None}, {"phones": [{}]}, {"phones": [5]}, {"processed": -1}, {"processed": "soon"},
                     {"processed": None}, {"received": 1.5}, {"phones": [{**PHONE, "start": None}]}):
            self.refused({**PHONES, **more})
        self.refused(json.dumps({**PHONES, "phones": [{**PHONE, "start": float("nan")}]}))
        self.refused({"type": "phones"})
        for phone in (5, None, "A\nB", "A\x1b[31m", "\x9b1m"):
            self.refused({**PHONES, "phones": [{**PHONE, "phone": phone}]})
        self.refused(DONE, ready={**READY, "labels": ["SIL", "A\x1b[31m"]})
        self.refused({"type": "features", "kind": "mel"})
        self.refused({"type": "features", "kind": "mel", "frames": 2, "dim": 3, "data": [[1], [2]]})
        self.refused({"type": "error", "fatal": True, "code": "x", "retry": True, "retry_after_ms": "soon"})
        self.refused({"type": "changed", "reason": "set"})
        self.refused(READY)
        self.refused("[" * 100000)
        self.refused(b"SHOL" + bytes(100))

    def test_ready_that_makes_no_sense(self):
        self.refused(DONE, ready={"type": "ready"})
        for path in ("options/rate", "options/chunk_ms", "options/channels", "model/rate"):
            for value in (0, -1, None, "x", 1e300):
                self.refused(DONE, ready=ready_with(path, value))
        for path in ("options/left_ms", "latency_ms", "replay_ms"):
            for value in (-1, None, "x", 0.5):
                self.refused(DONE, ready=ready_with(path, value))
        self.refused(DONE, ready=ready_with("limits/max_message_bytes", "x"))

    def test_limits_that_no_server_has(self):
        for most in (0, -5, 1):
            self.assertEqual(self.talk(DONE, ready=ready_with("limits/max_message_bytes", most))[-1], DONE)

    def test_messages_of_a_later_server_go_as_they_are(self):
        for name in ("packet", "count", "_class__", "features2"):
            self.assertEqual(self.talk({"type": name, "x": 1}, DONE)[1:], [{"type": name, "x": 1}, DONE])

    def test_messages_are_fit_for_a_terminal(self):
        for fatal in (True, False):
            m = {"type": "error", "code": "bad_message", "message": "go \x1b[31m away\r\n", "fatal": fatal}
            if fatal:
                with self.assertRaises(shoal.Failure) as caught:
                    self.talk(m)
                self.assertEqual(str(caught.exception), "go  [31m away  ")
            else:
                self.assertEqual(self.talk(m, DONE)[1]["message"], "go  [31m away  ")

    def test_a_server_that_fails_and_does_not_close(self):
        async def script(ws, n):
            await say(ws, READY, {"type": "error", "code": "bad_message", "message": "no", "fatal": True})
            await ws.wait_closed()
        began = time.monotonic()
        with self.assertRaises(shoal.Failure) as caught:
            Fake(script).run(simple)
        self.assertEqual(caught.exception.code, "bad_message")
        self.assertLess(time.monotonic() - began, 5 * PATIENCE)

    def test_who_hangs_up_while_audio_goes_again_may_send(self):
        async def script(ws, n):
            await say(ws, READY)
            await ws.recv()
            if n:
                await ws.wait_closed()

        async def client(url):
            session = await shoal.connect(url, token="", reconnect_s=8)
            await session.send(np.zeros(16000, np.int16))
            async for m in session:
                if m["type"] == "resumed":
                    break
            await session.close()
            await asyncio.wait_for(session.send(np.zeros(1600, np.int16)), 2 * PATIENCE)
        Fake(script).run(client)

    def test_who_waits_in_another_thread_is_told(self):
        async def script(ws, n):
            if n == 0:
                await say(ws, READY)
                await ws.recv()
            elif n == 1:
                await ws.wait_closed()          # no ready: the client is busy with coming back
        told = []

        def use(url):
            session = shoal.Session(url, token="", reconnect_s=30)
            session.send(np.zeros(1600, np.int16))

            def read():
                try:
                    list(session)
                except (shoal.Failure, RuntimeError) as e:
                    told.append(e)
            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            time.sleep(1)
            session.close()
            reader.join(3 * PATIENCE)
            self.assertFalse(reader.is_alive())
            with self.assertRaises(RuntimeError):
                session.end()
            session.close()                     # as often as one likes

        async def client(url):
            await asyncio.get_running_loop().run_in_executor(None, use, url)
        Fake(script).run(client)
        self.assertEqual(len(told), 1)


if __name__ == "__main__":
    run()

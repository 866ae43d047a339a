#!/usr/bin/env python3
"""check_fake.py - clients/python against a server that a test plays: what a real one never says; skipped where
Python lacks numpy or websockets"""

import asyncio
import json
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


if __name__ == "__main__":
    run()

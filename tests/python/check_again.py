#!/usr/bin/env python3
"""check_again.py - clients/python: sessions whose server is killed, and whose connections are cut; skipped
where Python lacks numpy or websockets"""

import asyncio
import os
import sys
import tempfile
import time
import unittest

from setting import PATIENCE, SRCDIR, run, start_shoald
import numpy as np
import shoal

sys.path.insert(0, os.path.join(SRCDIR, "tests"))
from cutter import Cutter               # noqa: E402


class Again(unittest.TestCase):
    """A server that is killed in mid-stream: the same rows, phones and totals as from one that is not."""

    def start(self, address):
        self.shoald, address = start_shoald(
            self.folder.name, "--model", os.path.join(SRCDIR, "tests/data/tiny.safetensors"), listen=address,
            settings=("capacity=100000", "elastic=off", "admission=off", "late_limit_ms=600000"))
        self.addCleanup(self.shoald.wait)
        self.addCleanup(self.shoald.kill)
        return address

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.address = self.start("127.0.0.1:0")
        rng = np.random.default_rng(1)
        loud = np.repeat(rng.choice([0.001, 0.2], 140), 1600)      # 14 s in bursts of 100 ms
        self.samples = (loud * rng.standard_normal(len(loud))).astype(np.float32)
        self.options = {"depth": 2, "left_ms": 320, "output": "phones,posteriors,activity",
                        "activity_threshold": 30, "activity_hangover_ms": 20}

    def run_live(self, blocks, **more):
        found, resumed = None, []
        for m in shoal.live(blocks, "ws://" + self.address, **{**self.options, **more}):
            if isinstance(m, dict) and m["type"] == "resumed":
                resumed.append(m)
                continue
            found = found or shoal.Features(m)
            found._take(m)
            if isinstance(m, shoal.Packet):
                self.frames = m.first_frame
        return found, resumed

    def test_nothing_is_lost(self):
        whole, _ = self.run_live(iter([self.samples]))

        def blocks():
            yield self.samples[:100000]
            while self.frames < 250:        # results of the first half are there
                time.sleep(0.01)
            self.shoald.kill()
            self.shoald.wait()
            self.start(self.address)
            yield self.samples[100000:]
        self.frames = 0
        killed, resumed = self.run_live(blocks(), reconnect_s=60 * PATIENCE)
        self.assertEqual(len(resumed), 1)
        np.testing.assert_allclose(killed["posteriors"], whole["posteriors"], atol=1e-4)
        self.assertEqual([(p.phone, p.start, p.end) for p in killed.phones],
                         [(p.phone, p.start, p.end) for p in whole.phones])
        self.assertEqual([(m["state"], m["frame"]) for m in killed.activity],
                         [(m["state"], m["frame"]) for m in whole.activity])
        self.assertGreater(len(whole.activity), 1)
        for name in ("received", "processed", "frames", "phones", "packets", "seconds"):
            if name != "packets":
                self.assertEqual(killed.done[name], whole.done[name], name)

    def test_without_it_the_session_fails(self):
        def blocks():
            yield self.samples[:100000]
            while not self.frames:
                time.sleep(0.01)
            self.shoald.kill()
            self.shoald.wait()
            yield self.samples[100000:]
        self.frames = 0
        with self.assertRaises(shoal.Failure) as caught:
            self.run_live(blocks())
        self.assertEqual(caught.exception.cause, "lost")

    def test_another_length_of_chunks_is_not_gone_on_with(self):
        async def run():
            async with shoal.connect("ws://" + self.address, reconnect_s=60, rate=16000, format="f32le",
                                     **self.options) as session:
                await session.set(chunk_ms=80)
                async for m in session:
                    if isinstance(m, dict) and m["type"] == "changed":
                        self.shoald.kill()
                        self.shoald.wait()
                        self.start(self.address)
        with self.assertRaises(shoal.Failure) as caught:
            asyncio.run(asyncio.wait_for(run(), 10 * PATIENCE))
        self.assertEqual((caught.exception.cause, caught.exception.code), ("rejected", "cannot_resume"))

    def test_a_broken_link_costs_nothing(self):
        """Cut at random moments: the same bytes, also of means, which no replay could join."""
        rng, cuts = np.random.default_rng(2), [0]
        options = dict(rate=16000, format="f32le", **{**self.options, "every": 5, "output": "phones,posteriors"})

        async def run(cutter, times):
            address = f"127.0.0.1:{cutter.port}" if times else self.address
            found, parked = None, []
            async with shoal.connect("ws://" + address, reconnect_s=60, **options) as session:
                async def send():
                    for i, at in enumerate(range(0, len(self.samples), 4000)):
                        await session.send(self.samples[at:at + 4000])
                        if i % 10 == 4:
                            await session.flush(str(i))
                        if i == 30:
                            await session.skip(16000)
                        if i % 8 == 5 and cuts[0] < times:
                            await asyncio.sleep(float(rng.uniform(0, 0.05)))
                            cutter.cut()
                            cuts[0] += 1
                    await session.end()
                sender, flushed = asyncio.create_task(send()), []
                async for m in session:
                    if isinstance(m, dict) and m["type"] == "resumed":
                        parked.append(m["parked"])
                        continue
                    if isinstance(m, dict) and m["type"] == "flushed":
                        flushed.append(m["id"])
                    found = found or shoal.Features(m)
                    found._take(m)
                await sender
            return found, parked, flushed
        with Cutter(self.address) as cutter:
            whole, none, flushed = asyncio.run(asyncio.wait_for(run(cutter, 0), 30 * PATIENCE))
            cut, parked, again = asyncio.run(asyncio.wait_for(run(cutter, 5), 60 * PATIENCE))
        self.assertEqual(none, [])
        self.assertTrue(parked and all(parked), parked)
        self.assertEqual(again, flushed)
        rows = [[p.values.tobytes() for p in f._packets["posteriors"] if len(p.values)] for f in (whole, cut)]
        self.assertEqual(rows[0], rows[1])
        self.assertEqual([(p.phone, p.start, p.end) for p in cut.phones],
                         [(p.phone, p.start, p.end) for p in whole.phones])
        for name in ("received", "processed", "frames", "phones", "packets"):
            self.assertEqual(cut.done[name], whole.done[name], name)

    def test_where_a_replay_begins(self):
        ready = {"options": {"chunk_ms": 160, "left_ms": 160, "depth": 1, "rate": 16000,
                             "activity_hangover_ms": 300}, "latency_ms": 235, "model": {"rate": 16000}}
        self.assertEqual(shoal.again.reach_ms(ready), 3575)        # as tests/check_client_resume.c has it
        self.assertEqual(shoal.again.first_frame(ready, 400), 216)
        ready["options"]["rate"] = 11025
        self.assertEqual(shoal.again.first_frame(ready, 400) % 8, 0)


if __name__ == "__main__":
    run()

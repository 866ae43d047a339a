#!/usr/bin/env python3
"""check_python.py - clients/python: its pure parts, then sessions with a real shoald and the engine
itself; skipped where Python lacks numpy or websockets"""

import asyncio
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from setting import LOADS, PATIENCE, run, start_shoald
import numpy as np
import shoal
from shoal import samples, wire

RECORDING = "/usr/share/sounds/alsa/Front_Center.wav"

# The packet of docs/protocol.md, 5
EXAMPLE = bytes.fromhex(
    "53484f4c 01010206 40000100 07000000 2800000000000000 0032000000000000"
    "803e000000000000 8034000000000000 02000300 e8030000 02010000 00000000"
    "003c00c00038 ff7b00fc0100")


class Types(unittest.TestCase):
    @unittest.skipUnless(importlib.util.find_spec("mypy"), "no mypy here")
    def test_hold_as_pyproject_says(self):
        with tempfile.TemporaryDirectory() as cache:
            out = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", cache], stdout=subprocess.PIPE, text=True,
                                 cwd=os.path.join(os.path.dirname(shoal.__file__), ".."), check=False)
        self.assertEqual(out.returncode, 0, out.stdout)


class Wire(unittest.TestCase):
    def test_packet_of_the_manual(self):
        p = shoal.decode_packet(EXAMPLE)
        np.testing.assert_array_equal(p.values, np.float32([[1, -2, 0.5], [65504, -np.inf, 2.0 ** -24]]))
        self.assertEqual((p.name, p.depth, p.flags, p.seq, p.first_frame, p.start_sample, p.received,
                          p.processed, p.queued_us, p.computed_us),
                         ("posteriors", 6, 1, 7, 40, 12800, 16000, 13440, 1000, 258))

    def test_packets_that_are_none(self):
        for bad in (EXAMPLE[:63], EXAMPLE[:-1], EXAMPLE + b"\0", b"X" + EXAMPLE[1:],
                    EXAMPLE[:5] + b"\x09" + EXAMPLE[6:], EXAMPLE[:8] + b"\x3f" + EXAMPLE[9:]):
            with self.assertRaises(shoal.Failure) as caught:
                shoal.decode_packet(bad)
            self.assertEqual((caught.exception.cause, caught.exception.retry_ms), ("broken", -1))

    def test_rows_with_a_gap_are_not_joined(self):
        a = shoal.decode_packet(EXAMPLE)
        self.assertEqual(wire.join([a]).shape, (2, 3))
        with self.assertRaisesRegex(shoal.Failure, "frame 42 is missing"):
            wire.join([a, a])

    def test_urls_and_options(self):
        os.environ.pop("SHOAL_URL", None)
        self.assertEqual(wire.session_url(None, {}), "ws://127.0.0.1:7350/v1/stream?rate=16000")
        self.assertEqual(wire.session_url("wss://h/x/?depth=3", {"depth": (3, 12), "lm": False}),
                         "wss://h/x/v1/stream?rate=16000&depth=3-12&lm=off")
        self.assertEqual(wire.session_url("[::1]:9", {"output": ["phones@4", "embedding"]}),
                         "ws://[::1]:9/v1/stream?rate=16000&output=phones@4,embedding")
        os.environ["SHOAL_URL"] = "ws://elsewhere:1"
        self.assertTrue(wire.session_url(None, {}).startswith("ws://elsewhere:1/"))
        del os.environ["SHOAL_URL"]
        with self.assertRaises(shoal.Failure):
            wire.session_url("http://h", {})

    def test_samples(self):
        floats = np.float32([0, 0.5, -1, 1, 2, -2])
        self.assertEqual(list(np.frombuffer(samples.audio_bytes(floats, "s16le"), "<i2")),
                         [0, 16384, -32768, 32767, 32767, -32768])
        self.assertEqual(samples.audio_bytes(np.int16([1, -2]), "s16le"), b"\1\0\xfe\xff")
        self.assertEqual(list(np.frombuffer(samples.audio_bytes(np.int16([16384]), "f32le"), "<f4")), [0.5])
        with self.assertRaises(TypeError):
            samples.audio_bytes(floats, "mulaw")
        with self.assertRaises(TypeError):
            samples.audio_bytes(np.int32([1]), "s16le")

    def test_failures(self):
        f = wire.failure_of_error({"code": "overloaded", "message": "m", "retry": True, "retry_after_ms": 70})
        self.assertEqual((f.cause, f.retry_ms), ("full", 70))
        causes = {1013: "full", 1012: "restarting", 1006: "lost", 1008: "rejected", 1011: "broken", 4000: "lost"}
        self.assertEqual({c: wire.failure_of_close(c).cause for c in causes}, causes)
        self.assertEqual([wire.failure_of_status(s).cause for s in (429, 503, 500, 404)],
                         ["full", "full", "broken", "rejected"])


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        tokens = os.path.join(cls.folder.name, "tokens")
        os.environ["SHOAL_TOKEN"] = "shoal_live"        # all of these sessions send it
        with open(tokens, "w") as f:
            f.write(f"live {hashlib.sha256(b'shoal_live').hexdigest()}\n")
        cls.shoald, address = start_shoald(cls.folder.name, settings=("max_sessions=2", f"tokens={tokens}"))
        cls.url = "ws://" + address
        cls.samples, cls.rate = shoal.blocking.read_audio(RECORDING)

    @classmethod
    def tearDownClass(cls):
        del os.environ["SHOAL_TOKEN"]
        cls.shoald.terminate()
        cls.shoald.wait()
        cls.folder.cleanup()

    def test_tokens(self):
        self.assertEqual(shoal.features(RECORDING, self.url, depth=1, token="shoal_live").ready["type"], "ready")
        for token in ("", "shoal_dead"):
            with self.assertRaises(shoal.Failure) as caught:
                shoal.features(RECORDING, self.url, depth=1, token=token)
            self.assertEqual((caught.exception.cause, caught.exception.http_status), ("rejected", 401))
            self.assertIn("token", str(caught.exception))

    @unittest.skipUnless(LOADS, "no libshoal that Python can load")
    def test_a_file_is_what_the_engine_makes_of_it(self):
        r = shoal.features(RECORDING, self.url, depth=4, output=["phones", "posteriors", "embedding@2"])
        with shoal.Engine() as engine:
            logp, _ = engine.features(self.samples, self.rate, depth=4)
            _, embedding = engine.features(self.samples, self.rate, depth=2)
            phones = engine.phones(logp)
        self.assertEqual(r.ready["model"]["sha256"], engine.sha256)
        np.testing.assert_allclose(r["posteriors"], logp, atol=1e-4)
        np.testing.assert_allclose(r["embedding@2"], embedding, atol=1e-4)
        self.assertGreaterEqual(len(phones), 8)
        self.assertEqual([p.phone for p in r.phones], [p.phone for p in phones])
        for told, own in zip(r.phones, phones):
            self.assertAlmostEqual(told.start, own.start, places=3)
        self.assertLessEqual(r.phones[-1].end, len(self.samples) / self.rate + 0.001)
        self.assertEqual(r.done["received"], len(self.samples))

    def test_layers_mels_and_means(self):
        r = shoal.features(self.samples[:48000], self.url, rate=self.rate, depth=2,
                           output="hidden,hidden@0,hidden@1,mel,posteriors")
        self.assertEqual({n: len(r[n]) for n in r.keys()},
                         {"hidden": 50, "hidden@0": 50, "hidden@1": 50, "mel": 100, "posteriors": 50})
        self.assertEqual(r["mel"].shape[1], r.ready["mels"])
        m = shoal.features(self.samples[:48000], self.url, rate=self.rate, depth=2, output="embedding", every=5)
        self.assertEqual(m["embedding"].shape, (10, r.ready["dim"]))

    def test_what_goes_wrong_on_the_way_is_a_warning(self):
        inverted = np.stack([self.samples, -self.samples], 1)
        with self.assertWarnsRegex(UserWarning, "cancel each other out"):
            r = shoal.features(inverted, self.url, rate=self.rate, depth=1, output="phones,embedding@1")
        self.assertEqual([e["ref"] for e in r.errors], ["channels"])
        with tempfile.TemporaryDirectory() as folder:
            cut, empty = os.path.join(folder, "cut.wav"), os.path.join(folder, "empty.wav")
            with open(RECORDING, "rb") as whole, open(cut, "wb") as f:
                f.write(whole.read(48045))                                  # half a second, and a byte
            with self.assertWarnsRegex(UserWarning, r"cut off: 0\.50 s of 1\.43 s"):
                self.assertEqual(shoal.features(cut, self.url, depth=1).done["frames"], 25)
            open(empty, "wb").close()
            with self.assertRaisesRegex(ValueError, "the file is empty"):
                shoal.features(empty, self.url)

    def test_sound_too_short_for_a_row_has_none(self):
        r = shoal.features(np.zeros(0, np.int16), self.url, depth=2, output="phones,embedding@1,posteriors,mel")
        self.assertEqual({n: r[n].shape for n in r.keys()}, {"embedding@1": (0, 256), "posteriors": (0, 40), "mel": (0, 80)})
        self.assertRaises(KeyError, lambda: r["phones"])

    def test_every_encoding_gives_the_same_rows(self):
        a, b, c = (shoal.features(self.samples[:16000], self.url, rate=self.rate, depth=2, output="posteriors",
                                  encoding=e)["posteriors"] for e in ("f32", "f16", "json"))
        np.testing.assert_array_equal(a, c)
        np.testing.assert_allclose(a, b, rtol=2.0 ** -11, atol=2.0 ** -24)

    def test_live_blocks_in_any_cut(self):
        cuts = np.cumsum([0, 1, 777, 5000, 20000, 100000])
        blocks = (self.samples[a:b] for a, b in zip(cuts, cuts[1:]))
        told = [p["phone"] for m in shoal.live(blocks, self.url, rate=self.rate, depth=4)
                if not isinstance(m, shoal.Packet) and m["type"] == "phones" for p in m["phones"]]
        whole = shoal.features(self.samples, self.url, rate=self.rate, depth=4)
        self.assertEqual(told, [p.phone for p in whole.phones])

    def test_what_blocks_raises_is_raised(self):
        def blocks():
            yield self.samples[:1000]
            raise RuntimeError("microphone")
        with self.assertRaisesRegex(RuntimeError, "microphone"):
            list(shoal.live(blocks(), self.url, rate=self.rate, depth=1))
        with self.assertRaisesRegex(TypeError, "int32"):
            list(shoal.live([np.int32([1])], self.url, rate=self.rate, depth=1))

    def raised(self, call):
        """The exception of a call; a failed test, where it hangs."""
        found = []

        def run():
            try:
                call()
            except BaseException as e:
                found.append(e)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(20 * PATIENCE)
        self.assertFalse(thread.is_alive(), "it hangs")
        return found[0]

    def test_who_closes_does_not_come_back(self):
        def blocks(e):
            yield self.samples[:24000]
            raise e
        for e in (RuntimeError("microphone"), SystemExit(3)):
            seen = self.raised(lambda e=e: list(shoal.live(blocks(e), self.url, rate=self.rate, depth=1, reconnect_s=30)))
            self.assertIs(seen, e)
        self.assertIsInstance(self.raised(lambda: list(shoal.live([self.samples, np.int32([1])], self.url, rate=self.rate,
                                                                  depth=1, reconnect_s=30))), TypeError)

    def test_who_leaves_the_loop_hangs_up(self):
        def blocks():
            while True:
                yield self.samples[:4800]
        for m in shoal.live(blocks(), self.url, rate=self.rate, depth=1):
            if not isinstance(m, shoal.Packet) and m["type"] == "phones":
                break
        for s in self.open_all(2):          # of max_sessions=2
            s.close()

    def open_all(self, sessions):
        """So many sessions, as soon as there is room."""
        end, opened = time.monotonic() + 20 * PATIENCE, []
        while len(opened) < sessions:
            try:
                opened.append(shoal.Session(self.url, depth=1))
                self.addCleanup(opened[-1].close)
            except shoal.Failure as f:
                if f.cause != "full" or time.monotonic() > end:
                    raise
                time.sleep(0.1)
        return opened

    def test_asyncio(self):
        async def run():
            kinds = []
            async with shoal.connect(self.url, rate=self.rate, depth=3, output="phones,posteriors") as s:
                await s.send(self.samples[:24000])
                await s.flush("here")
                await s.set(depth=(5, 9))
                await s.set(depth=99)
                await s.ping("1")
                await s.send(self.samples[24000:])
                await s.end()
                async for m in s:
                    kinds.append("packet" if isinstance(m, shoal.Packet) else m["type"])
                    if kinds[-1] == "changed":
                        self.assertEqual(m["range"], [5, 9])
                        self.assertIn(m["depth"], range(5, 10))         # 9 where it carries that
            return kinds
        kinds = asyncio.run(run())
        self.assertEqual((kinds[0], kinds[-1]), ("ready", "done"))
        for kind in ("packet", "phones", "flushed", "changed", "error", "pong"):
            self.assertIn(kind, kinds)

    def test_failures(self):
        with self.assertRaises(shoal.Failure) as caught:
            shoal.Session(self.url, depth=40)
        f = caught.exception
        self.assertEqual((f.cause, f.code, f.ref, f.close_code, f.retry_ms),
                         ("rejected", "bad_option", "depth", 1008, -1))
        with self.assertRaises(shoal.Failure) as caught:
            shoal.Session("ws://127.0.0.1:1")
        self.assertEqual(caught.exception.cause, "unreachable")
        self.open_all(2)
        with self.assertRaises(shoal.Failure) as caught:
            shoal.Session(self.url)
        self.assertEqual((caught.exception.cause, caught.exception.code), ("full", "too_many_sessions"))
        self.assertGreaterEqual(caught.exception.retry_ms, 0)


@unittest.skipUnless(LOADS, "no libshoal that Python can load")
class Engine(unittest.TestCase):
    def test_a_stream_in_pieces_equals_one_shot(self):
        samples = (0.1 * np.sin(np.arange(20000) * 0.05)).astype(np.float32)
        with shoal.Engine() as e, e.stream(depth=3, chunk_ms=80) as s:
            parts = s.feed(samples[:7001]) + s.feed(samples[7001:]) + s.finish()
            logp, _ = e.features(samples, depth=3, chunk_ms=80)
        np.testing.assert_allclose(np.concatenate([p for p, _ in parts]), logp, atol=1e-4)
        self.assertEqual(len(logp), -(-20000 // 320))

    def test_many_streams_and_depths_side_by_side(self):
        rng = np.random.default_rng(2)
        clips = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (9000, 4000, 6401)]
        with shoal.Engine(frames=64, tap_frames=128) as e:
            streams = [e.stream(depth=4) for _ in clips]
            logp: list = [{d: [] for d in (2, 3, 4)} for _ in clips]
            for s, clip in zip(streams, clips):
                s.set_taps((2, 3))
                self.assertEqual(s.write(clip[:100]), 100)      # less than a chunk: all of it
            at = [100] * len(clips)
            while any(n is not None for n in at):
                for i, s in enumerate(streams):
                    if at[i] is None or s.ready:
                        continue
                    if at[i] == len(clips[i]):
                        s.end()
                        at[i] = None
                    else:
                        at[i] += s.write(clips[i][at[i]:])
                while ready := [i for i, s in enumerate(streams) if s.ready]:
                    for i, rows in zip(ready, e.run([streams[i] for i in ready], (2, 3))):
                        for d, (part, embedding) in zip((4, 2, 3), rows):
                            self.assertEqual(len(part), len(embedding))
                            logp[i][d].append(part)
            for i, clip in enumerate(clips):
                for d in (2, 3, 4):
                    np.testing.assert_allclose(np.concatenate(logp[i][d]), e.features(clip, depth=d)[0], atol=1e-4)
                streams[i].close()

    def test_phones_frame_by_frame(self):
        rng = np.random.default_rng(3)
        with shoal.Engine() as e:
            logp = np.log(rng.dirichlet(np.full(e.classes, 0.05), 120) + 1e-9).astype(np.float32)
            logp = np.repeat(logp, 4, axis=0)       # 480 frames, each class for 80 ms
            whole, told, shown = e.phones(logp), [], 0
            with e.decoder(settle_ms=320) as d:
                for frame in logp:
                    settled = d.run(frame[None])
                    told += settled
                    for p, stood_ms in d.tentative():
                        shown += 1
                        self.assertGreaterEqual(p.start, (told[-1].end if told else 0) - 0.001)
                        self.assertLessEqual(stood_ms, 2000)
                told += d.flush()
            self.assertGreater(shown, 100)
            self.assertGreater(len(whole), 20)
            self.assertEqual(told, e.phones(logp, settle_ms=320))
            with e.decoder() as d:
                self.assertEqual(sum((d.run(part) for part in np.array_split(logp, 7)), []) + d.flush(), whole)

    def test_smoothed_posteriors(self):
        rng = np.random.default_rng(5)
        with shoal.Engine() as e:
            said = np.repeat(rng.integers(0, e.classes, 40), 8)
            heard = np.where(rng.random(len(said)) < 0.2, rng.integers(0, e.classes, len(said)), said)
            logp = np.full((len(said), e.classes), 0.5 / (e.classes - 1))
            logp[np.arange(len(said)), heard] = 0.5
            logp = np.log(logp)
            with e.smoother() as s:
                parts = [s.run(part) for part in np.array_split(logp, 20)]
                s.reset()
                np.testing.assert_array_equal(s.run(logp[:16]), parts[0])
            smooth = np.concatenate(parts)
            np.testing.assert_allclose(np.exp(smooth).sum(1), 1, atol=1e-4)
            self.assertLess((smooth.argmax(1) != said).sum(), 0.5 * (heard != said).sum())
            with self.assertRaises(shoal.EngineError):
                e.smoother(stay=1.5)

    def test_what_training_asks(self):
        import capi
        engine, rng = capi.Engine(frames=64, tap_frames=256, hidden_frames=256), np.random.default_rng(4)
        clips = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (9000, 3000)]
        found = engine.depths(clips, 3, 8)
        for clip, by_depth in zip(clips, found):
            self.assertEqual(sorted(by_depth), [1, 2, 3])
            for d, logp in by_depth.items():
                np.testing.assert_allclose(logp, engine.stream(clip, d, 8)[0], atol=1e-4)
        for clip, (logp, left, hidden) in zip(clips, engine.layers(clips, (0, 1, 3), 3, 8)):
            np.testing.assert_allclose(logp, engine.stream(clip, 3, 8)[0], atol=1e-4)
            np.testing.assert_array_equal(hidden[3], left)      # nothing is averaged yet
            np.testing.assert_allclose(hidden[1], engine.stream(clip, 1, 8)[1], atol=1e-4)
            self.assertEqual(hidden[0].shape, left.shape)
        moved = engine.stream(clips[0], 1, 8, slices=[4000, 9000], depths={1: 3}, flushes=(0,), wake=0)
        self.assertEqual([len(rows) for rows in moved], [29, 29])
        logp = engine.stream(clips[0], 3, 8)[0]
        with shoal.Engine() as e:
            want = [(e.labels.index(p.phone), round(p.start * 50), round(p.end * 50)) for p in e.phones(logp)]
        self.assertEqual([p[:3] for p in engine.decode(logp)], want)
        self.assertEqual([p for p, _ in engine.told(logp, "lm", 5)], engine.decode(logp, "lm"))
        self.assertGreater(engine.cost(clips[0], 1, streams=2, chunk=8), 0)
        self.assertEqual(engine.decoders[0], "lm")
        with self.assertRaisesRegex(ValueError, "dim"):
            capi.Engine(dim=7)
        engine.close()

    def test_what_is_wrong_is_said(self):
        with self.assertRaisesRegex(shoal.EngineError, "nothing|No such|cannot"):
            shoal.Engine("/nothing")
        with self.assertRaisesRegex(ValueError, "fp16: |'fp16'"):
            shoal.Engine(precision="fp16")
        with self.assertRaises(shoal.EngineError):
            shoal.Engine(program="none-such")
        with shoal.Engine() as e:
            with self.assertRaises(shoal.EngineError):
                e.stream(depth=99)
            with self.assertRaises(ValueError):
                e.stream(chunk_ms=90)


if __name__ == "__main__":
    if not os.path.exists(RECORDING):
        del Live
    run()

#!/usr/bin/env python3
"""check_audio.py - clients/python: what is no audio is refused by name, before a server or the engine hears of it;
skipped where Python lacks numpy or websockets"""

import array
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from setting import run, start_shoald
import numpy as np
import shoal
from shoal import samples

NOWHERE = "ws://127.0.0.1:1"            # who asks a server gets a Failure
LOADS = subprocess.run([sys.executable, "-c", "import ctypes, os; ctypes.CDLL(os.environ['LIBSHOAL'])"],
                       stderr=subprocess.DEVNULL, check=False).returncode == 0
SPEECH = (0.1 * np.sin(np.arange(8000) * 0.05)).astype(np.float32)


def with_one(value):
    spoilt = SPEECH.copy()
    spoilt[17] = value
    return spoilt


# what, error, its words
VALUES = [
    (with_one(np.nan), ValueError, "sample 17 is nan"),
    (with_one(np.inf), ValueError, "sample 17 is inf"),
    (with_one(-np.inf).astype(np.float64), ValueError, "sample 17 is -inf"),
    (np.round(SPEECH * 32768), ValueError, r"divide them by 32768\.0"),
    (SPEECH.astype(np.float16) * np.float16(32768), ValueError, r"divide them by 32768\.0"),
    (SPEECH * 2.0 ** 23, ValueError, r"divide them by 8388608\.0"),
    (np.float64(SPEECH) * 2.0 ** 31, ValueError, r"divide them by 2147483648\.0"),
    (np.zeros(8000, np.int32), TypeError, "int32.*float32 in .-1, 1. or int16; divide by 2147483648"),
    (np.zeros(8000, np.uint8), TypeError, r"uint8.*\(x - 128\.0\) / 128"),
    (np.zeros(8000, np.uint16), TypeError, "uint16"),
    (np.zeros(8000, bool), TypeError, "bool"),
    (np.zeros(8000, complex), TypeError, "complex128"),
    (np.array(["a"]), TypeError, "<U1"),
    (np.array([SPEECH, None], object), TypeError, "object"),
    (np.zeros((2, 8000), np.int16), ValueError, r"\(2, 8000\).*x\.T"),
    (np.zeros((8000, 0), np.int16), ValueError, r"\(8000, 0\)"),
    (np.zeros((10, 2, 2), np.int16), ValueError, r"\(10, 2, 2\).*\[n, channels\]"),
    (np.array(0.5), ValueError, r"shape \(\)"),
]
THINGS = [
    ([0.1, 0.2], TypeError, r"a list is no audio: .*np\.array"),
    ((0.1, 0.2), TypeError, "a tuple"),
    (None, TypeError, "None is no audio"),
    (7, TypeError, "an int is no audio"),
    (np.float32(0.5), TypeError, "a float32 is no audio"),
    (io.BytesIO(b"RIFF"), TypeError, "a BytesIO is no audio: .*name of a file"),
    (array.array("h", [1, 2]), TypeError, r"np\.asarray"),
    (iter([SPEECH]), TypeError, "a list_iterator"),
]
BYTES = [(kind(b"\0\1" * 800), TypeError, r"no audio: np\.frombuffer") for kind in (bytes, bytearray, memoryview)]
NAMES = [("talk.wav", TypeError, r"a str is no audio: shoal\.features\('talk\.wav'\)"),
         (pathlib.Path("talk.wav"), TypeError, "Path is no audio: shoal.features")]


class Refusing(unittest.TestCase):
    def refused(self, cases, call):
        for x, error, words in cases:
            with self.subTest(repr(x)[:60]), self.assertRaisesRegex(error, words):
                call(x)


class Before(Refusing):
    def test_before_a_server_is_asked(self):
        self.refused(VALUES + THINGS + BYTES, lambda x: shoal.features(x, NOWHERE))
        self.refused([(SPEECH, TypeError, "not mulaw")], lambda x: shoal.features(x, NOWHERE, format="mulaw"))
        self.refused([(np.zeros((9, 2), np.int16), ValueError, "channels=1: .* channels=2")],
                     lambda x: shoal.features(x, NOWHERE, channels=1))
        with self.assertRaises(shoal.Failure):
            shoal.features(SPEECH, NOWHERE, reconnect_s=0)

    def test_what_gives_no_blocks(self):
        blocks = [(SPEECH, TypeError, "an array is one block"), (b"\0\0", TypeError, "a bytes is one block"),
                  (io.BytesIO(b""), TypeError, "gives lines"), *NAMES, (None, TypeError, "None is no audio"),
                  (7, TypeError, "an int is no audio")]
        self.refused(blocks, lambda x: shoal.live(x, NOWHERE))

    def test_what_a_session_is_sent(self):
        self.refused(VALUES + THINGS + NAMES, lambda x: samples.audio_bytes(x, "s16le"))
        self.refused(VALUES, lambda x: samples.audio_bytes(x, "f32le"))
        self.refused([(memoryview(SPEECH), TypeError, r"'f' for format s16le: .*cast\('B'\)"),
                      (np.zeros((4, 2), np.int16), ValueError, "channels=1")],
                     lambda x: samples.audio_bytes(x, "s16le", 1))

    def test_what_is_taken(self):
        for kind in ("<i2", ">i2"):
            self.assertEqual(samples.audio_bytes(np.array([1, -2], kind), "s16le"), b"\1\0\xfe\xff")
        for kind in ("<f4", ">f4", "<f2", "<f8"):
            self.assertEqual(samples.audio_bytes(np.array([[0.5, -1]], kind), "s16le", 2), b"\0\x40\0\x80")
        self.assertEqual(samples.audio_bytes(np.float32([-7.9, 3]), "s16le"), b"\0\x80\xff\x7f")   # loud, but no other scale
        for same in (b"\1\2\3", bytearray(b"\1\2\3"), memoryview(b"\1\2\3"), memoryview(bytearray(b"\1\2\3"))):
            self.assertEqual(samples.audio_bytes(same, "mulaw"), b"\1\2\3")
        self.assertEqual(samples.audio_bytes(memoryview(np.float32([1])), "f32le"), b"\0\0\x80\x3f")
        self.assertEqual(samples.audio_bytes(np.zeros((0, 2), np.float32), "s16le"), b"")


@unittest.skipUnless(LOADS, "no libshoal that Python can load")
class Engine(Refusing):
    @classmethod
    def setUpClass(cls):
        cls.engine = shoal.Engine()

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()

    def test_samples(self):
        e = self.engine
        self.refused(VALUES + THINGS + BYTES + NAMES, e.features)
        wrong = [(SPEECH[:, None], TypeError, r"\(8000, 1\)"), (np.zeros(9, np.int16), TypeError, "Engine.convert")]
        with e.stream(depth=1) as s:
            self.refused(VALUES + THINGS + BYTES + wrong, s.feed)
            self.refused(VALUES + THINGS + BYTES + wrong, s.write)
            self.assertEqual(s.write(SPEECH[:100]), 100)
        np.testing.assert_allclose(e.convert(np.full((320, 2), 16384, np.int16), 16000), 0.5)


class Live(Refusing):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.shoald, address = start_shoald(cls.folder.name, "--model", os.path.join(
            os.environ.get("SRCDIR", "."), "tests/data/tiny.safetensors"))
        cls.url = "ws://" + address

    @classmethod
    def tearDownClass(cls):
        cls.shoald.terminate()
        cls.shoald.wait()
        cls.folder.cleanup()

    def test_a_session_goes_on_after_what_it_did_not_take(self):
        with shoal.Session(self.url, depth=1) as s:
            self.refused(VALUES + THINGS + NAMES, s.send)
            s.send(SPEECH)
            s.end()
            done = [m for m in s if not isinstance(m, shoal.Packet)][-1]
        self.assertEqual((done["type"], done["received"]), ("done", len(SPEECH)))

    def test_loud_sound_is_heard_as_it_is(self):
        """A square wave at full scale is none in the other byte order."""
        square = np.where(np.arange(32000) // 40 % 2, 32767, -32768).astype(np.int16)
        for audio in (square, (square / 32768).astype(np.float32)):
            self.assertEqual(shoal.features(audio, self.url, depth=1).done["received"], len(square))


if __name__ == "__main__":
    run()

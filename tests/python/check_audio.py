#!/usr/bin/env python3
"""check_audio.py - clients/python: what is no audio is refused by name, before a server or the engine hears of it;
skipped where Python lacks numpy or websockets"""

import array
import importlib.util
import io
import os
import pathlib
import struct
import tempfile
import unittest
import wave

from setting import SPEECH, WithEngine, run, start_shoald
import numpy as np
import shoal
from shoal import samples

NOWHERE = "ws://127.0.0.1:1"            # who asks a server gets a Failure


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


class Wrong(unittest.TestCase):
    def test_a_token_with_its_line_break(self):
        for token in ("abc\n", "a b", "a\r\nX: y", "\u00fc"):
            with self.assertRaisesRegex(ValueError, "strip"):
                shoal.features(SPEECH, NOWHERE, token=token)

    def test_files_of_tls_are_named(self):
        for name in ("ca_file", "cert"):
            with self.assertRaisesRegex(FileNotFoundError, "/none/at/all"):
                shoal.features(SPEECH, NOWHERE.replace("ws:", "wss:"), **{name: "/none/at/all"})

    def test_what_was_not_asked_for(self):
        with self.assertRaisesRegex(KeyError, "output= says what is computed"):
            shoal.Features({"options": {"output": ["phones", "mel"]}})["embedding"]


class Engine(WithEngine, Refusing):
    def test_samples(self):
        e = self.engine
        self.refused(VALUES + THINGS + BYTES + NAMES, e.features)
        wrong = [(SPEECH[:, None], TypeError, r"\(8000, 1\)"), (np.zeros(9, np.int16), TypeError, "Engine.convert")]
        with e.stream(depth=1) as s:
            self.refused(VALUES + THINGS + BYTES + wrong, s.feed)
            self.refused(VALUES + THINGS + BYTES + wrong, s.write)
            self.assertEqual(s.write(SPEECH[:100]), 100)
        np.testing.assert_allclose(e.convert(np.full((320, 2), 16384, np.int16), 16000), 0.5)


def wav(size=32000, there=32000, bits=16, rate=16000, tail=b""):
    """A file of one channel; size: of its sound, by its header."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * bits // 8, bits // 8, bits)
    sound = (b"\1\0\0" if bits == 24 else b"\xe8\3") * there
    return (b"RIFF\xff\xff\xff\xffWAVE" + fmt + b"LIST\1\0\0\0\0\0" + struct.pack("<4sI", b"data", size)
            + sound[:there] + tail)


class Files(Refusing):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "it's a file")

    def told(self, data):
        """(samples, what is told)"""
        with open(self.path, "wb") as f:
            f.write(data)
        found, _, trouble = shoal.files.load(self.path)
        self.assertEqual(trouble[:len(self.path)], self.path if trouble else "")
        return len(found), trouble[len(self.path):]

    def test_wav_that_ends_early(self):
        self.assertEqual(self.told(wav()), (16000, ""))
        self.assertEqual(self.told(wav(there=16001)), (8000, ": the file is cut off: 0.50 s of 1.00 s are there"))
        for unknown in (0x7fff0000, 0x7fffffff, 0xffffffff):        # written to a pipe
            self.assertEqual(self.told(wav(size=unknown)), (16000, ""))
        n, words = self.told(wav(size=0))                           # never ended
        self.assertEqual(n, 0)
        self.assertRegex(words, r"says that it has no sound, but 1\.00 s follow .*ffmpeg -i '.*' makes it whole")
        self.assertEqual(self.told(wav(size=0, there=0)), (0, ""))
        self.assertEqual(self.told(wav(size=0, there=0, tail=b"LIST\4\0\0\0abcd")), (0, ""))
        with self.assertWarnsRegex(UserWarning, "cut off") as caught:
            self.told(wav(there=16000))
            shoal.blocking.read_audio(self.path)
        self.assertEqual(caught.filename, __file__)

    def test_what_is_no_file_of_sound(self):
        for data, words in [(b"", "the file is empty"), (b"\0\0\0\x20ftypM4A " + bytes(600), r"this is MP4 .*ffmpeg -i"),
                            (b"\x1a\x45\xdf\xa3" + bytes(600), "this is WebM"), (b"Dear reader,\n" * 50, "this is text"),
                            (bytes(range(256)) * 9, "cannot be read as audio|pip install soundfile"),
                            (wav(rate=0), "at 0 Hz; up to 64 at 1000 to 384000 Hz are read"),
                            (wav(rate=500000), "does its header lie")]:
            with self.subTest(words):
                with open(self.path, "wb") as f:
                    f.write(data)
                with self.assertRaisesRegex(ValueError, words) as caught:
                    shoal.features(self.path, NOWHERE)
                self.assertIn(self.path, str(caught.exception))

    def test_rates_and_channels_that_no_session_takes(self):
        for rate, channels in ((96000, 1), (384000, 2), (1000, 1), (4000, 12), (16000, 12), (22050, 9), (60001, 1)):
            with self.subTest(rate=rate, channels=channels):
                t = np.arange(5 * rate // 2) / rate
                tone = 8000 * np.sin(2 * np.pi * 300 * t)
                with wave.open(self.path, "wb") as w:
                    w.setparams((channels, 2, rate, 0, "NONE", ""))
                    w.writeframes(np.repeat(tone.astype("<i2"), channels).tobytes())
                found, at, trouble = shoal.files.load(self.path)
                self.assertEqual((len(found), at, trouble), (40000, 16000, ""))
                want = 8000 / 32768 * np.sin(2 * np.pi * 300 * np.arange(40000) / 16000)
                np.testing.assert_allclose(found[400:-400], want[400:-400], atol=1e-3)
        high = np.sin(2 * np.pi * 20000 * np.arange(96000) / 96000)     # above what 16 kHz can have
        self.assertLess(np.abs(shoal.resample.to_session(high, 96000))[400:-400].max(), 1e-3)

    def test_wav_that_has_more_than_it_says(self):
        n, words = self.told(wav(size=8000))
        self.assertEqual(n, 4000)
        self.assertIn("more sound follows the 0.25 s", words)
        self.assertEqual(self.told(wav(tail=bytes(9000))), (16000, ""))         # padding
        self.assertEqual(self.told(wav(tail=b"LIST\x20\3\0\0" + b"\1" * 800)), (16000, ""))

    @unittest.skipUnless(importlib.util.find_spec("soundfile"), "no soundfile here")
    def test_recordings_one_behind_the_other(self):
        import soundfile
        sound = 0.3 * np.random.default_rng(1).standard_normal(48000).astype(np.float32)
        for kind in ("OGG", "FLAC", "MP3"):
            soundfile.write(self.path, sound, 16000, format=kind)
            with open(self.path, "rb") as f:
                data = f.read()
            self.assertIn("more sound follows the 3.00 s", self.told(data + data)[1])
            if kind == "OGG":
                self.assertIn("is damaged", self.told(data[:len(data) // 2] + b"damage" + data[len(data) // 2 + 6:])[1])
            self.assertEqual(self.told(data)[1], "")

    @unittest.skipUnless(importlib.util.find_spec("soundfile"), "no soundfile here")
    def test_headers_that_say_bytes(self):
        import soundfile
        sound = 0.3 * np.random.default_rng(1).standard_normal(48000).astype(np.float32)
        for kind, half in (("AU", 50), ("W64", 50), ("RF64", 50), ("NIST", 48)):   # of 1024 bytes of header, too
            soundfile.write(self.path, sound, 16000, format=kind)
            with open(self.path, "rb") as f:
                data = f.read()
            self.assertEqual(self.told(data), (48000, ""))
            self.assertRegex(self.told(data[:len(data) // 2])[1], rf"cut off: 1\.{half} s of [23]\.\d\d s")

    @unittest.skipUnless(importlib.util.find_spec("soundfile"), "no soundfile here")
    def test_other_files_that_end_early(self):
        import soundfile
        sound = 0.3 * np.random.default_rng(1).standard_normal(48000).astype(np.float32)
        for kind, words in [("OGG", "without the end mark"), ("FLAC", r"\d s of 3\.00 s"), ("AIFF", "there is more")]:
            if kind not in soundfile.available_formats():
                continue
            soundfile.write(self.path, sound, 16000, format=kind)
            with open(self.path, "rb") as f:
                data = f.read()
            self.assertEqual(self.told(data), (48000, ""))
            n, told = self.told(data[:len(data) // 2])
            self.assertRegex(told, words)
            self.assertTrue(9000 < n < 30000, n)
            if kind == "FLAC":          # written to a pipe: it does not say how long it is
                n, told = self.told(data[:21] + bytes([data[21] & 0xf0, 0, 0, 0, 0]) + data[26:])
                self.assertEqual((told, n // 160), ("", 299))     # its end is read in eights
        self.assertEqual(self.told(wav(bits=24, size=48000, there=48000)), (16000, ""))
        self.assertEqual(self.told(wav(bits=24, size=48000, there=24000)),
                         (8000, ": the file is cut off: 0.50 s of 1.00 s are there"))
        soundfile.write(self.path, sound * 32768, 16000, format="WAV", subtype="FLOAT")
        self.refused([(self.path, ValueError, r"it's a file: samples reach .* divide them by \d+\.0")],
                     lambda x: shoal.features(x, NOWHERE))


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

"""A sound file's samples. What ends early is told, what cannot be read is a ValueError that says what helps.

    WAV     the size of its data chunk against what follows it; one that was never ended has 0 there, and sound behind
    Ogg     the last page of a whole one has the end mark, and is there in full
    AIFF    the size of its form against the file's
    others  (FLAC, MP3) as many samples as their header has

As in clients/file/file_check.c.
"""

from __future__ import annotations

import os
import shlex
import struct
import wave
from typing import BinaryIO

import numpy as np

from .samples import RATES, check

TOLERANCE_S = 0.15              # decoders leave out their delay, encoders round up to frames: less is no loss
UNKNOWN = 0x7fff0000            # who writes to a pipe leaves the most that fits
OGG_TAIL = 65307 + 4            # the longest page
SIZES = (1 << 14, 1 << 8, 1 << 3)   # of a block; one that cannot be read to its end is lost
# what soundfile does not read, by its first bytes: (where, bytes, name)
OTHERS = ((4, b"ftyp", "MP4 (m4a)"), (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"), (0, b"0&\xb2u", "WMA"),
          (0, b"#!AMR", "AMR"), (0, b"\xff\xf1", "AAC"), (0, b"\xff\xf9", "AAC"))

Sound = tuple[np.ndarray, int]  # samples, rate


def _ffmpeg(path: str, options: str = "") -> str:
    return f"ffmpeg -i {shlex.quote(path)} {options}{shlex.quote(path + '.wav')}"


def _kind(head: bytes) -> str:
    for at, magic, name in OTHERS:
        if head[at:at + len(magic)] == magic:
            return name
    return "text" if all(32 <= c < 127 or c in b"\t\r\n" for c in head) else ""


def _refused(path: str, head: bytes, why: str) -> ValueError:
    kind = _kind(head)
    what = f"this is {kind}, which is not read here" if kind else f"cannot be read as audio ({why})"
    return ValueError(f"{path}: {what}; if it is audio, convert it first: {_ffmpeg(path)}")


def _wav(path: str) -> Sound:
    """Of 16 bits; wave.Error: it is another."""
    with wave.open(path) as w:
        channels, rate = w.getnchannels(), w.getframerate()
        if w.getsampwidth() != 2:
            raise wave.Error("not of 16 bits")
        data = w.readframes(w.getnframes())
    data = data[:len(data) // (2 * channels) * 2 * channels]    # what was cut off may end inside a sample
    samples = np.frombuffer(data, "<i2").astype(np.int16)
    return (samples.reshape(-1, channels) if channels > 1 else samples), rate


def _other(path: str, head: bytes) -> tuple[np.ndarray, int, int]:
    """(samples, rate, how many the header has; 0: it does not say)"""
    try:
        import soundfile
    except ImportError:
        if _kind(head):
            raise _refused(path, head, "") from None
        raise ValueError(f"{path}: not WAV of 16 bits; pip install soundfile, which reads other WAV, FLAC, MP3 and "
                         "Ogg") from None
    blocks: list[np.ndarray] = []
    for size in SIZES:
        try:
            with soundfile.SoundFile(path) as f:
                rate, promised = int(f.samplerate), int(f.frames)
                for block in blocks:
                    f.read(len(block), dtype="float32")
                while not blocks or len(blocks[-1]):
                    blocks.append(f.read(size, dtype="float32"))
            break
        except RuntimeError as e:       # LibsndfileError; the block that it came in may begin well
            why = str(e)
    if not blocks:
        raise _refused(path, head, why)
    return np.concatenate(blocks), rate, promised if promised < 1 << 40 else 0


def _data_chunk(f: BinaryIO, end: int) -> tuple[int, int, int]:
    """(bytes by the header, bytes there, bytes a second) of a WAV; 0, 0, 0: it has none."""
    at, second = 12, 0
    while at + 8 <= end:
        f.seek(at)
        name, size, fmt = struct.unpack("<4sI16s", f.read(24).ljust(24, b"\0"))
        if name == b"fmt ":
            second = int.from_bytes(fmt[8:12], "little")
        if name == b"data":
            return size, end - at - 8, second
        at += 8 + size + size % 2
    return 0, 0, 0


def _is_chunk(f: BinaryIO, behind: int) -> bool:
    """A chunk follows, and no sound: its name is letters, its size what is there."""
    f.seek(-behind, os.SEEK_END)
    name, size = struct.unpack("<4sI", f.read(8).ljust(8, b"\0"))
    return all(32 <= c < 127 for c in name) and size + 8 <= behind


def _wav_trouble(f: BinaryIO, end: int, decoded: float) -> str:
    size, there, second = _data_chunk(f, end)
    if size == 0 and there and second and not _is_chunk(f, there):
        return (f"its header says that it has no sound, but {there / second:.2f} s follow (a recording that was not ended?): "
                f"{_ffmpeg(f.name)} makes it whole")
    return _cut(decoded, decoded * size / there) if 0 < there < size < UNKNOWN else ""


def _ogg_trouble(f: BinaryIO, end: int, decoded: float) -> str:
    f.seek(max(0, end - OGG_TAIL))
    tail = f.read()
    page = tail[tail.rfind(b"OggS"):]
    if len(page) >= 27 and page[5] & 4 and len(page) >= 27 + page[26] + sum(page[27:27 + page[26]]):
        return ""
    return (f"the file is cut off: {decoded:.2f} s are there, then it ends without the end mark; how long it should be "
            "it does not say")


def _cut(decoded: float, promised: float) -> str:
    if promised <= decoded + TOLERANCE_S:
        return ""
    return f"the file is cut off: {decoded:.2f} s of {promised:.2f} s are there"


def _trouble(path: str, head: bytes, decoded: float, promised: float) -> str:
    with open(path, "rb") as f:
        end = os.path.getsize(path)
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            return _wav_trouble(f, end, decoded)
        if head[:4] == b"OggS":
            return _ogg_trouble(f, end, decoded)
        if head[:4] == b"FORM" and 8 + int.from_bytes(head[4:8], "big") > end:
            return f"the file is cut off: {decoded:.2f} s are there, and it says that there is more"
    return _cut(decoded, promised)


def load(path: str) -> tuple[np.ndarray, int, str]:
    """(samples, rate, what is wrong with the file although it could be read, or "")."""
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path}: the file is empty")
    with open(path, "rb") as f:
        head = f.read(512)
    promised = 0
    try:
        samples, rate = _wav(path)
    except (wave.Error, EOFError):
        samples, rate, promised = _other(path, head)
    trouble = _trouble(path, head, len(samples) / rate, promised / rate)
    try:
        return check(samples), rate, trouble and f"{path}: {trouble}"
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from None


def check_rate(path: str, rate: int) -> None:
    """That a session takes it."""
    low, high = RATES
    if not low <= rate <= high:
        convert = _ffmpeg(path, f"-ar {min(max(rate, low), high)} ")
        raise ValueError(f"{path}: {rate} Hz, sessions have {low} to {high}: {convert}, or shoal-file, which converts")

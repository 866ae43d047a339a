"""A sound file's samples. What ends early is told, what cannot be read is a ValueError that says what helps.

    WAV     the size of its data chunk against what follows it; one that was never ended has 0 there, and sound behind
    Ogg     the last page of a whole one has the end mark, and is there in full; all have checksums
    AIFF    the size of its form against the file's
    AU, W64, RF64, CAF, SPHERE   the sizes in their headers
    others  (FLAC, MP3) as many samples as their header has

And is there more: another recording behind the first of an Ogg, FLAC or MP3 file, sound behind the data chunk of a WAV?

As in clients/file/file_check.c.
"""

from __future__ import annotations

import os
import re
import shlex
import struct
import wave
import zlib
from typing import BinaryIO

import numpy as np

from .resample import MOST_FILE_CHANNELS, RATE, READ_RATES, fits, to_session
from .samples import check

TOLERANCE_S = 0.15              # decoders leave out their delay, encoders round up to frames: less is no loss
UNKNOWN = 0x7fff0000            # who writes to a pipe leaves the most that fits
OGG_TAIL = 65307 + 4            # the longest page
SIZES = (1 << 14, 1 << 8, 1 << 3)   # of a block; one that cannot be read to its end is lost
# what soundfile does not read, by its first bytes: (where, bytes, name)
OTHERS = ((4, b"ftyp", "MP4 (m4a)"), (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"), (0, b"0&\xb2u", "WMA"),
          (0, b"#!AMR", "AMR"), (0, b"\xff\xf1", "AAC"), (0, b"\xff\xf9", "AAC"))

MIRROR = bytes(int(f"{b:08b}"[::-1], 2) for b in range(256))
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
# how its chunks are laid out: first bytes, where they begin, the name of the sound's, size, bytes before the content, alignment
CHUNKS = ((b"riff\x2e\x91", 40, W64_DATA, "<Q", 24, 8), (b"RF64", 12, b"data", "<I", 8, 2),
          (b"caff", 8, b"data", ">Q", 12, 1))

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


def _is_sound(data: bytes) -> bool:
    """What follows the data chunk of a WAV is more of it: no chunk, no padding."""
    names = (data[:4], data[1:5])
    return (len(data) >= 256 and not any(all(32 <= c < 127 for c in name) for name in names)
            and len(data) - data.count(0) > len(data) // 8)


def _has_more(f: BinaryIO, at: int, end: int) -> bool:
    """Behind that byte; it may begin with a pause."""
    f.seek(at)
    data = f.read(4096)
    if len(data) == 4096 and not any(data):
        f.seek(at + (end - at) // 2)
        data = f.read(4096)
    return _is_sound(data)


def _more(decoded: float) -> str:
    return (f"more sound follows the {decoded:.2f} s that could be read, which the header knows nothing of (several recordings "
            "in one file?): take it apart, or try to convert it with ffmpeg")


def _wav_trouble(f: BinaryIO, end: int, decoded: float) -> str:
    size, there, second = _data_chunk(f, end)
    if 0 < size < there and _has_more(f, end - there + size, end):
        return _more(decoded)
    if size == 0 and there and second and not _is_chunk(f, there):
        return (f"its header says that it has no sound, but {there / second:.2f} s follow (a recording that was not ended?): "
                f"{_ffmpeg(f.name)} makes it whole")
    return _cut(decoded, decoded * size / there) if 0 < there < size < UNKNOWN else ""


def _promise(f: BinaryIO) -> int:
    """Where the sound of an AU, W64, RF64, CAF or SPHERE file ends by its header, in bytes; 0: it does not say."""
    f.seek(0)
    head = f.read(1 << 16)
    if head[:4] in (b".snd", b"dns."):
        at, size = struct.unpack(">II" if head[:4] == b".snd" else "<II", head[4:12])
        return at + size if 0 < size < UNKNOWN else 0
    if head[:16] == b"NIST_1A\n   1024\n":
        fields = dict(re.findall(rb"\n(sample_count|sample_n_bytes|channel_count) -i (\d+)", head[:1024]))
        each = int(fields.get(b"sample_n_bytes", 0)) * int(fields.get(b"channel_count", 1))
        return 1024 + int(fields.get(b"sample_count", 0)) * each if each else 0
    kind = next((k for k in CHUNKS if head[:len(k[0])] == k[0]), None)
    if not kind or len(head) < 48:
        return 0
    _, at, name, number, before, step = kind
    while at + before <= len(head):
        size = struct.unpack_from(number, head, at + len(name))[0]
        body = size - (before if name == W64_DATA else 0)
        if head[at:at + len(name)] == name:
            body = struct.unpack_from("<Q", head, 28)[0] if head[:4] == b"RF64" else body
            return at + before + body if 0 < body < 1 << 40 else 0
        if size > len(head):
            break
        at += before + -(-body // step) * step
    return 0


def _cut_bytes(f: BinaryIO, end: int, decoded: float) -> str:
    promise = _promise(f)
    return _cut(decoded, decoded * promise / end) or "the file is cut off" if promise > end else ""


def _has_second(f: BinaryIO, magic: bytes) -> bool:
    """Behind the first bytes of the file."""
    f.seek(len(magic))
    last = b""
    while block := f.read(1 << 20):
        if magic in last + block:
            return True
        last = block[-len(magic):]
    return False


def _is_mp3_frame(h: bytes) -> bool:
    return len(h) >= 4 and h[0] == 0xff and h[1] & 0xe6 == 0xe2 and h[2] >> 4 != 15 and h[2] & 0x0c != 0x0c


def _has_second_mp3(f: BinaryIO) -> bool:
    """Behind the end that the first frame tells, which holds no sound but a tag ("Xing", "Info")."""
    f.seek(0)
    tag = f.read(10)
    at = 10 + sum(b << s for b, s in zip(tag[6:], (21, 14, 7, 0))) if tag[:3] == b"ID3" else 0
    f.seek(at)
    head = f.read(4096)
    first = next((i for i in range(len(head) - 52) if _is_mp3_frame(head[i:i + 4])), len(head))
    frame = head[first:]
    mono, mpeg1 = (frame[3] & 0xc0 == 0xc0, frame[1] & 0x18 == 0x18) if frame else (False, False)
    says = frame[4 + ((17 if mono else 32) if mpeg1 else 9 if mono else 17):]
    if says[:4] not in (b"Xing", b"Info") or says[7] & 3 != 3:
        return False
    f.seek(at + first + int.from_bytes(says[12:16], "big"))
    behind = f.read(132)
    behind = behind[128:] if behind[:3] == b"TAG" else behind       # ID3v1, of the one before
    return behind[:3] == b"ID3" or _is_mp3_frame(behind)


def _sum(page: bytes) -> int:
    """An Ogg page's checksum: zlib's, with the bits of all bytes and of itself in the other order, and no complements."""
    mirrored = zlib.crc32((page[:22] + bytes(4) + page[26:]).translate(MIRROR), 0xffffffff) ^ 0xffffffff
    return int(f"{mirrored:032b}"[::-1], 2)


def _pages(f: BinaryIO) -> tuple[bool, bool]:
    """(a stream begins behind one that has begun to sound, a page is damaged)"""
    sounding = ended = lost = False
    f.seek(0)
    while len(head := f.read(27)) == 27 and head[:4] == b"OggS" and not lost:
        if head[5] & 2 and sounding:
            return True, False
        page = head + f.read(head[26])
        page += f.read(sum(page[27:]))
        sounding, ended = sounding or not head[5] & 2, bool(head[5] & 4)
        lost = len(page) == 27 + head[26] + sum(page[27:27 + head[26]]) and _sum(page) != int.from_bytes(page[22:26], "little")
    return False, lost or (len(head) >= 4 and head[:4] != b"OggS" and not ended)


def _ogg_trouble(f: BinaryIO, end: int, decoded: float) -> str:
    later, lost = _pages(f)
    if later:
        return _more(decoded)
    if lost:
        return (f"the file is damaged: {decoded:.2f} s could be read, and some is missing in the middle, so times behind that "
                "are too early")
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
        if head[:4] == b"fLaC" and _has_second(f, b"fLaC\0\0\0\x22"):
            return _more(decoded)
        if (head[:3] == b"ID3" or _is_mp3_frame(head[:4])) and _has_second_mp3(f):
            return _more(decoded)
        if cut := _cut_bytes(f, end, decoded):
            return cut
    return _cut(decoded, promised)


def load(path: str) -> tuple[np.ndarray, int, str]:
    """(samples, rate, what is wrong with the file although it could be read, or ""). As a session takes them: of a rate
    or with channels that none takes, their mean at 16 kHz."""
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path}: the file is empty")
    with open(path, "rb") as f:
        head = f.read(512)
    promised = 0
    try:
        samples, rate = _wav(path)
    except (wave.Error, EOFError):
        samples, rate, promised = _other(path, head)
    channels = samples.shape[1] if samples.ndim == 2 else 1
    if not READ_RATES[0] <= rate <= READ_RATES[1] or channels > MOST_FILE_CHANNELS:
        raise ValueError(f"{path}: {channels} channels at {rate} Hz; up to {MOST_FILE_CHANNELS} at {READ_RATES[0]} to "
                         f"{READ_RATES[1]} Hz are read: does its header lie?")
    trouble = _trouble(path, head, len(samples) / rate, promised / rate)
    trouble = trouble and f"{path}: {trouble}"
    try:
        if fits(rate, channels):
            return check(samples), rate, trouble
        for channel in samples.T if channels > 1 else [samples]:
            check(channel)
        return to_session(samples, rate), RATE, trouble
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from None

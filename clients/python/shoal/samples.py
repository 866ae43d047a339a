"""Is it audio, what a program hands over? What is not is refused by name, with what helps, before anything of it is
sent or computed: TypeError for another kind of thing, ValueError for shapes and values."""

from __future__ import annotations

import io
from os import PathLike
from typing import Any, Optional

import numpy as np

LOUDEST = 8.0           # 18 dB above full scale: beyond it floats are on another scale, as the server thinks, too
MOST_CHANNELS = 8       # SHOAL_MAX_CHANNELS
RATES = (8000, 48000)
FULL_SCALES = ((16, 1 << 15), (24, 1 << 23), (32, 1 << 31))
DTYPES = {"int32": "divide by 2147483648.0 (by 8388608.0 if they are of 24 bits)",
          "uint8": "(x - 128.0) / 128, if they are samples of 8 bits", "int8": "divide by 128.0"}
VIEWS = {"s16le": "h", "f32le": "f"}    # struct's letters for what a format is made of


def _named(x: Any) -> str:
    name = type(x).__name__
    return f"a{'n' if name[0] in 'aeiouAEIO' else ''} {name}"


def _what_helps(x: Any) -> str:
    if isinstance(x, (str, PathLike)):
        return f"shoal.features({str(x)!r}) reads a file, shoal.blocking.read_audio gives its samples"
    if isinstance(x, io.IOBase) or hasattr(x, "read"):
        return "shoal.features takes the name of a file"
    if isinstance(x, (list, tuple)):
        return "give an array, np.array(x, np.float32) of values in [-1, 1]"
    if isinstance(x, (bytes, bytearray, memoryview)):
        return 'np.frombuffer(x, "<i2") if they are samples of 16 bits; a file goes by its name'
    if x is not None and not np.isscalar(x) and (hasattr(x, "__array__") or hasattr(x, "tobytes")):
        return "give an array, np.asarray(x)"
    return "give an array, float32 in [-1, 1] or int16"


def _no_audio(x: Any) -> TypeError:
    name = "None" if x is None else _named(x)
    return TypeError(f"{name} is no audio: {_what_helps(x)}")


def _check_floats(x: np.ndarray) -> None:
    peak = float(np.maximum(x.max(), -x.min()))
    if not np.isfinite(peak):
        at = int(np.argmin(np.isfinite(x.reshape(-1))))
        raise ValueError(f"sample {at} is {x.reshape(-1)[at]}: audio has no NaN and no infinity")
    if peak > LOUDEST:
        bits, full = next((f for f in FULL_SCALES if peak <= f[1]), FULL_SCALES[-1])
        raise ValueError(f"samples reach {peak:g}, but floats lie in [-1, 1]: divide them by {full}.0 if they are of "
                         f"{bits} bits")


def check(x: Any, channels: Optional[int] = None) -> np.ndarray:
    """Samples as an array: finite floats within LOUDEST or int16, [n] or [n, channels]. channels: how many it must have."""
    if not isinstance(x, np.ndarray):
        raise _no_audio(x)
    if x.dtype.kind != "f" and (x.dtype.kind, x.dtype.itemsize) != ("i", 2):
        helps = DTYPES.get(x.dtype.name, "convert them")
        raise TypeError(f"samples of type {x.dtype}: give float32 in [-1, 1] or int16; {helps}")
    if x.ndim not in (1, 2) or (x.ndim == 2 and not 1 <= x.shape[1] <= MOST_CHANNELS):
        turned = "; x.T turns them" if x.ndim == 2 and 1 <= x.shape[0] <= MOST_CHANNELS else ""
        raise ValueError(f"samples of shape {x.shape}: they are [n] or [n, channels], 1 to {MOST_CHANNELS} "
                         f"channels{turned}")
    if channels and x.ndim == 2 and x.shape[1] != channels:
        raise ValueError(f"samples of shape {x.shape} for channels={channels}: give [n, {channels}], or say "
                         f"channels={x.shape[1]}")
    if x.dtype.kind == "f" and x.size:
        _check_floats(x)
    return x


def check_mono(x: Any, first: Optional[int] = None) -> None:
    """Floats of one channel, as the engine hears them. first: how many values are looked at."""
    beginning = x[:first] if isinstance(x, np.ndarray) and x.ndim else x
    if check(beginning).dtype.kind != "f" or x.ndim != 1:
        raise TypeError(f"samples of type {x.dtype} and shape {x.shape}: a stream takes floats, [n], at the model's "
                        "rate; Engine.convert makes them")


def check_bytes(x: Any, format: str) -> bytes:
    """Bytes of the session's format, cut anywhere."""
    if isinstance(x, memoryview) and x.format not in ("B", "b", "c", VIEWS.get(format)):
        raise TypeError(f"a memoryview of {x.format!r} for format {format}: np.asarray(x) are samples, x.cast('B') bytes")
    if not isinstance(x, (bytes, bytearray, memoryview)):
        raise _no_audio(x)
    return bytes(x)


def check_blocks(blocks: Any) -> None:
    """Something that gives blocks one after the other."""
    if isinstance(blocks, np.ndarray):
        raise TypeError("an array is one block: shoal.features for all of it at once, or [x]")
    if isinstance(blocks, (bytes, bytearray, memoryview)):
        raise TypeError(f"{_named(blocks)} is one block: [x]")
    if isinstance(blocks, io.IOBase):
        raise TypeError(f"{_named(blocks)} gives lines, no blocks: iter(lambda: f.read(3200), b'')")
    if isinstance(blocks, (str, PathLike)) or not hasattr(blocks, "__iter__"):
        raise _no_audio(blocks)


def check_format(format: str) -> None:
    """Of a session that arrays are sent to."""
    if format not in VIEWS:
        raise TypeError(f"arrays are for format s16le or f32le, not {format}")


def audio_bytes(x: Any, format: str, channels: Optional[int] = None) -> bytes:
    """Audio as bytes of the format: arrays for s16le or f32le; bytes as they are."""
    if not isinstance(x, np.ndarray):
        return check_bytes(x, format)
    check_format(format)
    check(x, channels)
    if x.dtype.kind == "f":
        if format == "f32le":
            return x.astype("<f4").tobytes()
        return np.clip(np.round(x * 32768.0), -32768, 32767).astype("<i2").tobytes()
    return x.astype("<i2").tobytes() if format == "s16le" else (x / 32768.0).astype("<f4").tobytes()

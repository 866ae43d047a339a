"""The engine itself, without a server: libshoal through ctypes.

The library is found as libshoal.so.0 where the system keeps libraries, in LIBSHOAL, or in the
build folder of the tree that this file lies in.
"""

from __future__ import annotations

import ctypes as C
import os
from typing import Any, Optional

import numpy as np

from .wire import Phone

LAG = 64                                # SHOAL_DECODER_LAG
FRAME_MS = 20
BUILT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../build/engine/.libs/libshoal.so")
FLOATS = C.POINTER(C.c_float)


class EngineError(RuntimeError):
    """What libshoal says; code: one of SHOAL_E*."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Info(C.Structure):
    # the beginning of shoal_model_info; what follows is not used here
    _fields_ = [("name", C.c_char_p), ("sha256", C.c_char_p), ("rate", C.c_int), ("mels", C.c_int),
                ("frame_samples", C.c_int), ("window_extra_samples", C.c_int), ("delay_frames", C.c_int),
                ("dim", C.c_int), ("classes", C.c_int), ("programs", C.c_int), ("depth", C.c_int),
                ("left_frames", C.c_int), ("max_left_frames", C.c_int), ("max_chunk_frames", C.c_int),
                ("decoders", C.c_uint), ("parameters", C.c_size_t), ("labels", C.POINTER(C.c_char_p))]


class _StreamParams(C.Structure):
    _fields_ = [("depth", C.c_int), ("chunk_frames", C.c_int), ("left_frames", C.c_int), ("wake", C.c_int),
                ("program", C.c_int)]


class _Result(C.Structure):
    # all of shoal_result: the library writes it
    _fields_ = [("first_frame", C.c_int64), ("frames", C.c_int), ("depth", C.c_int), ("embedding", FLOATS),
                ("logp", FLOATS), ("hidden", FLOATS), ("mel", FLOATS), ("mel_first_frame", C.c_int64),
                ("mel_frames", C.c_int)]


class _DecoderParams(C.Structure):
    _fields_ = [("lm", C.c_int), ("durations", C.c_int), ("settle_frames", C.c_int),
                ("settle_silence_frames", C.c_int)]


class _Phone(C.Structure):
    _fields_ = [("label", C.c_int), ("first_frame", C.c_int64), ("end_frame", C.c_int64),
                ("confidence", C.c_float)]


def _load(path: Optional[str]) -> Any:
    places = [p for p in (path, os.environ.get("LIBSHOAL")) if p] or ["libshoal.so.0", BUILT]
    errors = []
    for place in places:
        try:
            lib = C.CDLL(place)
        except OSError as e:
            errors.append(str(e))
            continue
        lib.shoal_strerror.restype = C.c_char_p
        lib.shoal_model_get_info.restype = C.POINTER(_Info)
        for name in ("feed",):
            getattr(lib, f"shoal_stream_{name}").restype = C.c_ssize_t
        lib.shoal_pcm_convert.restype = lib.shoal_pcm_drain.restype = C.c_ssize_t
        return lib
    raise OSError("no libshoal: build it (make), or say where it is in LIBSHOAL (" + "; ".join(errors) + ")")


def _floats(a: np.ndarray) -> Any:
    return a.ctypes.data_as(FLOATS)


class Engine:
    """A model. Streams of it share its weights; an Engine and its streams belong to one thread at a time.

    model: a file, or None for the built-in one. lib: a libshoal.so.
    """

    def __init__(self, model: Optional[str] = None, lib: Optional[str] = None) -> None:
        self._c = _load(lib)
        self._model, self._batch = C.c_void_p(), C.c_void_p()
        why = C.create_string_buffer(512)
        code = self._c.shoal_model_open(C.byref(self._model), os.fsencode(model) if model else None, why, 512)
        if code < 0:
            raise EngineError(code, why.value.decode() or self._text(code))
        info = self._c.shoal_model_get_info(self._model).contents
        self.name, self.sha256 = info.name.decode(), info.sha256.decode()
        self.rate, self.depth, self.dim, self.classes = info.rate, info.depth, info.dim, info.classes
        self.left_ms = info.left_frames * FRAME_MS
        self.labels = [info.labels[i].decode() for i in range(info.classes)]
        self._check(self._c.shoal_batch_new(C.byref(self._batch), self._model, info.max_chunk_frames))

    def close(self) -> None:
        self._c.shoal_batch_free(self._batch)
        self._c.shoal_model_close(self._model)
        self._batch, self._model = C.c_void_p(), C.c_void_p()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _text(self, code: int) -> str:
        return self._c.shoal_strerror(code).decode()

    def _check(self, code: int) -> int:
        if code < 0:
            raise EngineError(code, self._text(code))
        return code

    def features(self, audio: np.ndarray, rate: int = 16000, *, depth: Optional[int] = None,
                 chunk_ms: int = 160, left_ms: Optional[int] = None) -> tuple[np.ndarray, np.ndarray]:
        """(log posteriors [frames, classes], embedding [frames, dim]) of samples, float in [-1, 1] or
        int16, [n] or [n, channels], at 8000 to 48000 Hz."""
        with Stream(self, depth, chunk_ms, left_ms) as s:
            parts = s.feed(self.convert(audio, rate)) + s.finish()
        return (np.concatenate([p for p, _ in parts] or [np.zeros((0, self.classes), np.float32)]),
                np.concatenate([e for _, e in parts] or [np.zeros((0, self.dim), np.float32)]))

    def convert(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Samples as the model hears them: float32, mono, at its rate."""
        channels = audio.shape[1] if audio.ndim == 2 else 1
        audio = audio / 32768.0 if audio.dtype == np.int16 else audio
        data = np.ascontiguousarray(audio, "<f4").tobytes()
        pcm, used = C.c_void_p(), C.c_size_t()
        self._check(self._c.shoal_pcm_new(C.byref(pcm), 1, rate, channels))
        out, parts, at = np.empty(16384, np.float32), [], 0
        try:
            while at < len(data):
                n = self._check(self._c.shoal_pcm_convert(
                    pcm, data[at:at + 65536], C.c_size_t(len(data[at:at + 65536])), C.byref(used),
                    _floats(out), C.c_size_t(len(out))))
                parts.append(out[:n].copy())
                at += used.value
            while n := self._check(self._c.shoal_pcm_drain(pcm, _floats(out), C.c_size_t(len(out)))):
                parts.append(out[:n].copy())
        finally:
            self._c.shoal_pcm_free(pcm)
        return np.concatenate(parts or [out[:0]])

    def phones(self, posteriors: np.ndarray, *, lm: bool = True, durations: bool = False) -> list[Phone]:
        """Log posteriors [frames, classes] to timed phones."""
        logp, d = np.ascontiguousarray(posteriors, np.float32), C.c_void_p()
        found, seconds = (_Phone * (len(logp) + LAG))(), FRAME_MS / 1000
        self._check(self._c.shoal_decoder_new(C.byref(d), self._model,
                                              C.byref(_DecoderParams(lm, durations, 0, 0))))
        try:
            n = self._check(self._c.shoal_decoder_run(d, _floats(logp), len(logp), found, len(found)))
            rest = C.byref(found, n * C.sizeof(_Phone))
            n += self._check(self._c.shoal_decoder_flush(d, rest, len(found) - n))
        finally:
            self._c.shoal_decoder_free(d)
        return [Phone(self.labels[p.label], p.first_frame * seconds, p.end_frame * seconds, p.confidence)
                for p in found[:n]]

    def stream(self, *, depth: Optional[int] = None, chunk_ms: int = 160,
               left_ms: Optional[int] = None) -> "Stream":
        """Audio piece by piece."""
        return Stream(self, depth, chunk_ms, left_ms)


class Stream:
    """One client's state. Parts are [(log posteriors, embedding)] of the chunks that became complete."""

    def __init__(self, engine: Engine, depth: Optional[int], chunk_ms: int, left_ms: Optional[int]) -> None:
        if chunk_ms % FRAME_MS or (left_ms or 0) % FRAME_MS:
            raise ValueError(f"chunk_ms and left_ms are multiples of {FRAME_MS}")
        self._e, self._s = engine, C.c_void_p()
        left = engine.left_ms if left_ms is None else left_ms
        params = _StreamParams(depth or engine.depth, chunk_ms // FRAME_MS, left // FRAME_MS, 1, 0)
        engine._check(engine._c.shoal_stream_new(C.byref(self._s), engine._model, C.byref(params)))

    def feed(self, samples: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """float32, mono, at the engine's rate (Engine.convert makes it so)."""
        pcm, parts, at = np.ascontiguousarray(samples, np.float32), [], 0
        while at < len(pcm):
            at += self._e._check(self._e._c.shoal_stream_feed(self._s, _floats(pcm[at:]),
                                                              C.c_size_t(len(pcm) - at)))
            parts += self._run()
        return parts

    def set_depth(self, depth: int) -> None:
        """From the next chunk on."""
        self._e._check(self._e._c.shoal_stream_set_depth(self._s, depth))

    def flush(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """What can be said about the audio so far."""
        self._e._check(self._e._c.shoal_stream_flush(self._s))
        return self._run()

    def finish(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """No more audio: the rest."""
        self._e._check(self._e._c.shoal_stream_finish(self._s))
        return self._run()

    def close(self) -> None:
        self._e._c.shoal_stream_free(self._s)
        self._s = C.c_void_p()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _run(self) -> list[tuple[np.ndarray, np.ndarray]]:
        e, r, parts = self._e, _Result(), []
        while e._check(e._c.shoal_stream_ready(self._s)):
            e._check(e._c.shoal_batch_run(e._batch, C.byref(self._s), 1, C.byref(r)))
            if r.frames:
                parts.append((np.ctypeslib.as_array(r.logp, (r.frames, e.classes)).copy(),
                              np.ctypeslib.as_array(r.embedding, (r.frames, e.dim)).copy()))
        return parts

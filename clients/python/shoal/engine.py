"""The engine itself, without a server: libshoal through ctypes.

Evaluation and training stand on this, too (training/capi.py). The library is found as libshoal.so.0 where
the system keeps libraries, in LIBSHOAL, or in the build folder of the tree that this file lies in.
"""

from __future__ import annotations

import ctypes as C
import os
from typing import Any, Optional, Sequence, TypeVar

import numpy as np

from .samples import RATES, audio_bytes, check, check_mono
from .wire import Phone

LAG = 64                                # SHOAL_DECODER_LAG
EINVAL = -1                             # SHOAL_EINVAL
FRAME_MS = 20
MOST_LOOKED_AT = 1 << 15               # more than any chunk, of what is handed over again from there on
BUILT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../build/engine/.libs/libshoal.so")
FLOATS = C.POINTER(C.c_float)
BACKENDS = ("auto", "openblas", "onednn", "amx", "own")
PRECISIONS = ("fp32", "bf16", "int8", "auto")
MOST_ROOM = 2 ** 31 - 1
CACHES = ("auto", "fp32", "bf16", "fp16", "int8")
WAKES = ("empty", "copy")

_Self = TypeVar("_Self", bound="_Closed")
Rows = tuple[np.ndarray, np.ndarray]    # log posteriors [frames, classes], embedding [frames, dim]


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
                ("decoders", C.c_uint), ("parameters", C.c_size_t), ("labels", C.POINTER(C.c_char_p)),
                ("backend", C.c_char_p), ("kernels", C.c_char_p), ("temperature", C.c_float), ("priors", FLOATS)]


class _ModelParams(C.Structure):
    _fields_ = [("backend", C.c_int), ("precision", C.c_int), ("cache", C.c_int)]


class _Program(C.Structure):
    _fields_ = [("name", C.c_char_p), ("depth", C.c_int)]


class _StreamParams(C.Structure):
    _fields_ = [("depth", C.c_int), ("chunk_frames", C.c_int), ("left_frames", C.c_int), ("wake", C.c_int),
                ("program", C.c_int)]


class _Room(C.Structure):
    _fields_ = [("frames", C.c_int), ("tap_frames", C.c_int), ("hidden_frames", C.c_int)]


class _Result(C.Structure):
    # all of shoal_result: the library writes it
    _fields_ = [("first_frame", C.c_int64), ("frames", C.c_int), ("depth", C.c_int), ("embedding", FLOATS),
                ("logp", FLOATS), ("hidden", FLOATS), ("mel", FLOATS), ("mel_first_frame", C.c_int64),
                ("mel_frames", C.c_int)]


class _DecoderParams(C.Structure):
    _fields_ = [("lm", C.c_int), ("durations", C.c_int), ("settle_frames", C.c_int),
                ("settle_silence_frames", C.c_int)]


class _SmoothParams(C.Structure):
    _fields_ = [("stay", C.c_float), ("scale", C.c_float), ("temperature", C.c_float)]


class _Phone(C.Structure):
    _fields_ = [("label", C.c_int), ("first_frame", C.c_int64), ("end_frame", C.c_int64),
                ("confidence", C.c_float)]


class _Tentative(C.Structure):
    _fields_ = [("phone", _Phone), ("stood_frames", C.c_int)]


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
        lib.shoal_smoother_default_params.restype = _SmoothParams
        for name in ("stream_feed", "pcm_convert", "pcm_drain"):
            getattr(lib, f"shoal_{name}").restype = C.c_ssize_t
        return lib
    raise OSError("no libshoal: build it (make), or say where it is in LIBSHOAL (" + "; ".join(errors) + ")")


def _floats(a: np.ndarray) -> Any:
    return a.ctypes.data_as(FLOATS)


def _index(names: tuple[str, ...], name: str) -> int:
    if name not in names:
        raise ValueError(f"{name!r}: one of {', '.join(names)}")
    return names.index(name)


def _within(what: str, value: Any, low: int, high: int) -> int:
    """A number that the library is given: ctypes would cut off what does not fit."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what} is a whole number, not {value!r}")
    if not low <= value <= high:
        raise EngineError(EINVAL, f"{what} is {low} to {high}, not {value}")
    return int(value)


def _frames(what: str, ms: int, low: int, high: int) -> int:
    """low, high: frames"""
    if _within(what, ms, low * FRAME_MS, high * FRAME_MS) % FRAME_MS:
        raise ValueError(f"{what} is a multiple of {FRAME_MS}, not {ms}")
    return int(ms) // FRAME_MS


def _set(what: str, numbers: Sequence[int], low: int, high: int) -> Any:
    """As the library has sets: bit n - low for n."""
    bits = 0
    for n in numbers:
        bits |= 1 << (_within(what, n, low, high) - low)
    return C.c_uint64(bits)


def _alive(handle: C.c_void_p, engine: "Engine") -> C.c_void_p:
    """The library would read what is not there any more."""
    if not handle.value or not engine._model.value:
        raise ValueError("it is closed, or its engine is")
    return handle


class _Closed:
    """Something of the library's that `with` closes."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Engine(_Closed):
    """A model. Streams of it share its weights; an Engine and its streams belong to one thread at a time.

    model: a file, or None for the built-in one. lib: a libshoal.so. program: one of the model's orders of
    layers by name, None: the first. frames, tap_frames, hidden_frames: how many frames of all streams together
    one run may hold, and how many of the depths and layers beside them; enough for one stream at a time where
    nothing is said.
    """

    def __init__(self, model: Optional[str] = None, lib: Optional[str] = None, *, backend: str = "auto",
                 precision: str = "fp32", cache: str = "auto", program: Optional[str] = None, frames: int = 0,
                 tap_frames: int = 0, hidden_frames: int = 0) -> None:
        self._c = _load(lib)
        self._model, self._batch = C.c_void_p(), C.c_void_p()
        params = _ModelParams(_index(BACKENDS, backend), _index(PRECISIONS, precision), _index(CACHES, cache))
        why = C.create_string_buffer(512)
        code = self._c.shoal_model_open_with(C.byref(self._model), os.fsencode(model) if model else None,
                                             C.byref(params), why, 512)
        if code < 0:
            raise EngineError(code, why.value.decode() or self._text(code))
        info = self._c.shoal_model_get_info(self._model).contents
        self.name, self.sha256 = info.name.decode(), info.sha256.decode()
        self.rate, self.depth, self.dim, self.classes = info.rate, info.depth, info.dim, info.classes
        self._most_left, self._most_chunk = info.max_left_frames, info.max_chunk_frames
        self.left_ms, self.delay_ms = info.left_frames * FRAME_MS, info.delay_frames * FRAME_MS
        self.labels = [info.labels[i].decode() for i in range(info.classes)]
        # share of each class in training; None: the file has none
        self.priors = np.array(info.priors[:info.classes]) if info.priors else None
        self._program = 0
        if program:
            self._program, self.depth = self._find_program(program)
        self._results: Any = ()         # of the last run
        room = _Room(*(_within("room in frames", n, 0, MOST_ROOM)
                       for n in (frames or info.max_chunk_frames, tap_frames, hidden_frames)))
        self._check(self._c.shoal_batch_new_room(C.byref(self._batch), self._model, C.byref(room)))

    def _find_program(self, name: str) -> tuple[int, int]:
        """(number, depth)"""
        info, i = _Program(), 0
        while self._check(self._c.shoal_model_get_program(self._model, i, C.byref(info))) == 0:
            if info.name == name.encode():
                return i, info.depth
            i += 1
        raise AssertionError("unreachable: the library refuses a number too many")

    def close(self) -> None:
        self._c.shoal_batch_free(self._batch)
        self._c.shoal_model_close(self._model)
        self._batch, self._model = C.c_void_p(), C.c_void_p()

    def _text(self, code: int) -> str:
        text: bytes = self._c.shoal_strerror(code)
        return text.decode()

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
        channels = audio.shape[1] if check(audio).ndim == 2 else 1
        rate = _within("rate", rate, *RATES)
        data = audio_bytes(audio, "f32le")
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

    def phones(self, posteriors: np.ndarray, *, lm: bool = True, durations: bool = False, settle_ms: int = 0,
               settle_silence_ms: int = 0) -> list[Phone]:
        """Log posteriors [frames, classes] to timed phones."""
        with self.decoder(lm=lm, durations=durations, settle_ms=settle_ms,
                          settle_silence_ms=settle_silence_ms) as d:
            return d.run(posteriors) + d.flush()

    def decoder(self, *, lm: bool = True, durations: bool = False, settle_ms: int = 0,
                settle_silence_ms: int = 0) -> "Decoder":
        """Phones frame by frame. EngineError where the model has no tables for it."""
        return Decoder(self, lm, durations, settle_ms, settle_silence_ms)

    def smoother(self, **params: float) -> "Smoother":
        """Log posteriors whose argmax does not flicker. params: stay, scale, temperature, where they shall not be
        the model file's own (engine/shoal.h)."""
        return Smoother(self, params)

    def stream(self, *, depth: Optional[int] = None, chunk_ms: int = 160, left_ms: Optional[int] = None,
               wake: str = "copy") -> "Stream":
        """Audio piece by piece. wake: what a layer that wakes up after set_depth remembers, "copy" (of the
        deepest layer awake) or "empty"."""
        return Stream(self, depth, chunk_ms, left_ms, wake)

    def run(self, streams: Sequence["Stream"], depths: Sequence[int] = (), rows: bool = True) -> list[list[Rows]]:
        """A chunk of each, side by side; all of them `ready`. For each its rows at its own depth, then
        at those of `depths`, which Stream.set_taps asked for. rows=False: compute only."""
        if len({id(s) for s in streams}) < len(streams) or any(s._e is not self for s in streams):
            raise ValueError("streams side by side are different ones of this engine")
        handles = (C.c_void_p * len(streams))(*(_alive(s._s, self).value for s in streams))
        results = (_Result * len(streams))()
        self._check(self._c.shoal_batch_run(self._batch, handles, len(streams), results))
        self._results = results
        return [[self._rows(results[n])] + [self._rows(self._tap(n, d)) for d in depths]
                for n in range(len(streams) if rows else 0)]

    def _tap(self, n: int, depth: int) -> _Result:
        tap, depth = _Result(), _within("depth", depth, 1, self.depth)
        self._check(self._c.shoal_batch_get_tap(self._batch, n, depth, C.byref(tap)))
        return tap

    def layer(self, n: int, layer: int) -> np.ndarray:
        """What left a layer itself in the last run, [frames, dim] of its n-th stream; 0: what the first layer
        read. Its own depth's, or one that Stream.set_hidden asked for."""
        r = self._results[_within("stream", n, 0, len(self._results) - 1)]
        if _within("layer", layer, 0, self.depth) != r.depth:
            r = _Result()
            self._check(self._c.shoal_batch_get_hidden(self._batch, n, layer, C.byref(r)))
        return self._copied(r.hidden, r.frames)

    def _logp(self, posteriors: np.ndarray) -> np.ndarray:
        """As the library reads it: [frames, classes], or it would read what is behind."""
        logp = np.ascontiguousarray(posteriors, np.float32)
        if logp.ndim != 2 or logp.shape[1] != self.classes:
            raise ValueError(f"posteriors of shape {np.shape(posteriors)}: they are [frames, {self.classes}]")
        if not (logp < np.inf).all():
            raise ValueError("posteriors with NaN or infinity: they are logarithms of probabilities")
        return logp

    def _copied(self, rows: Any, frames: int) -> np.ndarray:
        if not frames:
            return np.zeros((0, self.dim), np.float32)
        return np.ctypeslib.as_array(rows, (frames, self.dim)).copy()

    def _rows(self, r: _Result) -> Rows:
        if not r.frames:
            return np.zeros((0, self.classes), np.float32), self._copied(None, 0)
        return (np.ctypeslib.as_array(r.logp, (r.frames, self.classes)).copy(),
                self._copied(r.embedding, r.frames))


class Decoder(_Closed):
    """Log posteriors to phones, as they come."""

    def __init__(self, engine: Engine, lm: bool, durations: bool, settle_ms: int, settle_silence_ms: int) -> None:
        self._e, self._d, self._seen = engine, C.c_void_p(), (_Tentative * (LAG + 1))()
        _alive(engine._model, engine)
        params = _DecoderParams(bool(lm), bool(durations), _frames("settle_ms", settle_ms, 0, LAG),
                                _frames("settle_silence_ms", settle_silence_ms, 0, LAG))
        engine._check(engine._c.shoal_decoder_new(C.byref(self._d), engine._model, C.byref(params)))

    def run(self, posteriors: np.ndarray) -> list[Phone]:
        """Of frames [frames, classes] that follow the last ones: what has settled."""
        logp, d = self._e._logp(posteriors), _alive(self._d, self._e)
        out = (_Phone * (len(logp) + LAG))()
        n = self._e._check(self._e._c.shoal_decoder_run(d, _floats(logp), len(logp), out, len(out)))
        return [self._phone(p) for p in out[:n]]

    def tentative(self) -> list[tuple[Phone, int]]:
        """What is not settled, oldest first, and how many ms each has stood: once after each run."""
        n = self._e._check(self._e._c.shoal_decoder_tentative(_alive(self._d, self._e), self._seen))
        return [(self._phone(t.phone), t.stood_frames * FRAME_MS) for t in self._seen[:n]]

    def flush(self) -> list[Phone]:
        """All that was heard, settled."""
        out = (_Phone * LAG)()
        n = self._e._check(self._e._c.shoal_decoder_flush(_alive(self._d, self._e), out, len(out)))
        return [self._phone(p) for p in out[:n]]

    def _phone(self, p: _Phone) -> Phone:
        seconds = FRAME_MS / 1000
        return Phone(self._e.labels[p.label], p.first_frame * seconds, p.end_frame * seconds, p.confidence)

    def close(self) -> None:
        self._e._c.shoal_decoder_free(self._d)
        self._d = C.c_void_p()


class Smoother(_Closed):
    """Log posteriors of frames to those of a path of phones, chunk by chunk. Not for the decoder."""

    def __init__(self, engine: Engine, params: dict[str, float]) -> None:
        self._e, self._s = engine, C.c_void_p()
        all_of_them = engine._c.shoal_smoother_default_params(_alive(engine._model, engine))
        for name, value in params.items():
            _index(tuple(f[0] for f in _SmoothParams._fields_), name)
            setattr(all_of_them, name, value)
        engine._check(engine._c.shoal_smoother_new(C.byref(self._s), engine._model, C.byref(all_of_them)))

    def run(self, posteriors: np.ndarray) -> np.ndarray:
        """Of the frames [frames, classes] of the next chunk."""
        logp, s = self._e._logp(posteriors), _alive(self._s, self._e)
        out = np.empty_like(logp)
        self._e._c.shoal_smoother_run(s, _floats(logp), len(logp), _floats(out))
        return out

    def reset(self) -> None:
        """Other audio follows."""
        self._e._c.shoal_smoother_reset(_alive(self._s, self._e))

    def close(self) -> None:
        self._e._c.shoal_smoother_free(self._s)
        self._s = C.c_void_p()


class Stream(_Closed):
    """One client's state. Parts are [(log posteriors, embedding)] of the chunks that became complete.

    feed, flush and finish compute at once. Many streams side by side: write, and Engine.run of those that
    are `ready`.
    """

    def __init__(self, engine: Engine, depth: Optional[int], chunk_ms: int, left_ms: Optional[int],
                 wake: str = "copy") -> None:
        self._e, self._s = engine, C.c_void_p()
        _alive(engine._model, engine)
        left = engine.left_ms if left_ms is None else left_ms
        depth = _within("depth", engine.depth if depth is None else depth, 1, engine.depth)
        chunk = _frames("chunk_ms", chunk_ms, 1, engine._most_chunk)
        params = _StreamParams(depth, chunk, _frames("left_ms", left, 0, engine._most_left),
                               _index(WAKES, wake), engine._program)
        engine._check(engine._c.shoal_stream_new(C.byref(self._s), engine._model, C.byref(params)))

    @property
    def ready(self) -> bool:
        """A chunk is complete."""
        return self._e._check(self._e._c.shoal_stream_ready(_alive(self._s, self._e))) > 0

    def write(self, samples: np.ndarray) -> int:
        """So many of the samples were taken: fewer than all where a chunk waits to be computed."""
        check_mono(samples, MOST_LOOKED_AT)
        return self._write(np.ascontiguousarray(samples, np.float32))

    def _write(self, pcm: np.ndarray) -> int:
        s = _alive(self._s, self._e)
        return self._e._check(self._e._c.shoal_stream_feed(s, _floats(pcm), C.c_size_t(len(pcm))))

    def feed(self, samples: np.ndarray) -> list[Rows]:
        """float32, mono, at the engine's rate (Engine.convert makes it so)."""
        check_mono(samples)
        pcm, parts, at = np.ascontiguousarray(samples, np.float32), [], 0
        while at < len(pcm):
            at += self._write(pcm[at:])
            parts += self._run()
        return parts

    def set_depth(self, depth: int) -> None:
        """From the next chunk on."""
        depth = _within("depth", depth, 1, self._e.depth)
        self._e._check(self._e._c.shoal_stream_set_depth(_alive(self._s, self._e), depth))

    def set_taps(self, depths: Sequence[int]) -> None:
        """Depths below its own whose rows Engine.run is to give, too; they cost no encoder time."""
        bits = _set("depth", depths, 1, self._e.depth)
        self._e._check(self._e._c.shoal_stream_set_taps(_alive(self._s, self._e), bits))

    def set_hidden(self, layers: Sequence[int]) -> None:
        """Layers below its own depth that Engine.layer is to give, too; 0: what the first one reads."""
        bits = _set("layer", layers, 0, self._e.depth)
        self._e._check(self._e._c.shoal_stream_set_hidden(_alive(self._s, self._e), bits))

    def flush(self) -> list[Rows]:
        """What can be said about the audio so far."""
        self._e._check(self._e._c.shoal_stream_flush(_alive(self._s, self._e)))
        return self._run()

    def finish(self) -> list[Rows]:
        """No more audio: the rest."""
        self.end()
        return self._run()

    def end(self) -> None:
        """No more audio; what is `ready` is not computed yet."""
        self._e._check(self._e._c.shoal_stream_finish(_alive(self._s, self._e)))

    def close(self) -> None:
        self._e._c.shoal_stream_free(self._s)
        self._s = C.c_void_p()

    def _run(self) -> list[Rows]:
        parts = []
        while self.ready:
            rows, = self._e.run([self])[0]
            if len(rows[0]):
                parts.append(rows)
        return parts

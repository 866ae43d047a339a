"""The C engine from Python (ctypes over libshoal.so): for checks and evaluation."""

import ctypes as C
import os
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
LAG = 64


class _Params(C.Structure):
    _fields_ = [("depth", C.c_int), ("chunk_frames", C.c_int), ("left_frames", C.c_int),
                ("wake", C.c_int), ("program", C.c_int)]


class _Result(C.Structure):
    _fields_ = [("first_frame", C.c_int64), ("frames", C.c_int), ("depth", C.c_int),
                ("embedding", C.POINTER(C.c_float)), ("logp", C.POINTER(C.c_float)),
                ("hidden", C.POINTER(C.c_float)), ("mel", C.POINTER(C.c_float)),
                ("mel_first_frame", C.c_int64), ("mel_frames", C.c_int)]


class _Program(C.Structure):
    _fields_ = [("name", C.c_char_p), ("depth", C.c_int)]


class _Phone(C.Structure):
    _fields_ = [("label", C.c_int), ("first_frame", C.c_int64), ("end_frame", C.c_int64),
                ("confidence", C.c_float)]


class _Tentative(C.Structure):
    _fields_ = [("phone", _Phone), ("stood_frames", C.c_int)]


DECODERS = {"lm": (1, 0), "lm_durations": (1, 1), "plain": (0, 0), "durations": (0, 1)}     # lm, durations
BACKENDS, PRECISIONS = ("auto", "openblas", "onednn", "amx", "own"), ("fp32", "bf16", "int8")
CACHES = ("auto", "fp32", "bf16", "fp16", "int8")


def _decoder_params(name, settle=0, silence=0):
    """settle_frames, settle_silence_frames: 0, as late as need be"""
    return (C.c_int * 4)(*DECODERS[name], settle, silence)


class Engine:
    """One model. lib: libshoal.so; model: a file, or None for the built-in one; program: name of one of its.

    decoders: names of DECODERS that the model has tables for; the first is the default.
    """

    def __init__(self, model=None, lib=None, dim=256, classes=40, frames=2048, tap_frames=24576,
                 backend="auto", precision="fp32", cache="auto",
                 program=None):
        lib = lib or os.environ.get("LIBSHOAL") or os.path.join(
            HERE, "../build/engine/.libs/libshoal.so")
        self.c = C.CDLL(lib)
        self.c.shoal_stream_feed.restype = C.c_ssize_t
        self.model, self.batch, why = C.c_void_p(), C.c_void_p(), C.create_string_buffer(300)
        params = (C.c_int * 3)(BACKENDS.index(backend), PRECISIONS.index(precision), CACHES.index(cache))
        self._check(self.c.shoal_model_open_with(
            C.byref(self.model), model.encode() if model else None, params, why, 300), why)
        self._check(self.c.shoal_batch_new_taps(C.byref(self.batch), self.model, frames, tap_frames))
        self.dim, self.classes = dim, classes
        self.program = self._find_program(program) if program else 0
        self.decoders = [name for name in DECODERS if self._has_decoder(name)]

    def close(self):
        self.c.shoal_batch_free(self.batch)
        self.c.shoal_model_close(self.model)

    def _find_program(self, name):
        info, i = _Program(), 0
        while self._check(self.c.shoal_model_get_program(self.model, i, C.byref(info))) == 0:
            if info.name == name.encode():
                return i
            i += 1

    @staticmethod
    def _check(rc, why=None):
        if rc < 0:
            raise RuntimeError(f"libshoal: {rc} {why.value.decode() if why else ''}")
        return rc

    def stream(self, pcm, depth, chunk=16, left=64, slices=None, depths=None, flushes=(),
               wake=1):
        """One clip -> (logp [T, C], embedding [T, D]).

        slices: sizes of the feeds (default: all at once); depths: {feed index: new depth};
        flushes: feed indices after which to flush.
        """
        s = C.c_void_p()
        self._check(self.c.shoal_stream_new(C.byref(s), self.model,
                                            C.byref(_Params(depth, chunk, left, wake, self.program))))
        logp, emb, at = [], [], 0
        pcm = np.ascontiguousarray(pcm, np.float32)
        for i, n in enumerate(slices or [len(pcm)]):
            if depths and i in depths:
                self._check(self.c.shoal_stream_set_depth(s, depths[i]))
            end = min(len(pcm), at + n)
            while at < end:
                at += self._check(self.c.shoal_stream_feed(
                    s, pcm[at:].ctypes.data_as(C.POINTER(C.c_float)), C.c_size_t(end - at)))
                self._run(s, logp, emb)
            if i in flushes:
                self._check(self.c.shoal_stream_flush(s))
                self._run(s, logp, emb)
        self._check(self.c.shoal_stream_finish(s))
        self._run(s, logp, emb)
        self.c.shoal_stream_free(s)
        return np.concatenate(logp), np.concatenate(emb)

    def _run(self, s, logp, emb):
        r = _Result()
        while self.c.shoal_stream_ready(s):
            self._check(self.c.shoal_batch_run(self.batch, C.byref(s), 1, C.byref(r)))
            if r.frames:
                logp.append(np.ctypeslib.as_array(r.logp, (r.frames, self.classes)).copy())
                emb.append(np.ctypeslib.as_array(r.embedding, (r.frames, self.dim)).copy())

    def depths(self, clips, depth=12, chunk=16, left=64):
        """Many clips side by side -> for each clip {d: logp [T, C]} for every d <= depth."""
        self.c.shoal_stream_set_taps.argtypes = [C.c_void_p, C.c_uint64]
        streams = []
        for _ in clips:
            s = C.c_void_p()
            self._check(self.c.shoal_stream_new(C.byref(s), self.model,
                                                C.byref(_Params(depth, chunk, left, 1, self.program))))
            self._check(self.c.shoal_stream_set_taps(s, (1 << (depth - 1)) - 1))
            streams.append(s)
        out = [{d: [] for d in range(1, depth + 1)} for _ in clips]
        at, finished = [0] * len(clips), [False] * len(clips)
        while True:
            for i, s in enumerate(streams):
                if at[i] < len(clips[i]):
                    pcm = clips[i][at[i]:]
                    at[i] += self._check(self.c.shoal_stream_feed(
                        s, pcm.ctypes.data_as(C.POINTER(C.c_float)), C.c_size_t(len(pcm))))
                elif not finished[i] and not self.c.shoal_stream_ready(s):
                    self._check(self.c.shoal_stream_finish(s))
                    finished[i] = True
            ready = [i for i, s in enumerate(streams) if self.c.shoal_stream_ready(s)]
            if not ready and all(finished):
                break
            self._run_many(streams, ready, depth, out)
        for s in streams:
            self.c.shoal_stream_free(s)
        return [{d: np.concatenate(v) for d, v in o.items()} for o in out]

    def _run_many(self, streams, ready, depth, out):
        handles = (C.c_void_p * len(ready))(*(streams[i].value for i in ready))
        results, tap = (_Result * len(ready))(), _Result()
        self._check(self.c.shoal_batch_run(self.batch, handles, len(ready), results))
        for n, i in enumerate(ready):
            for d in range(1, depth + 1):
                r = results[n]
                if d < depth:
                    self._check(self.c.shoal_batch_get_tap(self.batch, n, d, C.byref(tap)))
                    r = tap
                if r.frames:
                    out[i][d].append(np.ctypeslib.as_array(r.logp, (r.frames, self.classes)).copy())

    def cost(self, pcm, depth, streams=8, chunk=16, left=64):
        """CPU seconds a second of audio, `streams` of them side by side at one depth."""
        handles = (C.c_void_p * streams)()
        for i in range(streams):
            s = C.c_void_p()
            self._check(self.c.shoal_stream_new(C.byref(s), self.model,
                                                C.byref(_Params(depth, chunk, left, 1, self.program))))
            handles[i] = s.value
        results, begin = (_Result * streams)(), time.process_time()
        step = chunk * 320
        for at in range(0, len(pcm) - step + 1, step):
            part = np.ascontiguousarray(pcm[at:at + step], np.float32)
            for h in handles:
                self._check(self.c.shoal_stream_feed(
                    C.c_void_p(h), part.ctypes.data_as(C.POINTER(C.c_float)), C.c_size_t(step)))
            while self.c.shoal_stream_ready(C.c_void_p(handles[0])):
                self._check(self.c.shoal_batch_run(self.batch, handles, streams, results))
        spent = time.process_time() - begin
        for h in handles:
            self.c.shoal_stream_free(C.c_void_p(h))
        return spent / (streams * len(pcm) / 16000)

    def _has_decoder(self, name):
        d = C.c_void_p()
        rc = self.c.shoal_decoder_new(C.byref(d), self.model, _decoder_params(name))
        if rc == 0:
            self.c.shoal_decoder_free(d)
        return rc == 0

    def decode(self, logp, decoder=None):
        """[T, C] -> [(label, first frame, end frame, confidence)] by the engine's Viterbi.

        decoder: a name of DECODERS; None: the model's default.
        """
        return [p for p, _ in self.told(logp, decoder, max(1, len(logp)))]

    def told(self, logp, decoder=None, at_a_time=1):
        """The same as [(phone, frames heard when it was given out)], so many frames a call."""
        cuts = range(at_a_time, len(logp) + at_a_time, at_a_time)
        return [(p, heard) for heard, settled, _ in self.settling(logp, cuts, decoder) for p in settled]

    def settling(self, logp, cuts, decoder=None, settle=0, silence=0, tentative=False):
        """Frames [0, T) in calls that end before each of `cuts` and at T, then a flush:
        [(frames heard, phones settled, [(phone, frames it has stood)] shown)] of each call.

        settle, silence: frames, as shoal_decoder_params has them.
        """
        d, out, seen, calls = C.c_void_p(), (_Phone * (len(logp) + LAG))(), (_Tentative * (LAG + 1))(), []
        params = _decoder_params(decoder or self.decoders[0], settle, silence)
        self._check(self.c.shoal_decoder_new(C.byref(d), self.model, params))
        logp, at = np.ascontiguousarray(logp, np.float32), 0

        def plain(p):
            return p.label, p.first_frame, p.end_frame, p.confidence

        for end in [*(c for c in cuts if c < len(logp)), len(logp)]:
            part = logp[at:end]
            n = self._check(self.c.shoal_decoder_run(
                d, part.ctypes.data_as(C.POINTER(C.c_float)), len(part), out, len(out)))
            shown = self.c.shoal_decoder_tentative(d, seen) if tentative else 0
            calls.append((end, [plain(p) for p in out[:n]],
                          [(plain(s.phone), s.stood_frames) for s in seen[:shown]]))
            at = end
        n = self._check(self.c.shoal_decoder_flush(d, out, len(out)))
        self.c.shoal_decoder_free(d)
        return calls + [(len(logp), [plain(p) for p in out[:n]], [])]

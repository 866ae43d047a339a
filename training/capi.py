"""The C engine as training and evaluation ask it: many clips at every depth, one clip in any cut, and what
decoding gives. shoal.Engine (clients/python) is the engine; nothing here knows its library.

Frames are 20 ms, labels are class numbers, samples float32 at the model's rate.
"""

import os
import sys
import time
from contextlib import ExitStack

import numpy as np
import soundfile as sf

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../clients/python"))

import shoal                            # noqa: E402
from shoal.samples import LOUDEST       # noqa: E402, F401: samples above that are refused

DECODERS = {"lm": (1, 0), "lm_durations": (1, 1), "plain": (0, 0), "durations": (0, 1)}     # lm, durations
FRAME_MS = 20


class Engine:
    """One model. lib: libshoal.so; model: a file, or None for the built-in one; program: name of one of its.

    dim, classes: what the model must have; None: whatever it has. decoders: names of DECODERS that the
    model has tables for; the first is the default.
    """

    def __init__(self, model=None, lib=None, dim=None, classes=None, frames=2048, tap_frames=24576, hidden_frames=0,
                 backend="auto", precision="fp32", cache="auto", program=None):
        self.engine = shoal.Engine(model, lib, backend=backend, precision=precision, cache=cache,
                                   program=program, frames=frames, tap_frames=tap_frames,
                                   hidden_frames=hidden_frames)
        for what, wanted, has in (("dim", dim, self.engine.dim), ("classes", classes, self.engine.classes)):
            if wanted not in (None, has):
                raise ValueError(f"{model}: {what} {has}, not {wanted}")
        self.numbers = {label: i for i, label in enumerate(self.engine.labels)}
        self.decoders = [name for name in DECODERS if self._has_decoder(name)]

    def close(self):
        self.engine.close()

    def _stream(self, depth, chunk, left, wake=1):
        return self.engine.stream(depth=depth, chunk_ms=chunk * FRAME_MS, left_ms=left * FRAME_MS,
                                  wake=("empty", "copy")[wake])

    def stream(self, pcm, depth, chunk=16, left=64, slices=None, depths=None, flushes=(), wake=1):
        """One clip -> (logp [T, C], embedding [T, D]).

        slices: sizes of the feeds (default: all at once); depths: {feed index: new depth};
        flushes: feed indices after which to flush.
        """
        with self._stream(depth, chunk, left, wake) as s:
            parts, at = [], 0
            for i, n in enumerate(slices or [len(pcm)]):
                if depths and i in depths:
                    s.set_depth(depths[i])
                parts += s.feed(pcm[at:at + n])
                at += n
                if i in flushes:
                    parts += s.flush()
            parts += s.finish()
        return tuple(np.concatenate(rows) for rows in zip(*parts))

    def hear(self, clips, depth, chunk, group=48, read=None):
        """(clip, {d: logp}) of each clip, `group` of them side by side: like lengths should stand together.

        clips: tuples that begin with a file's path; read: clip -> float32 samples, where that is not all.
        """
        yield from self._heard(clips, group, read, lambda pcm: self.depths(pcm, depth, chunk))

    def hear_layers(self, clips, wanted, depth, chunk, group=48):
        """The same of layers as they are: (clip, (logp, embedding, {n: [T, D]})), see `layers`."""
        yield from self._heard(clips, group, None, lambda pcm: self.layers(pcm, wanted, depth, chunk))

    @staticmethod
    def _heard(clips, group, read, compute):
        for a in range(0, len(clips), group):
            part = clips[a:a + group]
            pcm = [np.ascontiguousarray(read(c) if read else sf.read(c[0], dtype="float32")[0]) for c in part]
            yield from zip(part, compute(pcm))

    def depths(self, clips, depth=12, chunk=16, left=64):
        """Many clips side by side -> for each clip {d: logp [T, C]} for every d <= depth."""
        below, out = range(1, depth), [{d: [] for d in range(1, depth + 1)} for _ in clips]
        for i, _, (own, *taps) in self._together(clips, depth, chunk, left, below):
            for d, (logp, _) in zip((*below, depth), (*taps, own)):
                out[i][d].append(logp)
        return [{d: np.concatenate(v) for d, v in o.items()} for o in out]

    def layers(self, clips, wanted, depth, chunk=16, left=64):
        """Many clips side by side -> for each (logp, embedding, {n: [T, D] what left layer n itself, 0: the
        subsampling}) at that depth. The engine needs hidden_frames for those below it."""
        out = [([], [], {n: [] for n in wanted}) for _ in clips]
        for i, n, ((logp, embedding),) in self._together(clips, depth, chunk, left, hidden=wanted):
            out[i][0].append(logp)
            out[i][1].append(embedding)
            for layer in wanted:
                out[i][2][layer].append(self.engine.layer(n, layer))
        return [(np.concatenate(p), np.concatenate(e), {n: np.concatenate(v) for n, v in h.items()})
                for p, e, h in out]

    def _together(self, clips, depth, chunk, left, below=(), hidden=()):
        """Of every chunk of every clip as it is computed: (clip, place in the run, its rows at depth and `below`)."""
        at, ended = [0] * len(clips), [False] * len(clips)
        with ExitStack() as stack:
            streams = [stack.enter_context(self._stream(depth, chunk, left)) for _ in clips]
            for s in streams:
                s.set_taps(below)
                s.set_hidden([n for n in hidden if n < depth])
            while True:
                for i, s in enumerate(streams):
                    if at[i] < len(clips[i]):
                        at[i] += s.write(clips[i][at[i]:])
                    elif not ended[i] and not s.ready:
                        s.end()
                        ended[i] = True
                ready = [i for i, s in enumerate(streams) if s.ready]
                if not ready and all(ended):
                    break
                for n, (i, rows) in enumerate(zip(ready, self._run(streams, ready, below))):
                    yield i, n, rows

    def _run(self, streams, ready, below):
        return self.engine.run([streams[i] for i in ready], below) if ready else []

    def cost(self, pcm, depth, streams=8, chunk=16, left=64):
        """CPU seconds a second of audio, `streams` of them side by side at one depth."""
        with ExitStack() as stack:
            many = [stack.enter_context(self._stream(depth, chunk, left)) for _ in range(streams)]
            begin, step = time.process_time(), chunk * 320
            for at in range(0, len(pcm) - step + 1, step):
                for s in many:
                    s.write(pcm[at:at + step])
                while many[0].ready:
                    self.engine.run(many, rows=False)
            return (time.process_time() - begin) / (streams * len(pcm) / 16000)

    # ---- posteriors ----

    def smooth(self, logp, chunk=16, **params):
        """[T, C] of one clip -> the same smoothed, in the chunks of its stream.

        params: stay, scale, temperature; those that are not given: the model file's.
        """
        late = self.engine.delay_ms // FRAME_MS
        cuts = range(chunk * (1 + late // chunk) - late, len(logp), chunk)
        with self.engine.smoother(**params) as s:
            return np.concatenate([s.run(part) for part in np.split(logp, cuts)])

    # ---- phones ----

    def _decoder(self, name, settle=0, silence=0):
        lm, durations = DECODERS[name]
        return self.engine.decoder(lm=lm, durations=durations, settle_ms=settle * FRAME_MS,
                                   settle_silence_ms=silence * FRAME_MS)

    def _has_decoder(self, name):
        try:
            with self._decoder(name):
                return True
        except shoal.EngineError:
            return False

    def _plain(self, p):
        return (self.numbers[p.phone], round(p.start * 1000 / FRAME_MS), round(p.end * 1000 / FRAME_MS),
                p.confidence)

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
        calls, at = [], 0
        with self._decoder(decoder or self.decoders[0], settle, silence) as d:
            for end in [*(c for c in cuts if c < len(logp)), len(logp)]:
                settled = [self._plain(p) for p in d.run(logp[at:end])]
                shown = d.tentative() if tentative else []
                calls.append((end, settled, [(self._plain(p), ms // FRAME_MS) for p, ms in shown]))
                at = end
            return calls + [(len(logp), [self._plain(p) for p in d.flush()], [])]

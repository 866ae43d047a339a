#!/usr/bin/env python3
"""check_native.py - clients/python: the library behind shoal.Engine is given nothing that it would read past its end,
or cut off; skipped where Python lacks numpy or websockets"""

from setting import SPEECH, WithEngine, run
import numpy as np
import shoal



class Native(WithEngine):
    def test_samples_are_of_one_channel(self):
        with self.engine.stream(depth=1) as s:
            for call in (s.write, s.feed):
                self.assertRaises((ValueError, TypeError), call, SPEECH[:, None])

    def test_posteriors_of_another_shape_are_not_read(self):
        e, C = self.engine, self.engine.classes
        wrong = [(np.zeros((5, 2)), ValueError, rf"\(5, 2\): they are \[frames, {C}\]"),
                 (np.zeros(C), ValueError, "shape"), (np.zeros((1, 5, C)), ValueError, "shape"),
                 (np.zeros((5, C + 1)), ValueError, "shape"), (np.full((5, C), np.nan), ValueError, "NaN")]
        with e.decoder() as d, e.smoother() as s:
            for x, error, words in wrong:
                for call in (e.phones, d.run, s.run):
                    with self.subTest(words), self.assertRaisesRegex(error, words):
                        call(x)
            self.assertEqual(d.run(np.zeros((0, C))), [])
            self.assertEqual(s.run(np.full((3, C), -np.log(C))).shape, (3, C))

    def test_numbers_are_named(self):
        e, deepest = self.engine, self.engine.depth
        for call, words in [(lambda: e.features(SPEECH, depth=deepest + 1), f"depth is 1 to {deepest}, not {deepest + 1}"),
                            (lambda: e.stream(depth=0), "depth is 1 to"),
                            (lambda: e.stream(depth=2 ** 32 + 1), "depth is 1 to"),
                            (lambda: e.stream(chunk_ms=0), "chunk_ms is 20 to"),
                            (lambda: e.stream(left_ms=10 ** 6), "left_ms is 0 to"),
                            (lambda: e.decoder(settle_ms=10 ** 6), "settle_ms is 0 to 1280"),
                            (lambda: e.features(SPEECH, 96000), "rate is 8000 to 48000, not 96000"),
                            (lambda: shoal.Engine(frames=2 ** 32), "room in frames")]:
            with self.assertRaisesRegex(shoal.EngineError, words):
                call()
        with self.assertRaisesRegex(TypeError, "depth is a whole number, not 3.0"):
            e.stream(depth=3.0)
        with self.assertRaisesRegex(ValueError, "'stays': one of stay, scale"):
            e.smoother(stays=0.5)

    def test_sets_are_sets(self):
        with self.engine.stream(depth=4) as s, shoal.Engine(frames=64, tap_frames=128) as e, e.stream(depth=4) as t:
            for wrong in ([0], [65], [self.engine.depth + 1]):
                with self.assertRaisesRegex(shoal.EngineError, "depth is 1 to"):
                    s.set_taps(wrong)
            with self.assertRaisesRegex(shoal.EngineError, "layer is 0 to"):
                s.set_hidden([64])
            t.set_taps([2, 2])              # once is enough, and never 3
            t.write(SPEECH)
            (own, at_2), = e.run([t], [2])
            self.assertEqual(own[0].shape, at_2[0].shape)
            for streams in ([t, t], [s]):
                with self.assertRaisesRegex(ValueError, "different ones of this engine"):
                    e.run(streams)
            for n, layer in ((-1, 4), (1, 4), (0, 99)):
                with self.assertRaises(shoal.EngineError):
                    e.layer(n, layer)

    def test_what_is_closed_is_not_called(self):
        e = shoal.Engine()
        s, d, m, other = e.stream(), e.decoder(), e.smoother(), e.stream()
        logp = np.zeros((1, e.classes))
        s.close()
        for closed in (lambda: s.write(SPEECH), lambda: s.ready, s.end, s.flush, lambda: s.set_depth(1),
                       lambda: e.run([s])):
            self.assertRaisesRegex(ValueError, "closed", closed)
        e.close()
        for closed in (lambda: other.feed(SPEECH), lambda: d.run(logp), d.tentative, d.flush, lambda: m.run(logp), m.reset,
                       lambda: e.features(SPEECH), e.decoder, e.smoother, lambda: e.run([other])):
            self.assertRaisesRegex(ValueError, "closed", closed)
        for rest in (other, d, m, e):
            rest.close()


if __name__ == "__main__":
    run()

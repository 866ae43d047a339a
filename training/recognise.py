"""PocketSphinx as an aligner (Debian: python3-pocketsphinx, pocketsphinx-en-us).

Only its public interface is used. It gives times to words, not to phones, so the aligner's
"words" are the phones: a dictionary of one-phone words and one grammar a clip, which is the
chain of the phones to align with optional silence between the words.

All times are 10 ms frames from the first sample; the end is exclusive.
"""

import tempfile

from pocketsphinx import Decoder

from phones import DICTIONARY, PHONES

MODEL = "/usr/share/pocketsphinx/model/en-us/"
NOISE = "+NSN+"


def make_decoder(dictionary=DICTIONARY, **options):
    """A Decoder with en-us; silence is kept, so that frames are times."""
    config = Decoder.default_config()
    options = dict(hmm=MODEL + "en-us", dict=dictionary, logfn="/dev/null", remove_silence=False,
                   **options)
    put = {str: config.set_string, float: config.set_float, int: config.set_int,
           bool: config.set_boolean}
    for name, value in options.items():
        put[type(value)]("-" + name, value)
    return Decoder(config)


def decode(decoder, pcm):
    """int16 [N] -> [(word, start, end, posterior)], fillers included."""
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), False, True)
    decoder.end_utt()
    exp = decoder.get_logmath().exp
    return [(s.word, s.start_frame, s.end_frame + 1, min(1.0, exp(s.prob)))
            for s in decoder.seg() or () if s.end_frame >= s.start_frame]


class Aligner:
    """Phones with times for a known chain of words."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".dict")
        self.file.writelines(f"P{p.strip('+')} {p}\n" for p in PHONES + [NOISE])
        self.file.flush()
        self.decoder = make_decoder(self.file.name, fsgusefiller=False, bestpath=False,
                                    beam=1e-80, pbeam=1e-80, wbeam=1e-60)

    def __call__(self, pcm, words):
        """words: [[phone, ...], ...] -> [(phone, start, end, word index; -1: silence)] or None."""
        chain, owner = ["[PSIL]"], []
        for n, word in enumerate(words):
            chain += ["P" + p.strip("+") for p in word] + ["[PSIL]"]
            owner += [n] * len(word)
        self.decoder.set_jsgf_string("chain", "#JSGF V1.0; grammar g; public <g> = "
                                     + " ".join(chain) + ";")
        self.decoder.set_search("chain")
        names = {"P" + p.strip("+"): p for p in PHONES + [NOISE]}
        found = [(names[n], a, b) for n, a, b, _ in decode(self.decoder, pcm) if n in names]
        if sum(p != "SIL" for p, _, _ in found) != len(owner):
            return None                       # no path through the whole chain
        told = iter(owner)
        return [(p, a, b, -1 if p == "SIL" else next(told)) for p, a, b in found]

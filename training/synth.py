#!/usr/bin/env python3
"""Speech synthesisers as speakers whose phone times are known.

    apt-get install flite festival festvox-kdlpc16k festvox-us-slt-hts fortunes pocketsphinx-en-us
    synth.py --out /tmp/shoal-data/synthetic --hours 2
    apt-get install espeak-ng python3-pocketsphinx
    synth.py --out /tmp/shoal-data/unheard --hours 0.3 --unheard      # to judge by: evaluate.py --also
    synth.py --out /tmp/shoal-data/words --unheard --each words.txt   # every line by every such voice: words.py

Writes a folder in the layout of ../../shared/speech (manifest.tsv, align.tsv, FLAC files), which
prepare.py takes with --more. Texts are the training transcripts and sentences of Debian's
`fortunes` in which every word is in CMUdict. Each sentence gets a voice, a rate, a pitch and a
vocal-tract size (the wave resampled: pitch and formants move together, the rate is corrected for
it) and a faint noise floor; all from --seed. --unheard makes a set (split dev) in voices that no
training hears, those of espeak-ng, whose phones are CMUdict's, timed by PocketSphinx.
"""

import argparse
import os
import re
import subprocess
import tempfile
from multiprocessing import Pool

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from corpus import read_manifest, write_corpus
from phones import INDEX, read_dictionary
from texts import fortunes

FLITE = ("rms", "slt", "awb", "kal16")
FESTIVAL = ("ked_diphone", "cmu_us_slt_arctic_hts")
VOICES = ("rms",) * 4 + ("slt",) * 3 + ("awb",) * 3 + ("kal16",) * 2 + FESTIVAL * 2
UNHEARD = [f"en-us+{v}" for v in ("m1", "m3", "m7", "f1", "f2", "f5", "klatt2", "klatt4")]
OTHER_NAMES = {"PAU": "SIL", "H#": "SIL", "AX": "AH", "AXR": "ER", "IX": "IH", "DX": "T", "NX": "N",
               "EL": "L", "EM": "M", "EN": "N"}


def suits(sentence):
    """4 to 20 words."""
    return re.fullmatch(r"[A-Z][A-Za-z' ,;-]*[.!?]", sentence) and 4 <= len(sentence.split()) <= 20


def texts(speech):
    known = read_dictionary()
    read = {r["text"].lower() for r in read_manifest(speech)
            if r["split"] == "train" and len(r["text"].split()) > 2}
    found = sorted(read) + sorted(set(filter(suits, fortunes())))
    return [t for t in found if all(w in known for w in re.findall(r"[a-z']+", t.lower()))]


def segments(pairs):
    """[(name, end in s)] -> [(phone, end)]; 'er r' is one phone in our set."""
    out = []
    for name, end in pairs:
        name = name.upper()
        name = OTHER_NAMES.get(name, name)
        assert name in INDEX, name
        if out and (out[-1][0] == name == "SIL" or (out[-1][0], name) == ("ER", "R")):
            out[-1] = (out[-1][0], end)
        else:
            out.append((name, end))
    return out


def flite(voice, text, stretch, pitch, path):
    told = subprocess.run(["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}",
                           "--setf", f"f0_shift={pitch:.3f}", "-psdur", "-t", text, "-o", path],
                          check=True, capture_output=True, text=True).stdout
    return [(p.rsplit(":", 1)[0], float(p.rsplit(":", 1)[1])) for p in told.split()]


def festival(voice, text, stretch, path):
    script = f"""
        (voice_{voice})
        (Parameter.set 'Duration_Stretch {stretch:.3f})
        (set! u (utt.synth (Utterance Text "{text}")))
        (mapcar (lambda (s) (format t "%s %f\\n" (item.name s) (item.feat s 'end)))
                (utt.relation.items u 'Segment))
        (utt.save.wave u "{path}" 'riff)"""
    told = subprocess.run(["festival", "--pipe"], input=script, check=True, capture_output=True,
                          text=True).stdout
    return [(a, float(b)) for a, b in re.findall(r"^(\S+) ([\d.]+)$", told, flags=re.M)]


def espeak(voice, text, stretch, pitch, path):
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(round(150 / stretch)), "-p", str(round(50 * pitch)),
                    "-w", path, text], check=True, capture_output=True)


def aligned(pcm, text, tools={}):
    """[(phone, start, end)] of CMUdict's phones for the words; None if no path fits."""
    from recognise import Aligner
    if not tools:
        tools.update(aligner=Aligner(), dictionary=read_dictionary())
    words = [tools["dictionary"][w] for w in re.findall(r"[a-z']+", text.lower())]
    found = tools["aligner"]((pcm * 32767).astype(np.int16), words)
    return found and [(phone, a, b) for phone, a, b, _ in found]


def speak_unheard(job):
    """As speak(), or None where the aligner finds no path."""
    number, text, folder, seed, *voice = job
    rng = np.random.default_rng((seed, number))
    voice = voice[0] if voice else UNHEARD[rng.integers(len(UNHEARD))]
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        espeak(voice, text, rng.uniform(0.85, 1.15), rng.uniform(0.8, 1.2), f.name)
        pcm, rate = sf.read(f.name, dtype="float32")
    pcm = resample_poly(pcm, 16000 // 50, rate // 50)
    pcm = np.pad(pcm * (0.4 / np.abs(pcm).max()), 3200).astype(np.float32)
    align = aligned(pcm, text)
    return align and keep(f"unheard_{number:05d}", "unheard", "dev", voice, folder, pcm, text, align)


def keep(name, corpus, split, voice, folder, pcm, text, align):
    """Writes the FLAC; (manifest row, alignment)."""
    path = os.path.join("audio", name + ".flac")
    sf.write(os.path.join(folder, path), pcm, 16000)
    return dict(id=name, corpus=corpus, split=split, speaker=voice, path=path,
                seconds=f"{len(pcm) / 16000:.2f}", text=text), align


def speak(job):
    """One sentence -> (manifest row, [(phone, start, end)]), frames of 10 ms; writes the FLAC."""
    number, text, folder, seed = job
    rng = np.random.default_rng((seed, number))
    voice = VOICES[rng.integers(len(VOICES))]
    size = rng.uniform(0.88, 1.18)                    # 1.18: a smaller head
    stretch = size * rng.uniform(0.8, 1.2)
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        if voice in FLITE:
            phones = flite(voice, text, stretch, rng.uniform(0.9, 1.15), f.name)
        else:
            phones = festival(voice, text, stretch, f.name)
        pcm, rate = sf.read(f.name, dtype="float32")
    pcm = resample_poly(pcm, 16000 // 50, round(rate * size / 50)).astype(np.float32)
    size = round(rate * size / 50) * 50 / rate
    pcm *= 0.4 / max(0.05, np.abs(pcm).max())
    pcm += rng.normal(0, 10 ** rng.uniform(-4, -2.7), len(pcm)).astype(np.float32)
    align, start = [], 0
    for phone, end in segments(phones):
        end = round(100 * end / size)
        align.append((phone, start, end))
        start = end
    return keep(f"synth_{number:05d}", "synthetic", "train", voice, folder, pcm, text, align)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--speech", default="../../shared/speech", help="whose transcripts are spoken")
    ap.add_argument("--out", default="/tmp/shoal-data/synthetic")
    ap.add_argument("--hours", type=float, default=2.0)
    ap.add_argument("--unheard", action="store_true", help="a set to judge by, in other voices")
    ap.add_argument("--each", help="a file, each line of which every voice speaks once (--unheard)")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--jobs", type=int, default=1)
    a = ap.parse_args()
    if a.each and not a.unheard:
        ap.error("--each is of the voices that no training hears: give --unheard")
    os.makedirs(os.path.join(a.out, "audio"), exist_ok=True)
    if a.each:
        with open(a.each) as f:
            lines = [(text, voice) for text in f.read().split("\n") if text for voice in UNHEARD]
        jobs = [(n, text, a.out, a.seed, voice) for n, (text, voice) in enumerate(lines)]
    else:
        lines = texts(a.speech)
        order = np.random.default_rng(a.seed).permutation(len(lines))
        jobs = [(n, lines[i], a.out, a.seed) for n, i in enumerate(order)]
    made, seconds = [], 0.0
    with Pool(a.jobs) as pool:
        for clip in pool.imap(speak_unheard if a.unheard else speak, jobs, chunksize=4):
            if seconds > 3600 * a.hours and not a.each:
                break
            if clip:
                made.append(clip)
                seconds += float(clip[0]["seconds"])
    write_corpus(a.out, made)
    print(f"{len(made)} of {len(lines)} sentences, {seconds / 3600:.2f} h")


if __name__ == "__main__":
    main()

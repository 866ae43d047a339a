"""Rooms and telephones for clean recordings, on the waveform: 16 kHz mono float32 in and out.

The direct sound and the codecs keep their time, so that labels stay where they are.
"""

import io
import shutil
import subprocess

import numpy as np
import soundfile as sf
from scipy.signal import fftconvolve, resample_poly

RATE = 16000


def room(pcm, rng):
    """Convolved with a made-up room: direct sound, then noise that decays by 60 dB in RT60.

    RT60 0.1 .. 0.5 s, reverberation 0 .. 15 dB under the direct sound, starting 2 .. 12 ms
    after it and darker than it (walls swallow treble); the level stays.
    """
    rt60 = rng.uniform(0.1, 0.5)
    t = np.arange(int(rt60 * RATE)) / RATE
    tail = rng.normal(0, 1, len(t)) * 10 ** (-3 * t / rt60)
    tail[:int(rng.uniform(0.002, 0.012) * RATE)] = 0
    treble = rng.uniform(0.2, 0.6)                      # one-pole low-pass
    tail = fftconvolve(tail, (1 - treble) * treble ** np.arange(40))[:len(tail)]
    tail *= 10 ** (rng.uniform(-15, 0) / 20) / np.sqrt((tail ** 2).sum())
    tail[0] = 1.0
    out = fftconvolve(pcm, tail)[:len(pcm)]
    level = np.sqrt(np.mean(pcm ** 2) / max(1e-12, np.mean(out ** 2)))
    return (out * level).astype(np.float32)


def telephone(pcm, subtype):
    """8 kHz and back through a codec of libsndfile: ULAW (G.711) or GSM610."""
    file = io.BytesIO()
    narrow = resample_poly(pcm, 1, 2)
    sf.write(file, np.clip(narrow, -1, 1), RATE // 2, format="WAV", subtype=subtype)
    file.seek(0)
    narrow, _ = sf.read(file, dtype="float32", frames=len(narrow), fill_value=0.0)
    return resample_poly(narrow, 2, 1)[:len(pcm)].astype(np.float32)


def opus(pcm, kbit):
    """Through opus-tools at `kbit` kbit/s; opusdec takes the codec's delay off again."""
    raw = (np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes()
    coded = subprocess.run(["opusenc", "--quiet", "--raw", "--raw-rate", str(RATE), "--raw-chan", "1",
                            "--bitrate", str(kbit), "-", "-"], input=raw, capture_output=True,
                           check=True).stdout
    raw = subprocess.run(["opusdec", "--quiet", "--rate", str(RATE), "-", "-"], input=coded,
                         capture_output=True, check=True).stdout
    out = np.frombuffer(raw[44:] if raw[:4] == b"RIFF" else raw, "<i2").astype(np.float32) / 32768
    return np.pad(out, (0, max(0, len(pcm) - len(out))))[:len(pcm)]


def codec(pcm, rng):
    kind = rng.integers(4)
    if kind < 2:
        return telephone(pcm, ("ULAW", "GSM610")[kind])
    return opus(pcm, int(rng.integers(6, 17)))


def somewhere_else(pcm, rng, rooms=0.3, codecs=0.15):
    """The recording as another place and another line might have given it, or as it is."""
    if rng.random() < rooms:
        pcm = room(pcm, rng)
    if rng.random() < codecs:
        pcm = codec(pcm, rng)
    return pcm


def need_tools():
    for tool in ("opusenc", "opusdec"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is missing: apt-get install opus-tools")

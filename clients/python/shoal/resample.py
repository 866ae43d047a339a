"""Samples at a rate, or with channels, that no session takes: their mean, at 16 kHz. As shoal-file and POST do.

A second at a time, with one more on either side: all that is above the pass band is left out of their spectrum. A second
is a whole number of samples at both rates, whatever the rate.
"""

from __future__ import annotations

import numpy as np

from .samples import MOST_CHANNELS, RATES

RATE = 16000
READ_RATES = (1000, 384000)     # of files; beyond them a header lies
MOST_FILE_CHANNELS = 64
PASS = 0.93                     # of half the lower rate; from there on to half of it the spectrum fades out


def fits(rate: int, channels: int) -> bool:
    """A session takes it as it is."""
    return RATES[0] <= rate <= RATES[1] and channels <= MOST_CHANNELS


def _mono(x: np.ndarray) -> np.ndarray:
    scaled = x / 32768.0 if x.dtype.kind == "i" else x
    return np.asarray(scaled if x.ndim == 1 else scaled.mean(axis=1), np.float64)


def _fade(rate: int) -> np.ndarray:
    """Factors of the frequencies, 1/3 Hz apart, of three seconds."""
    limit = min(rate, RATE) / 2
    at = np.arange(3 * rate // 2 + 1) / 3
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((at / limit - PASS) / (1 - PASS), 0, 1))


def to_session(x: np.ndarray, rate: int) -> np.ndarray:
    """[n] or [n, channels], floats or int16, to float32 [n * 16000 / rate]."""
    mono = _mono(x)
    if rate == RATE:
        return mono.astype(np.float32)
    seconds = -(-len(mono) // rate)
    padded = np.concatenate([np.zeros(rate), mono, np.zeros((seconds + 1) * rate - len(mono))])
    fade, made = _fade(rate), np.empty(seconds * RATE, np.float32)
    for s in range(seconds):
        spectrum = np.fft.rfft(padded[s * rate:(s + 3) * rate]) * fade
        made[s * RATE:(s + 1) * RATE] = np.fft.irfft(spectrum[:3 * RATE // 2 + 1], 3 * RATE)[RATE:2 * RATE] * (RATE / rate)
    return made[:round(len(mono) * RATE / rate)]

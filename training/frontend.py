"""Log-mel front-end in numpy: the oracle of engine/front/mel.c.

16 kHz mono in [-1, 1] -> log-mel [F, 80]. Frame f reads samples [160 f, 160 f + 400): a
periodic Hann window, 512-point power spectrum, 80 triangular filters on the HTK mel scale
from 20 Hz to 7600 Hz, then log(power + 1e-6). The constant sits near the power of 16-bit
quantisation noise, so digital silence looks like a quiet room, not like minus infinity.
"""

import numpy as np

RATE, WINDOW, HOP, FFT, MELS = 16000, 400, 160, 512, 80
LOW_HZ, HIGH_HZ, FLOOR = 20.0, 7600.0, 1e-6


def hann():
    """Periodic Hann window, [400] float32."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def mel_of_hz(f):
    """HTK's mel scale."""
    return 2595.0 * np.log10(1.0 + f / 700.0)


def hz_of_mel(m):
    return 700.0 * (10.0 ** (m / 2595.0) - 1.0)


def mel_filters():
    """Triangular filters [80, 257] float32, unit peak, evenly spaced in mel."""
    edges = np.linspace(mel_of_hz(LOW_HZ), mel_of_hz(HIGH_HZ), MELS + 2)
    m = mel_of_hz(np.arange(FFT // 2 + 1) * RATE / FFT)[None, :]
    lo, mid, hi = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0.0, np.minimum((m - lo) / (mid - lo), (hi - m) / (hi - mid))).astype(np.float32)


def log_mel(pcm):
    """float [N] -> float32 [F, 80], F = floor((N - 400) / 160) + 1 (0 if N < 400)."""
    pcm = np.ascontiguousarray(pcm, dtype=np.float32)
    if len(pcm) < WINDOW:
        return np.zeros((0, MELS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(pcm, WINDOW)[::HOP]
    spec = np.fft.rfft(frames * hann(), FFT, axis=1)
    power = (spec.real ** 2 + spec.imag ** 2).astype(np.float32)
    return np.log(power @ mel_filters().T + FLOOR).astype(np.float32)

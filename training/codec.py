#!/usr/bin/env python3
"""What Opus costs in phone errors: development clips as they are and through the codec. Paired bootstrap over speakers.

    codec.py --speech ../../shared/speech --report ../docs/performance.md      # the table between its markers there

A clip is encoded as shoal-mic --opus does it (16 kHz, voice, frames of 20 ms, the last one filled up with zeros) and decoded as
the daemon does (the floats of libopus at 16 kHz, nothing taken off for the encoder's look-ahead of 6.5 ms), then streamed
through the C engine as it would have been without, and its phones settle as a session's do. Packets are counted with the bytes
that a WebSocket adds to each. Needs libopus.so.0.
"""

import argparse
import ctypes as C
import os
import signal
import sys
from functools import cache
from multiprocessing import Pool

import numpy as np
import soundfile as sf

from capi import FRAME_MS, Engine
from corpus import dev_clips
from paired import by_speaker, compared
from phones import edits
from report import insert, rows
from settle import DEFAULT, decode

RATE, FRAME, GROUP = 16000, 320, 16
VOIP, SET_BITRATE = 2048, 4002                              # of opus_defines.h
HEADERS = 6                                                 # a client's frame of up to 125 bytes: 2, and 4 of mask
PCM_KBIT = RATE * 16 / 1000


def opus():
    lib = C.CDLL("libopus.so.0")
    for kind in ("encoder", "decoder"):
        getattr(lib, f"opus_{kind}_create").restype = C.c_void_p
    return lib


def packets_of(lib, samples, kbit):
    """Each 20 ms of int16 samples as a packet."""
    whole = np.concatenate([samples, np.zeros(-len(samples) % FRAME, np.int16)])
    error, out = C.c_int(), C.create_string_buffer(1275)
    encoder = C.c_void_p(lib.opus_encoder_create(RATE, 1, VOIP, C.byref(error)))
    assert error.value == 0 and lib.opus_encoder_ctl(encoder, SET_BITRATE, C.c_int(1000 * kbit)) == 0
    packets = []
    for frame in whole.reshape(-1, FRAME):
        n = lib.opus_encode(encoder, np.ascontiguousarray(frame).ctypes.data_as(C.c_void_p), FRAME, out, len(out))
        assert n > 0, n
        packets.append(out.raw[:n])
    lib.opus_encoder_destroy(encoder)
    return packets


def samples_of(lib, packets):
    """What the daemon hears of them: float32."""
    error, out = C.c_int(), np.empty((len(packets), FRAME), np.float32)
    decoder = C.c_void_p(lib.opus_decoder_create(RATE, 1, C.byref(error)))
    assert error.value == 0
    for packet, frame in zip(packets, out):
        assert lib.opus_decode_float(decoder, packet, len(packet), frame.ctypes.data_as(C.c_void_p), FRAME, 0) == FRAME
    lib.opus_decoder_destroy(decoder)
    return out.reshape(-1)


def heard(job):
    """One way of a group of clips: ([(samples)], bytes sent)"""
    lib, clips, kbit = job
    pcm = [sf.read(path, dtype="int16")[0] for path, _ in clips]
    if not kbit:
        return [p / np.float32(32768) for p in pcm], 2 * sum(map(len, pcm))
    coded = [packets_of(lib, p, kbit) for p in pcm]
    return [samples_of(lib, packets) for packets in coded], sum(len(p) + HEADERS for ps in coded for p in ps)


def errors(job):
    """[(path, phones, edits [depth][way])], bytes of each way, samples"""
    lib_path, depths, chunk, ways, clips = job
    engine, lib = engine_of(lib_path), opus()
    sent, length, wrong = np.zeros(len(ways)), 0, []
    refs = [[p for p, _, _ in align if p] for _, align in clips]
    for w, kbit in enumerate(ways):
        pcm, sent[w] = heard((lib, clips, kbit))
        length += 0 if kbit else sum(map(len, pcm))
        wrong.append([[edits(ref, phones(engine, found[d], chunk)) for d in depths]
                      for ref, found in zip(refs, engine.depths(pcm, max(depths), chunk))])
    return ([(path, len(ref), w) for (path, _), ref, w in zip(clips, refs, np.transpose(wrong, (1, 2, 0)))],
            sent, length)


@cache
def engine_of(lib):
    return Engine(lib=lib)


def results(jobs, processes):
    """What `errors` gives of each job. Interrupted (Ctrl-C): of those that are done."""
    done = []
    with Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            for one in pool.imap_unordered(errors, jobs):
                done.append(one)
                print(f"\r{len(done)} of {len(jobs)} groups of clips", end="", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("\ninterrupted: what is done", file=sys.stderr)
    return done


def phones(engine, logp, chunk):
    return [p[0] for _, settled, _ in decode(engine, logp, chunk, DEFAULT) for p in settled]


def lines(speech, counted, depths, ways, kbit):
    """Rows of the table: each way at each depth against PCM, which is the last way."""
    for i, depth in enumerate(depths):
        sums = by_speaker(speech, [(path, n, wrong[i]) for path, n, wrong in counted])
        for way, real, (per, less, low, high) in zip(ways, kbit, compared(sums)):
            name = f"Opus, {way} kbit/s" if way else "PCM"
            yield [depth, name, f"{real:.1f}", f"{100 * real / PCM_KBIT:.1f} %", f"{per:.2f}",
                   f"{less:+.2f} [{low:+.2f}, {high:+.2f}]" if way else "-"]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--depths", type=int, nargs="*", default=[6])
    ap.add_argument("--chunk", type=int, default=160, help="ms")
    ap.add_argument("--kbit", type=int, nargs="*", default=[16, 24, 32])
    ap.add_argument("--limit", type=int, default=0, help="about so many clips; 0: all")
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--lib")
    ap.add_argument("--report", help="a document with markers for the table; else standard output")
    a = ap.parse_args()
    ways, clips = [*a.kbit, 0], dev_clips(a.speech, a.limit)
    groups = -(-len(clips) // GROUP)        # each is spread over all clips, so that some of them stand for all
    done = results([(a.lib, a.depths, a.chunk // FRAME_MS, ways, clips[j::groups]) for j in range(groups)], a.jobs)
    counted, sent, samples = (sum((d[i] for d in done[1:]), done[0][i]) for i in range(3))
    kbit = 8 * sent / (samples / RATE) / 1000
    sums = by_speaker(a.speech, [(path, n, wrong[0]) for path, n, wrong in counted])
    text = (f"`training/codec.py --depths {' '.join(map(str, a.depths))} --chunk {a.chunk} --kbit "
            f"{' '.join(map(str, a.kbit))}`: {len(counted)} of {len(clips)} clips, "
            f"{sums[:, 0].sum()} phones, {len(sums)} speakers.\n\n")
    text += rows(["depth", "sent as", "kbit/s with headers", "of PCM's", "PER, %", "less that of PCM [95 % of the draws]"],
                 lines(a.speech, counted, a.depths, ways, kbit))
    insert(a.report, "codec.py", text) if a.report else print(text)


if __name__ == "__main__":
    main()

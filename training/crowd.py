"""Many streams side by side through the C engine, for what a core can do (experts.py, reuse.py, compare.py)."""

import subprocess
import time
from contextlib import ExitStack

import numpy as np

from capi import Engine

DEPTH, CHUNK, LEFT = 12, 8, 64


class Crowd:
    """Streams that hear a minute of speech, each from another place on, round and round."""

    def __init__(self, lib, model, precision, pcm, streams, program=None):
        self.engine = Engine(model, lib, precision=precision, frames=streams * CHUNK, tap_frames=0, program=program)
        self.pcm, self.at = pcm, [i * len(pcm) // streams for i in range(streams)]
        self.stack = ExitStack()
        self.streams = [self.stack.enter_context(self.engine.engine.stream(
            depth=DEPTH, chunk_ms=20 * CHUNK, left_ms=20 * LEFT)) for _ in range(streams)]
        for _ in range(LEFT // CHUNK + 1):      # until attention sees all that it may
            self.run()

    def run(self):
        """A chunk of each."""
        for i, s in enumerate(self.streams):
            while not s.ready:
                self.at[i] = (self.at[i] + s.write(self.pcm[self.at[i]:self.at[i] + 320 * CHUNK])) % len(self.pcm)
        self.engine.engine.run(self.streams, rows=False)

    def streams_per_core(self, seconds):
        begin, runs = time.process_time(), 0
        while time.process_time() - begin < seconds:
            self.run()
            runs += 1
        return len(self.streams) * runs * CHUNK * 0.02 / (time.process_time() - begin)

    def close(self):
        self.stack.close()
        self.engine.close()


def by_turns(crowds, rounds, seconds):
    """[rounds][crowds] streams a core."""
    found = [[c.streams_per_core(seconds) for c in crowds] for _ in range(rounds)]
    for c in crowds:
        c.close()
    return found


def explained(shoald, model):
    """{program: [(arithmetic a frame, bytes that a stream remembers) of the front, each layer, the head]} at full depth."""
    text = subprocess.run([shoald, "--explain", model], capture_output=True, text=True, check=True).stdout
    out = {}
    for part in text.split("\nprogram ")[1:]:
        cells = [line.split() for line in part.splitlines()[2:] if line.strip()]
        out[part.split(",")[0]] = [(int(c[-1]), int(c[-2])) for c in cells if c[0] != "all"]
    return out


def whole(steps):
    """(arithmetic a frame, bytes) of all of them"""
    return tuple(map(sum, zip(*steps)))


def depth_costs(engines, chunks, rounds):
    """{name: [CPU ms a second of audio at depth 1, 2, ..]} of {name: (engine, deepest)}, over so many chunks of 320 ms of noise;
    median of rounds in which all take turns."""
    pcm = np.random.default_rng(1).normal(0, 0.05, 5120 * chunks).astype(np.float32)
    spent = {n: [[] for _ in range(deepest)] for n, (_, deepest) in engines.items()}
    for _ in range(rounds):
        for n, (engine, deepest) in engines.items():
            for d in range(deepest):
                spent[n][d].append(1000 * engine.cost(pcm, d + 1))
    return {n: [float(np.median(t)) for t in s] for n, s in spent.items()}

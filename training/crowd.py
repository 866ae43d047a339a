"""Many streams side by side through the C engine, for what a core can do (experts.py, reuse.py)."""

import re
import subprocess
import time
from contextlib import ExitStack

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
    """{program: (arithmetic a frame of all layers and ends, bytes that a stream remembers)} at full depth."""
    text = subprocess.run([shoald, "--explain", model], capture_output=True, text=True, check=True).stdout
    return {name: (int(flops), int(memory)) for name, memory, flops in
            re.findall(r"^program (\S+), .*?^ *all +(\d+) +(\d+)$", text, re.M | re.S)}

"""The container of a model file (docs/model-format.md) as numpy arrays."""

import json
import math
import struct

import numpy as np


def write_safetensors(path, tensors, metadata):
    """tensors: {name: float32 array}; header padded so that data is aligned to 64 bytes."""
    header, offset = {"__metadata__": metadata}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape),
                        "data_offsets": [offset, offset + t.nbytes]}
        offset += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(np.ascontiguousarray(t, "<f4").tobytes())


def read_safetensors(path):
    """({name: float32 array}, metadata) of a model file."""
    with open(path, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(n)), f.read()
    meta = header.pop("__metadata__")
    out = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        out[name] = np.frombuffer(data[begin:end], "<f4").reshape(t["shape"]).copy()
    return out, meta


# ---- what leaves after a layer of the program (docs/model-format.md, "exit") ----------------

def exit_share(first, power, layer):
    """The entry that makes a mean of the outputs of layers `first` to `layer` (from 1) leave after `layer`,
    in which the n-th of them weighs n^-power."""
    weights = [n ** -power for n in range(1, layer - first + 2)]
    return {"exit": weights[-1] / sum(weights)} if 0 < first < layer else {}


def exit_law(program):
    """(first, power) of a whole program made so; (0, 0.0): every layer's output leaves as it is."""
    first = next((i for i, layer in enumerate(program) if "exit" in layer), 0)
    share = program[first]["exit"] if first else 0.5
    return first, round(math.log2(1 / share - 1), 6)


def exit_weights(program):
    """What each layer's output weighs in what leaves after the last; they sum to 1."""
    weights = []
    for share in (e.get("exit", 1.0) for e in program):
        weights = [w * (1 - share) for w in weights] + [share]
    return weights

"""Model files (docs/model-format.md) as numpy arrays: the container, its types, the checksum."""

import json
import math
import struct
import zlib

import numpy as np

DTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "int8": "I8"}
NO_SUM = "00000000"     # stands where the checksum's digits will


# ---- types ------------------------------------------------------------------------------------

def to_bf16(t):
    """float32 -> the upper 16 bits of each, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(t, "<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def to_i8(t):
    """[out, in] -> (int8, scale [out] float32): t is about int8 * scale, row by row."""
    scale = np.abs(t).max(1) / np.float32(127)
    scale[scale == 0] = 1
    return np.rint(t / scale[:, None]).clip(-127, 127).astype(np.int8), scale.astype("<f4")


def is_narrowed(name, t):
    """The network's matrices take nearly all the room; what is small or a table stays as it is, and so do
    routers, whose last bits choose."""
    return t.ndim == 2 and name.endswith(".weight") and not name.endswith(".dw.weight") \
        and not name.startswith(("frontend.", "decoder.", "routers."))


def typed(tensors, dtype):
    """{name: float32} -> {name: (type of the file, array)}; I8 tensors bring a `.scale` along."""
    out = {}
    for name, t in tensors.items():
        kind = DTYPES[dtype] if is_narrowed(name, t) else "F32"
        if kind == "I8":
            t, scale = to_i8(t)
            out[name], out[name + ".scale"] = (kind, t), ("F32", scale)
        else:
            out[name] = kind, {"F32": lambda x: np.ascontiguousarray(x, "<f4"),
                               "F16": lambda x: x.astype("<f2"), "BF16": to_bf16}[kind](t)
    return out


def widened(kind, raw, shape, scale):
    """The bytes of a tensor as float32."""
    if kind == "BF16":
        t = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    else:
        t = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2", "I8": "i1"}[kind]).astype("<f4")
    return t.reshape(shape) * scale[:, None] if kind == "I8" else t.reshape(shape)


# ---- the container ----------------------------------------------------------------------------

def summed(data):
    """A file whose metadata says crc32 NO_SUM, with the digits of its checksum there."""
    mark = b'"crc32":"'
    at = data.index(mark + NO_SUM.encode()) + len(mark)
    digits = b"%08x" % zlib.crc32(data)
    out = data[:at] + digits + data[at + 8:]
    assert out.index(digits) == at, "these digits stand elsewhere, too: change the name"
    return out


def check_sum(path, data, digits):
    at = data.index(digits.encode())
    if b"%08x" % zlib.crc32(data[:at] + NO_SUM.encode() + data[at + 8:]) != digits.encode():
        raise SystemExit(f"{path}: the checksum does not fit: the file is damaged")


def write_safetensors(path, tensors, metadata, dtype="f32"):
    """tensors: {name: float32 array}; the header is padded so that data is aligned to 64 bytes."""
    header, offset, tensors = {"__metadata__": metadata}, 0, typed(tensors, dtype)
    for name, (kind, t) in sorted(tensors.items(), key=lambda x: -x[1][1].itemsize):    # wide ones first: all aligned
        header[name] = {"dtype": kind, "shape": list(t.shape), "data_offsets": [offset, offset + t.nbytes]}
        offset += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    data = struct.pack("<Q", len(text)) + text + b"".join(tensors[n][1].tobytes() for n in header if n in tensors)
    with open(path, "wb") as f:
        f.write(summed(data) if metadata.get("crc32") == NO_SUM else data)


def dtype_of(path):
    """Of a file's matrices: a name of DTYPES."""
    with open(path, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
    kinds = {t["dtype"] for name, t in header.items() if name != "__metadata__"} - {"F32"}
    return next((name for name, kind in DTYPES.items() if kind in kinds), "f32")


def read_safetensors(path):
    """({name: float32 array}, metadata) of a file; narrow types widened."""
    with open(path, "rb") as f:
        data = f.read()
    n, = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8:8 + n]), data[8 + n:]
    meta = header.pop("__metadata__")
    if "crc32" in meta:
        check_sum(path, data, meta["crc32"])
    part = {name: body[slice(*t["data_offsets"])] for name, t in header.items()}
    scales = {name + ".scale": name for name, t in header.items() if t["dtype"] == "I8"}
    scale = {of: np.frombuffer(part[name], "<f4") for name, of in scales.items()}
    return {name: widened(t["dtype"], part[name], t["shape"], scale.get(name))
            for name, t in header.items() if name not in scales}, meta


# ---- the model --------------------------------------------------------------------------------

def metadata_of(config):
    """Metadata of a model file of format 2."""
    return {"crc32": NO_SUM, "shoal": json.dumps({**config, "format": 2})}


def as_format_two(config):
    """The configuration of either format as one of format 2."""
    c = dict(config)
    if "program" in c:
        c["programs"] = [{"name": "base", "layers": c.pop("program")}]
    return {**c, "format": 2}


def read_model(path):
    """(configuration, {name: float32 array}) as one computes with them: `program` is the first one's
    layers, and the head has the temperature in it."""
    tensors, meta = read_safetensors(path)
    config = as_format_two(json.loads(meta["shoal"]))
    config["program"] = config["programs"][0]["layers"]
    temperature = config.pop("temperature", 1.0)
    if temperature != 1.0:
        for name in ("head.weight", "head.bias"):
            tensors[name] = tensors[name] / np.float32(temperature)
    return config, tensors


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


def resourced(entry, i, numbers):
    """Entry i of a program of which these remain: it reads its attention map from where that layer stands then."""
    if "source" not in entry:
        return entry
    if entry["source"] not in numbers:
        raise SystemExit(f"entry {i} reads the attention map of entry {entry['source']}, which would go")
    return {**entry, "source": numbers.index(entry["source"])}


def remaining(program, numbers):
    """These entries (from 0) of a program; those that stay in the mean that leaves weigh there as they did beside each other."""
    out, sum_ = [], 0.0
    for i, weight in ((i, exit_weights(program)[i]) for i in numbers):
        entry = {k: v for k, v in program[i].items() if k != "exit"}
        entry = resourced(entry, i, numbers)
        sum_ += weight
        out.append({**entry, "exit": weight / sum_} if 0 < weight < sum_ else entry)
    return out

#!/usr/bin/env python3
"""Entries of format 2 for corpus/model, out of its `micro` of format 1 (needs numpy).

    model_corpus.py         # writes corpus/model/two-*
"""

import copy
import json
import os
import re
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../training"))
from modelfile import NO_SUM, as_format_two, metadata_of, read_safetensors, summed, write_safetensors    # noqa: E402

CORPUS = os.path.join(HERE, "corpus/model")
TENSORS, META = read_safetensors(os.path.join(CORPUS, "micro"))
CONFIG = as_format_two(json.loads(META["shoal"]))
LAYERS = CONFIG["programs"][0]["layers"]


def write(name, tensors=None, dtype="f32", edit=None, damage=None, **changes):
    """edit, damage: (bytes to find, bytes to put), before and after the checksum is made."""
    path = os.path.join(CORPUS, "two-" + name)
    write_safetensors(path, {**TENSORS, **(tensors or {})}, metadata_of({**copy.deepcopy(CONFIG), **changes}), dtype)
    with open(path, "rb") as f:
        data = f.read()
    for find, put in filter(None, (edit, damage)):
        assert find in data, name
        data = data.replace(find, put, 1)
    with open(path, "wb") as f:
        f.write(summed(re.sub(rb'"crc32":"........', b'"crc32":"' + NO_SUM.encode(), data)) if edit else data)


def program(name, layers=LAYERS):
    return {"name": name, "layers": layers}


def main():
    c = CONFIG["classes"]
    for dtype in ("f32", "f16", "bf16", "int8"):
        write("micro-" + dtype, dtype=dtype)
    write("programs", programs=[program("base"), program("pruned-1", LAYERS[:1]), program("twice", 2 * LAYERS)])
    write("temperature", temperature=1.7)
    write("priors", {"head.priors": np.full(c, 1 / c, np.float32)})
    write("bad-checksum", damage=(b'"crc32":"', b'"crc32":"x'))
    write("no-checksum", damage=(b'"crc32"', b'"crc33"'))
    write("flipped-weight", damage=(TENSORS["head.weight"].tobytes()[:8], b"\0\0\0\0\0\0\0\0"))
    write("bad-dtype", edit=(b'"dtype":"F32"', b'"dtype":"U32"'))
    write("i8-vector", edit=(b'"dtype":"F32"', b'"dtype":"I8" '))
    write("i8-without-scale", dtype="int8", edit=(b"head.weight.scale", b"head.weight.scole"))
    write("format-3", edit=(b'\\"format\\": 2', b'\\"format\\": 3'))
    write("program-twice", programs=[program("base"), program("base")])
    write("program-nameless", programs=[{"layers": LAYERS}])
    write("program-empty", programs=[program("base"), program("none", [])])
    write("program-unknown-op", programs=[program("base"), program("mimic", [{**LAYERS[0], "op": "mimic_linear"}])])
    write("program-of-format-1", program=LAYERS)
    write("no-programs", programs=[])
    write("temperature-0", temperature=0)
    write("priors-negative", {"head.priors": np.full(c, -1 / c, np.float32)})


if __name__ == "__main__":
    main()

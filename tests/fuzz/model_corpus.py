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
    """tensors: in place of micro's, None: none. edit, damage: (bytes to find, to put), before and after the checksum is made."""
    path = os.path.join(CORPUS, "two-" + name)
    tensors = {k: v for k, v in {**TENSORS, **(tensors or {})}.items() if v is not None}
    write_safetensors(path, tensors, metadata_of({**copy.deepcopy(CONFIG), **changes}), dtype)
    with open(path, "rb") as f:
        data = f.read()
    for find, put in filter(None, (edit, damage)):
        assert find in data, name
        data = data.replace(find, put, 1)
    with open(path, "wb") as f:
        f.write(summed(re.sub(rb'"crc32":"........', b'"crc32":"' + NO_SUM.encode(), data)) if edit else data)


def program(name, layers=LAYERS):
    return {"name": name, "layers": layers}


def experts(name, more=None, count=2, **entry):
    """Two banks of experts in place of micro's second feed-forward module, which has to go for that."""
    names = [n for n in TENSORS if n.startswith("blocks.0.ffn2.")]
    bank = {n.replace("blocks.0.ffn2", f"experts.{b}.{e}"): TENSORS[n] * (1 + b + e)
            for n in names for b in range(2) for e in range(2)}
    d = CONFIG["dim"]
    routers = {f"routers.0.{n}": np.resize(np.float32([0.7, -0.3, 0.2]), shape)
               for n, shape in (("weight", (2, d)), ("bias", 2))}
    layers = [{**LAYERS[0], "op": "experts", "experts": i % 2, "router": 0, "top": 1 + i % 2, **entry} for i in range(4)]
    kept = {n: TENSORS.pop(n) for n in names}
    write(name, {**bank, **routers, **(more or {})}, expert_banks=2, experts=count, routers=1,
          programs=[program("base", layers), program("sure", [{**x, "weights": "renormalised"} for x in layers])])
    TENSORS.update(kept)


def mimics(name, widths=(3, 5), more=None, **entry):
    """A linear mimic before a transformer in the place of micro's layers."""
    d = CONFIG["dim"]
    shapes = {"linear.0.up": (3, d), "linear.0.down": (d, 3), "linear.0.norm": (3,), "transformer.0.att.qkv": (3 * d, d),
              "transformer.0.att.out": (d, d), "transformer.0.ffn.up": (5, d), "transformer.0.ffn.down": (d, 5),
              **{"transformer.0.norm." + n: (d,) for n in ("att", "ffn", "out")}}
    values = np.float32([0.7, -0.3, 0.2])
    pool = {f"mimic_{n}.{what}": np.resize(values, shape if what == "weight" else shape[:1])
            for n, shape in shapes.items() for what in ("weight", "bias")}
    layers = [{"op": "mimic_linear", "mimic": 0}, {"op": "mimic_transformer", "mimic": 0, **entry}, LAYERS[0]]
    write(name, {**pool, **(more or {})}, mimic_linear=widths[:1], mimic_transformer=widths[1:],
          programs=[program("mimic", layers[:2]), program("before", layers)])


def language(name, **tables):
    """A trigram in place of micro's bigram, and what longer contexts say."""
    write(name, {"decoder.trigram": np.tile(TENSORS["decoder.transition"], (3, 1)), "decoder.transition": None,
                 **{f"decoder.{k}": np.float32(v) for k, v in tables.items()}})


def main():
    c = CONFIG["classes"]
    for dtype in ("f32", "f16", "bf16", "int8"):
        write("micro-" + dtype, dtype=dtype)
    write("programs", programs=[program("base"), program("pruned-1", LAYERS[:1]), program("twice", 2 * LAYERS)])
    write("temperature", temperature=1.7)
    write("smoothing", smoothing_stay=0.9, smoothing_scale=1.5, smoothing_temperature=3.0)
    write("smoothing-none", smoothing_stay=0.1)
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
    write("program-unknown-op", programs=[program("base"), program("mimic", [{**LAYERS[0], "op": "mimic"}])])
    write("program-of-format-1", program=LAYERS)
    write("no-programs", programs=[])
    write("temperature-0", temperature=0)
    write("priors-negative", {"head.priors": np.full(c, -1 / c, np.float32)})
    contexts, ngrams = [15, 28], [[27, -1], [29, 0.5], [31, -0.5], [32, 0]]     # 0 before (1, 2), then 1 before those
    language("contexts", contexts=contexts, ngrams=ngrams)
    language("contexts-orphaned", contexts=[15, 30], ngrams=ngrams)
    language("contexts-of-none", contexts=contexts, ngrams=[[27, -1], [33, 0]])
    language("contexts-too-long", contexts=[15, *(3 * n + 1 for n in range(9, 13))], ngrams=ngrams)
    language("contexts-far", contexts=contexts, ngrams=[[k, 3e38] for k, _ in ngrams])
    language("fourgram", fourgram=[[15, -1], [17, 0.5]])
    language("fourgram-descending", fourgram=[[17, -1], [15, 0.5]])
    mimics("mimics")
    mimics("mimics-absent", widths=(3, 5, 5))
    mimics("mimics-no-such", mimic=1)
    mimics("mimics-with-a-block", block=0)
    mimics("mimics-width-0", widths=(0, 5))
    mimics("mimics-too-wide", widths=(3, 8193))
    mimics("mimics-norm-turned", more={"mimic_linear.0.norm.weight": np.zeros((1, 3), np.float32)})
    mimics("mimics-far", more={"mimic_linear.0.down.weight": np.full((CONFIG["dim"], 3), 3e38, np.float32)})
    own, reader = {**LAYERS[0]}, {k: v for k, v in LAYERS[0].items() if k != "attn"}
    reader.update(op="reuse", source=0)
    write("reuse", programs=[program("base", [own, reader, own, {**reader, "source": 2}, reader]), program("own")])
    write("reuse-orphaned", programs=[program("base", [own, {**reader, "source": 1}])])
    write("reuse-of-reuse", programs=[program("base", [own, reader, {**reader, "source": 1}])])
    write("reuse-beyond", programs=[program("base", [own, {**reader, "source": 63}])])
    experts("experts")
    experts("experts-absent", count=3)
    experts("experts-no-such-router", router=1)
    experts("experts-no-such-bank", experts=2)
    experts("experts-three-at-once", top=3)
    experts("experts-orphaned", experts=0)
    experts("experts-router-turned", {"routers.0.weight": np.zeros((CONFIG["dim"], 2), np.float32)})
    experts("experts-no-route", {"routers.0.bias": np.full(2, np.inf, np.float32)})
    experts("experts-far", {"routers.0.weight": np.full((2, CONFIG["dim"]), 3e38, np.float32)})


if __name__ == "__main__":
    main()

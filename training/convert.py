#!/usr/bin/env python3
"""A model file of any format -> format 2 (docs/model-format.md), weights as they are unless --dtype narrows them.

    convert.py old.safetensors new.safetensors
    convert.py base.safetensors small.safetensors --dtype int8
    convert.py base.safetensors more.safetensors --program every-other=0,2,4,6,8,10 --temperature 1.3

A --program takes entries of the first program by number, from 0.
"""

import argparse
import json
import os

from modelfile import DTYPES, as_format_two, dtype_of, metadata_of, read_safetensors, resourced, write_safetensors


def add_program(config, text):
    name, _, numbers = text.partition("=")
    layers, numbers = config["programs"][0]["layers"], [int(i) for i in numbers.split(",")]
    chosen = [dict(resourced(layers[i], i, numbers)) for i in numbers]
    chosen[0].pop("exit", None)         # before the first layer nothing would have left
    config["programs"].append({"name": name, "layers": chosen})


def with_programs(model, out, add, dtype=None, more=()):
    """`model` again as `out`, with what each of `add` does to its configuration; dtype: as it has unless given; more: further
    tensors."""
    tensors, meta = read_safetensors(model)
    config = as_format_two(json.loads(meta["shoal"]))
    for change in add:
        change(config)
    write_safetensors(out, {**tensors, **dict(more)}, metadata_of(config), dtype or dtype_of(model))
    return config


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model")
    ap.add_argument("out")
    ap.add_argument("--dtype", choices=DTYPES, default="f32", help="of the network's matrices in the file")
    ap.add_argument("--program", action="append", default=[], metavar="NAME=N,N...", help="a further program")
    ap.add_argument("--temperature", type=float, help="the engine divides logits by it")
    a = ap.parse_args()
    changes = [lambda c, text=text: add_program(c, text) for text in a.program]
    if a.temperature:
        changes.append(lambda c: c.update(temperature=a.temperature))
    config = with_programs(a.model, a.out, changes, a.dtype)
    print(f"{a.out}: {os.path.getsize(a.out)} bytes, programs {', '.join(p['name'] for p in config['programs'])}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A model of training/export_onnx.py in OpenVINO, single-threaded.

    run_openvino.py MODEL.onnx [--batches 1,4,16,64] [--seconds 2]

As run.js: advances B streams chunk after chunk and prints one line of JSON, for each batch the
streams one core serves (audio seconds / CPU second of the process), from full caches. The same
inputs are bound to the request once, nothing is copied by this file, and only results are looked at.
fp32 is asked for by name: left alone, OpenVINO computes in bf16 where the CPU can.
"""

import argparse
import json
import time

import numpy as np
import openvino as ov

CHUNK_SECONDS, WARM_CHUNKS = 0.16, 4


def measure(core, path, batch, seconds):
    model = core.read_model(path)
    shapes = {i: [batch if d.is_dynamic else d.get_length() for d in i.partial_shape] for i in model.inputs}
    model.reshape({i.any_name: s for i, s in shapes.items()})
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False})
    request, random = compiled.create_infer_request(), np.random.default_rng(1)
    for i in compiled.inputs:
        data = random.standard_normal(tuple(i.shape)).astype(np.float32)
        request.set_tensor(i.any_name, ov.Tensor(np.full_like(data, 100.0) if i.any_name == "position" else data))
    for _ in range(WARM_CHUNKS):
        request.infer()
    begin, runs = time.process_time(), 0
    while not runs or time.process_time() - begin < seconds:
        request.infer()
        runs += 1
    return runs * batch * CHUNK_SECONDS / (time.process_time() - begin)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("model")
    ap.add_argument("--batches", default="1,4,16,64")
    ap.add_argument("--seconds", type=float, default=2)
    a = ap.parse_args()
    core = ov.Core()
    results = [{"batch": b, "cpu": measure(core, a.model, b, a.seconds)} for b in map(int, a.batches.split(","))]
    print(json.dumps({"openvino": ov.__version__, "results": results}))


if __name__ == "__main__":
    main()

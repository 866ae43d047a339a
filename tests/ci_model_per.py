#!/usr/bin/env python3
"""The shipped models on part of the development recordings, through shoald and shoal-file.

    ci_model_per.py BUILD_DIR SPEECH_DIR MODEL_JSON...

The first is the one that is built in, the others lie beside their cards.

Streams every n-th aligned clip of speechocean762 dev (n, depth and chunk as the model card's
JSON says), computes the phone error rate of what comes back, and fails if it is worse than
the one that evaluate.py measured on the same clips when the card was written. Needs only
Python's standard library; its last line is "N passed, N failed".
"""

import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../training"))
from corpus import dev_clips                     # noqa: E402 (standard library only, both)
from phones import PHONES, edits                 # noqa: E402

TOLERANCE = 0.003       # another CPU's kernels round otherwise


def start_daemon(build, folder, model):
    ready = os.path.join(folder, "ready")
    daemon = subprocess.Popen([os.path.join(build, "daemon/shoald"), "--listen", "127.0.0.1:0", *model,
                               "--ready-file", ready, "--log-level", "error"])
    for _ in range(300):
        if os.path.exists(ready) and os.path.getsize(ready):
            return daemon, open(ready).read().strip()
        if daemon.poll() is not None:
            break
        time.sleep(0.1)
    daemon.kill()
    sys.exit("shoald did not start")


def stream(build, address, files, depth, chunk_ms):
    """{path: [phones]}"""
    run = subprocess.run([os.path.join(build, "clients/shoal-file"), "--url",
                          f"ws://{address}?settle_silence_ms=0",     # as the card was measured
                          "--depth", str(depth), "--chunk-ms", str(chunk_ms), "--fast",
                          "--output", "jsonl", *files], stdout=subprocess.PIPE, check=True)
    heard = {f: [] for f in files}
    for line in run.stdout.decode().splitlines():
        item = json.loads(line)
        if "phone" in item:
            heard[item["file"]].append(item["phone"])
    return heard


def as_told(build, speech, card, model):
    """Does the model do as well as its card says?"""
    with open(card) as f:
        told = json.load(f)
    want = told["ci"]
    chosen = [(path, [PHONES[p] for p, _, _ in align if p])
              for path, align in dev_clips(speech)[::want["every"]]]
    with tempfile.TemporaryDirectory() as folder:
        daemon, address = start_daemon(build, folder, model)
        try:
            heard = stream(build, address, [p for p, _ in chosen], want["depth"], want["chunk_ms"])
        finally:
            daemon.terminate()
            daemon.wait(20)
    wrong = sum(edits(ref, [h for h in heard[path] if h != "SIL"]) for path, ref in chosen)
    per = wrong / sum(len(ref) for _, ref in chosen)
    ok = per <= want["per"] + TOLERANCE
    print(f"{told['model']}: PER {per:.4f} on {len(chosen)} clips at depth {want['depth']}, chunk {want['chunk_ms']} ms; "
          f"model card {want['per']:.4f}: {'ok' if ok else 'WORSE'}")
    return ok


def main():
    build, speech, *cards = sys.argv[1:]
    models = [[], *(["--model", os.path.splitext(card)[0] + ".safetensors"] for card in cards[1:])]
    good = sum(as_told(build, speech, *what) for what in zip(cards, models))
    print(f"{good} passed, {len(cards) - good} failed")
    sys.exit(good < len(cards))


if __name__ == "__main__":
    main()

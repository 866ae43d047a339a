#!/usr/bin/env python3
"""build/bench.json: what one run of make bench found.

    record.py --begin       a new record: date, commit, machine; every number that is owed is null
    record.py FILE.json     lay the keys of FILE over it
    record.py --show        the numbers that are owed, as they stand

A number that is null at the end was not measured; the key `missing` says why.
"""

import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.environ.get("SRCDIR") or os.path.join(HERE, "../..")
BUILD = os.environ.get("TOP_BUILDDIR") or os.path.join(SRCDIR, "build")
PATH = os.path.join(BUILD, "bench.json")
OWED = ("ort_ratio_fp32", "ort_ratio_bf16", "ort_ratio_int8", "peak_share_fp32", "peak_share_bf16",
        "peak_share_int8", "daemon_over_engine")


def read():
    try:
        with open(PATH) as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}


def write(record):
    with open(PATH + ".tmp", "w") as f:
        json.dump(record, f, indent=1)
        f.write("\n")
    os.replace(PATH + ".tmp", PATH)


def merge(found):
    write({**read(), **found})


def skip(who, why):
    """Say on the terminal and in the record why who measured nothing."""
    print(f"{who}: skipped: {why}")
    merge({"missing": {**read().get("missing", {}), who: why}})


def first_line(path, pattern):
    with open(path) as f:
        return next((m[1] for l in f if (m := re.match(pattern, l))), "unknown")


def machine():
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True,
                            text=True).stdout.strip()
    return {"date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "commit": commit or "unknown",
            "cpu": first_line("/proc/cpuinfo", r"model name\s*: (.*)"), "cores": os.cpu_count(),
            "load_before": os.getloadavg()[0]}


def heading():
    """The line above measurements: when, what, where. Returns its parts."""
    m = machine()
    print(f"{m['date']} UTC, commit {m['commit']}, {m['cpu']}, {m['cores']} cores, load "
          f"{m['load_before']:.2f}", flush=True)
    return m


def begin():
    write({**heading(), "begun": time.time(), **{k: None for k in OWED}, "missing": {}})


def show():
    record = read()
    for key in OWED:
        value = record.get(key)
        print(f"  {key:22s} {'null' if value is None else format(value, '.3f')}")
    for who, why in record.get("missing", {}).items():
        print(f"  not measured by {who}: {why}")
    print(f"  {time.time() - record['begun']:.0f} s in all; every number: {os.path.relpath(PATH)}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--begin"]:
        begin()
    elif sys.argv[1:] == ["--show"]:
        show()
    elif len(sys.argv) == 2 and not sys.argv[1].startswith("-"):
        with open(sys.argv[1]) as f:
            merge(json.load(f))
    else:
        sys.exit(__doc__)

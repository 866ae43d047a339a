#!/usr/bin/env python3
"""run.py [--full] [--list] [CASE...] - what hostile clients may not do to shoald

Each case_*.py holds functions case_NAME(): one kind of fault that trials found, told over raw
sockets against a shoald of its own, on loopback, bounded in time. Every case is a process, so
that one cannot harm another; a case that does not end within its limit has failed. --full takes
the numbers of the trials (2,200 opens, 5,000 idle sessions, 2,000 silent connections) instead of
those that fit into CI. Environment: SRCDIR, TOP_BUILDDIR, TEST_PATIENCE, SHOALD, SHOAL_FILE
(programs of other builds).

Cases named in `pending` are faults not mended yet: they are run and told, and do not count.

The last line is "N passed, N failed"."""

import concurrent.futures
import glob
import importlib
import os
import re
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

LIMIT_S = 60
FULL_LIMIT_S = 400
JOBS = 3        # most of a case is waiting


def cases():
    """Names in the order of the files."""
    found = []
    for path in sorted(glob.glob(os.path.join(HERE, "case_*.py"))):
        with open(path, encoding="utf-8") as f:
            names = re.findall(r"^def case_(\w+)\(\):", f.read(), re.M)
        found += [(os.path.basename(path)[:-3], name) for name in names]
    return found


def pending():
    with open(os.path.join(HERE, "pending"), encoding="utf-8") as f:
        return {line.split("#")[0].strip() for line in f} - {""}


def run_here(name):
    """The child: one case."""
    module = next(m for m, n in cases() if n == name)
    from daemon import Failed
    try:
        getattr(importlib.import_module(module), "case_" + name)()
    except Failed as failed:
        print(failed)
        return 1
    except Exception as other:      # what a socket says: refused, reset, timed out
        last = traceback.extract_tb(other.__traceback__)[1]
        print(f"{os.path.basename(last.filename)}:{last.lineno}: {type(other).__name__}: {other}")
        return 1
    return 0


def run_apart(name):
    """(name, seconds, words or None)"""
    limit = (FULL_LIMIT_S if os.environ.get("HOSTILE_FULL") else LIMIT_S)
    limit *= float(os.environ.get("TEST_PATIENCE", "1"))
    start = time.monotonic()
    try:
        done = subprocess.run([sys.executable, __file__, "--here", name], timeout=limit,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False)
        words = done.stdout.strip() if done.returncode else None
    except subprocess.TimeoutExpired:
        words = f"did not end within {limit:g} s"
    return name, time.monotonic() - start, words


def main(arguments):
    if arguments[:1] == ["--here"]:
        return run_here(arguments[1])
    if "--full" in arguments:
        os.environ["HOSTILE_FULL"] = "1"
    wanted = [a for a in arguments if not a.startswith("--")]
    known = [name for _, name in cases()]
    strange = [a for a in arguments if a not in ("--full", "--list") and a not in known]
    if strange:
        print(__doc__ if "--help" in strange else f"run.py: no case {strange[0]}; --list prints all",
              file=sys.stderr)
        return 2
    names = [name for name in known if not wanted or name in wanted]
    if "--list" in arguments:
        print(*names, sep="\n")
        return 0
    late = pending()
    failed, waiting = 0, 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for name, seconds, words in pool.map(run_apart, names):
            result = "ok  " if words is None else "wait" if name in late else "FAIL"
            print(f"{result} {seconds:5.1f} s  {name}", flush=True)
            failed += result == "FAIL"
            waiting += result == "wait"
            if words is not None:
                print("       " + words.replace("\n", "\n       "), flush=True)
            elif name in late:
                print("       no longer needed in tests/hostile/pending", flush=True)
    if waiting:
        print(f"{waiting} are still to be mended")
    print(f"{len(names) - failed - waiting} passed, {failed} failed")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""read_metrics.py //HOST:PORT FOLDER - see metrics_page.sh

The text format as Prometheus' manual has it (exposition formats), and the rules of its naming
guide that promtool enforces: HELP and TYPE once and first, counters end in _total and nothing else
does, base units, buckets that add up, one sample a label set."""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request

SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:\w+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')
NOT_BASE = ("_ms", "_us", "_ns", "_milliseconds", "_minutes", "_kb", "_mb", "_percent")
# asked for with a metric of Prometheus' own
OTHERS = {"up"}


def parse(text):
    """{family: type}, {(name, labels): value}; an AssertionError names the line"""
    types, helped, samples = {}, set(), {}
    for line in text.splitlines():
        if line.startswith("# "):
            _, what, name, words = line.split(" ", 3)
            assert name not in (helped if what == "HELP" else types), f"twice: {line}"
            helped.add(name) if what == "HELP" else types.update({name: words})
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        family = name if name in types else re.sub("_(bucket|sum|count)$", "", name)
        assert family in types and family in helped, f"before its TYPE and HELP: {line}"
        assert (name, labels) not in samples, f"twice: {line}"
        samples[name, labels] = float(value)
    return types, samples


def check_names(types):
    for name, kind in types.items():
        assert kind in ("counter", "gauge", "histogram"), (name, kind)
        assert (kind == "counter") == name.endswith("_total"), f"{name} is a {kind}"
        assert not name.endswith(NOT_BASE), f"{name}: not a base unit"
        assert name.startswith(("shoal_", "process_")), name


def check_histograms(types, samples):
    buckets = collections.defaultdict(list)
    for (name, labels), value in samples.items():
        if name.endswith("_bucket"):
            buckets[name[:-len("_bucket")]].append((float(re.search('le="(.*?)"', labels)[1]), value))
    assert set(buckets) == {n for n, kind in types.items() if kind == "histogram"}
    for name, rows in buckets.items():
        assert rows == sorted(rows) and [n for _, n in rows] == sorted(n for _, n in rows), name
        assert rows[-1] == (float("inf"), samples[name + "_count", None]), name


def check_values(samples):
    """One recording of 1.4 s at depth 3 went through."""
    frames = samples["shoal_frames_total", None]
    assert 60 <= frames <= 90, frames
    assert samples["shoal_chunk_depth_sum", None] == 3 * samples["shoal_chunk_depth_count", None] > 0
    assert samples["shoal_sessions_total", 'result="done"'] == 1
    assert 0 <= samples["shoal_load_least_ratio", None] <= 1
    assert samples["process_resident_memory_bytes", None] > 1 << 20
    assert 5 < samples["process_open_fds", None] < samples["process_max_fds", None]
    assert samples["process_threads", None] >= 2
    assert samples["process_cpu_seconds_total", None] > 0


def names_of(query):
    """The metrics that a query of PromQL asks for."""
    return set(re.findall(r"\b(?:shoal|process)_\w+|\bup\b(?=\{)", query))


def check_users(folder, samples):
    known = {name for name, _ in samples} | OTHERS
    with open(os.path.join(folder, "alerts.yml"), encoding="utf-8") as f:
        asked = names_of(f.read())
    with open(os.path.join(folder, "dashboard.json"), encoding="utf-8") as f:
        panels = json.load(f)["panels"]
    for panel in panels:
        for target in panel["targets"]:
            assert names_of(target["expr"]), target
            asked |= names_of(target["expr"])
    assert len(asked) > 20 and asked <= known, f"not on the page: {sorted(asked - known)}"


def main():
    with urllib.request.urlopen(f"http:{sys.argv[1]}/metrics", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer.headers
        text = answer.read().decode()
    types, samples = parse(text)
    check_names(types)
    check_histograms(types, samples)
    check_values(samples)
    check_users(sys.argv[2], samples)
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "metrics"], input=text, text=True, check=True)


main()

"""Figures into documents: tables, and text between a script's markers."""

import json
import os
import re
import textwrap


RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")


def keep(path, found):
    """Figures for other scripts; a list of numbers stands in one line."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    text = re.sub(r"\[\s+([-+.\de,\s]+?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", json.dumps(found, indent=1))
    with open(path, "w") as f:
        f.write(text + "\n")


def insert(path, script, text):
    """Replace what stands between <!-- script begin --> and <!-- script end --> in a document."""
    with open(path) as f:
        document = f.read()
    begin, end = f"<!-- {script} begin -->", f"<!-- {script} end -->"
    if begin not in document or end not in document:
        raise SystemExit(f"{path}: no markers for {script}")
    with open(path, "w") as f:
        f.write(re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n\n{text}\n\n{end}", document, flags=re.S))


def wrap(text):
    return textwrap.fill(text, 98, break_long_words=False, break_on_hyphens=False)


def rows(head, lines):
    """A Markdown table."""
    out = ["| " + " | ".join(map(str, head)) + " |", "| --- " * len(head) + "|"]
    return "\n".join(out + ["| " + " | ".join(map(str, l)) + " |" for l in lines])


def matrix_table(m, corner, extra=None):
    """[N][L] shares as a table of percent; extra: (name, [L]) as a last row."""
    lines = [[i + 1] + [f"{100 * v:.1f}" for v in r] for i, r in enumerate(m)]
    if extra:
        lines.append([extra[0]] + [f"{100 * v:.1f}" for v in extra[1]])
    return rows([corner] + list(range(1, len(m[0]) + 1)), lines)

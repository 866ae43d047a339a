"""Sentences to be spoken, from Debian's packages, without those of what a model is judged on.

    apt-get install fortunes bible-kjv bible-kjv-text

The quotations of fortunes (the books that lm.py does not read) and the clauses of the King James Bible, 3 to 24
words each; standard library only. A sentence that shares five words in a row with a development clip is left out.
"""

import os
import re
import subprocess

from references import FROZEN

FORTUNES = "/usr/share/games/fortunes/"
# sentences of these are spoken (voices.py, synth.py), also to judge by: the language model does not read them
SPOKEN_BOOKS = "literature wisdom science people education politics work".split()
IN_A_ROW = 5
LEAST, MOST = 3, 24


def quotes(book):
    """The quotations of a book of fortunes, each one line, without the line that names the author."""
    with open(os.path.join(FORTUNES, book), encoding="utf-8", errors="replace") as f:
        for quote in re.split(r"\n%\n", f.read()):
            yield re.sub(r"\s+", " ", re.sub(r"(?m)^\s*--.*\Z", "", quote, flags=re.S))


def words(text):
    return re.findall(r"[a-z']+", text.lower())


def in_rows(text):
    w = words(text)
    return {tuple(w[i:i + IN_A_ROW]) for i in range(len(w) - IN_A_ROW + 1)}


def fortunes():
    """Sentences, among them what is none."""
    for book in SPOKEN_BOOKS:
        for quote in quotes(book):
            yield from re.split(r"(?<=[.!?]) ", quote)


def bible():
    """Its clauses, each as a sentence."""
    told = subprocess.run(["bible", "-f", "Gen1:1-Rev22:21"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=True).stdout
    for verse in told.splitlines():
        for clause in re.split(r"(?<=[.!?;:]) ", re.sub(r"^\S+ ", "", verse).replace("[", "").replace("]", "")):
            clause = clause.strip().rstrip(".,;:")
            yield clause[:1].upper() + clause[1:] + ("" if clause.endswith(("!", "?")) else ".")


def suits(sentence):
    return re.fullmatch(r"[A-Z][A-Za-z' ,;-]*[.!?]", sentence) and LEAST <= len(words(sentence)) <= MOST


def sentences(manifest):
    """Sorted, each once. manifest: rows of read_manifest, for what is judged on."""
    judged = set().union(*(in_rows(r["text"]) for r in manifest if r["split"] in FROZEN))
    found = {s for source in (fortunes(), bible()) for s in source if suits(s)}
    return sorted(s for s in found if not in_rows(s) & judged)

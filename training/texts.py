"""English from Debian's packages: sentences to be spoken, without those of what a model is judged on, and prose to count.

    apt-get install fortunes bible-kjv bible-kjv-text wordnet-base

Prose (lm.py): the other quotations of fortunes, and what WordNet says of each sense: definition and examples. To be
spoken: the quotations of fortunes (the books that lm.py does not read) and the clauses of the King James Bible, 3 to 24
words each; standard library only. A sentence that shares five words in a row with a development clip is left out.
"""

import glob
import os
import re
import subprocess

from references import FROZEN

FORTUNES = "/usr/share/games/fortunes/"
WORDNET = "/usr/share/wordnet/"
# sentences of these are spoken (voices.py, synth.py), also to judge by: the language model does not read them
SPOKEN_BOOKS = "literature wisdom science people education politics work".split()
NO_PROSE = ("ascii-art", "translate-me", "perl", "debian", "linux", "linuxcookie")
IN_A_ROW = 5
LEAST, MOST = 3, 24


def quotes(book):
    """The quotations of a book of fortunes, each one line, without the line that names the author."""
    with open(os.path.join(FORTUNES, book), encoding="utf-8", errors="replace") as f:
        for quote in re.split(r"\n%\n", f.read()):
            yield re.sub(r"\s+", " ", re.sub(r"(?m)^\s*--.*\Z", "", quote, flags=re.S))


def glosses():
    """What WordNet says of each sense: its definitions, its examples."""
    for part in ("noun", "verb", "adj", "adv"):
        with open(os.path.join(WORDNET, "data." + part), encoding="utf-8", errors="replace") as f:
            for gloss in (line.split("|", 1)[1].strip() for line in f if "|" in line and line[0] != " "):
                yield from re.findall(r'"([^"]+)"', gloss)
                yield from (d.strip() for d in re.sub(r'"[^"]*"', "", gloss).split(";") if d.strip())


def prose():
    """Text that nobody speaks here."""
    missing = [p for p, at in (("fortunes", FORTUNES), ("wordnet-base", WORDNET)) if not os.path.isdir(at)]
    if missing:
        raise SystemExit(f"no text for the language model: apt-get install {' '.join(missing)}")
    books = sorted(os.path.basename(p) for p in glob.glob(FORTUNES + "*") if not os.path.islink(p) and
                   "." not in os.path.basename(p))
    for book in books:
        if book not in (*SPOKEN_BOOKS, *NO_PROSE):
            yield from quotes(book)
    yield from glosses()


def words(text):
    return re.findall(r"[a-z']+", text.lower())


def in_rows(x, n=IN_A_ROW):
    """What stands in a row in a list of words or phones, n each."""
    return {tuple(x[i:i + n]) for i in range(len(x) - n + 1)}


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
    judged = set().union(*(in_rows(words(r["text"])) for r in manifest if r["split"] in FROZEN))
    found = {s for source in (fortunes(), bible()) for s in source if suits(s)}
    return sorted(s for s in found if not in_rows(words(s)) & judged)

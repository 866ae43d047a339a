"""Folders of recordings (../../shared/speech and the like): manifest and alignments.

Standard library only.
"""

import os

from phones import parse_alignment


def read_alignments(speech):
    """{id: [(phone index, start, end)]}, 10 ms frames; clips without alignment are absent."""
    out = {}
    with open(os.path.join(speech, "align.tsv")) as f:
        for line in f:
            key, text = line.rstrip("\n").split("\t")
            if ":" in text:
                out[key] = parse_alignment(text)
    return out


def read_manifest(speech):
    """[{id, corpus, split, speaker, path, seconds, text}], in the file's order."""
    with open(os.path.join(speech, "manifest.tsv")) as f:
        head = f.readline().rstrip("\n").split("\t")
        return [dict(zip(head, line.rstrip("\n").split("\t"))) for line in f]


def spread(clips, limit):
    """About so many of them, evenly; 0: all."""
    return clips[::max(1, len(clips) // limit)] if limit else clips


def halves(clips, speaker):
    """Clips of every other speaker, and of the rest. speaker: clip -> its name."""
    known = {s: i for i, s in enumerate(sorted({speaker(c) for c in clips}))}
    return [[c for c in clips if known[speaker(c)] % 2 == half] for half in (0, 1)]


def dev_clips(speech, limit=0, split="dev"):
    """[(path, alignment)] of a development split, in the manifest's order.

    limit: about this many, evenly spread; 0: all.
    """
    align = read_alignments(speech)
    clips = [(os.path.join(speech, r["path"]), align[r["id"]]) for r in read_manifest(speech)
             if r["split"] == split and r["id"] in align]
    return spread(clips, limit)


def write_corpus(folder, clips):
    """The same two lists from [(row, [(phone name, start, end)])]."""
    head = "id corpus split speaker path seconds text".split()
    with open(os.path.join(folder, "manifest.tsv"), "w") as manifest, \
            open(os.path.join(folder, "align.tsv"), "w") as align:
        manifest.write("\t".join(head) + "\n")
        for row, phones in clips:
            manifest.write("\t".join(row[k] for k in head) + "\n")
            align.write(row["id"] + "\t" + " ".join(f"{p}:{s}-{e}" for p, s, e in phones) + "\n")

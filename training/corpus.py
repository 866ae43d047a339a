"""The recordings' lists (../../shared/speech): manifest and alignments. Standard library only."""

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


def dev_clips(speech, limit=0):
    """[(path, alignment)] of speechocean762's development split, in the manifest's order.

    limit: about this many, evenly spread; 0: all.
    """
    align = read_alignments(speech)
    clips = [(os.path.join(speech, r["path"]), align[r["id"]]) for r in read_manifest(speech)
             if r["split"] == "dev" and r["corpus"] == "speechocean762" and r["id"] in align]
    return clips[::max(1, len(clips) // limit)] if limit else clips

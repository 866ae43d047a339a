#!/usr/bin/env python3
"""Are the development splits what they were? Standard library only.

    references.py [../../shared/speech]

What a model is judged by must not move under it: the SHA-256 of each split's ids and phones with their
times, in the manifest's order, is held here. judge.py asks before it judges.
"""

import hashlib
import sys

from corpus import read_alignments, read_manifest

FROZEN = {
    "dev": "4a17e41a0cbcd5756bf61b8b3575b3da8646cd03dbf3e6f217b473f899348d0c",
    "devcv": "617bf5e53091a9d97a9fb5bbc6553a4b66bdf1f553d47cadda64e51c9c1530af",
    "devread": "855516bdf1fac0b8ae159d14f6fb0ab3ffe7f04dc79db82c34babb39d1af84e9",
}


def digests(speech):
    align, of = read_alignments(speech), {split: hashlib.sha256() for split in FROZEN}
    for row in read_manifest(speech):
        if row["split"] in of and row["id"] in align:
            of[row["split"]].update(f"{row['id']} {align[row['id']]}\n".encode())
    return {split: h.hexdigest() for split, h in of.items()}


def moved(speech):
    """The splits whose references are others."""
    return [split for split, digest in digests(speech).items() if digest != FROZEN[split]]


def main():
    speech = sys.argv[1] if len(sys.argv) > 1 else "../../shared/speech"
    other = moved(speech)
    print(f"other references in {speech}: {', '.join(other)}" if other else f"{speech}: {', '.join(FROZEN)} as they were")
    sys.exit(1 if other else 0)


if __name__ == "__main__":
    main()

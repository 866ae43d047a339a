"""The label set and phone error rate."""

PHONES = ("SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S "
          "SH T TH UH UW V W Y Z ZH").split()
INDEX = {p: i for i, p in enumerate(PHONES)}
INDEX["+SPN+"] = INDEX["+NSN+"] = 0
DICTIONARY = "/usr/share/pocketsphinx/model/en-us/cmudict-en-us.dict"      # Debian: pocketsphinx-en-us


def read_dictionary():
    """{word: [phones]} of CMUdict; variants are word(2) and so on, as PocketSphinx prints them."""
    with open(DICTIONARY) as f:
        return {line.split()[0]: line.split()[1:] for line in f if line.strip()}


def pronunciations():
    """{word: [[phone index]]} with all variants."""
    out = {}
    for word, phones in read_dictionary().items():
        out.setdefault(word.split("(")[0], []).append([INDEX[p] for p in phones])
    return out


def parse_alignment(text):
    """'SIL:0-20 DH:20-25 ...' -> [(phone index, start, end)], 10 ms frames."""
    out = []
    for item in text.split():
        name, span = item.rsplit(":", 1)
        a, b = span.split("-")
        out.append((INDEX[name], int(a), int(b)))
    return out


def collapse(labels):
    """Frame labels -> phone sequence: repeats merged, SIL removed."""
    out, last = [], 0
    for x in labels:
        if x != last and x != 0:
            out.append(int(x))
        last = x
    return out


def edits(ref, hyp):
    """Levenshtein distance (substitutions + insertions + deletions)."""
    row = list(range(len(hyp) + 1))
    for i, r in enumerate(ref, 1):
        prev, row[0] = row[0], i
        for j, h in enumerate(hyp, 1):
            prev, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, prev + (r != h))
    return row[-1]

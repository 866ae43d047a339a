"""misaki's phone letters (Kokoro's and hibari's) as the phones of our label set.

A stress mark's time belongs to the phone after it, a length mark's and a space's to the phone before;
punctuation is a pause. Reduced vowels are AH, the one before s or t in "roses" and "visited" IH, a
schwa with R after it ER, a flap T: the rule for synthetic speech, as CMUdict has it for most words.
"""

LETTERS = {"A": "EY", "I": "AY", "W": "AW", "O": "OW", "Q": "OW", "o": "OW", "Y": "OY", "ɔ": "AO", "ɑ": "AA",
           "ɒ": "AA", "a": "AE", "æ": "AE", "ɛ": "EH", "e": "EH", "ɜ": "ER", "ə": "AH", "ᵊ": "AH", "ʌ": "AH",
           "ɐ": "AH", "ᵻ": "IH", "ɪ": "IH", "i": "IY", "u": "UW", "ʊ": "UH", "b": "B", "ʧ": "CH", "d": "D",
           "ð": "DH", "f": "F", "ɡ": "G", "h": "HH", "ʤ": "JH", "k": "K", "x": "K", "l": "L", "m": "M",
           "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "r": "R", "s": "S", "ʃ": "SH", "t": "T", "T": "T",
           "ɾ": "T", "ʔ": "T", "θ": "TH", "v": "V", "w": "W", "j": "Y", "z": "Z", "ʒ": "ZH"}
STRESS, AFTER, PAUSE, BEFORE_R = "ˈˌ", "ː ", ".,!?;:—…\"“”()", "ɜəᵊ"


def joined_r(letters, i):
    """How many letters ER takes at i: 0 where there is none."""
    if letters[i] not in BEFORE_R:
        return 0
    n = 2 if letters[i + 1:i + 2] == "ː" else 1
    return n + 1 if letters[i + n:i + n + 1] == "ɹ" else 0


def phone_at(letters, i):
    """(phone, letters it takes); ("", 0) for an unknown letter."""
    if letters[i] in PAUSE or letters[i] in AFTER:
        return "SIL", 1
    n = joined_r(letters, i)
    return ("ER", n) if n else (LETTERS.get(letters[i], ""), int(letters[i] in LETTERS))


def phones(letters):
    """[(phone, first letter, end)] that leave no letter out but stress at the end; None: one is unknown."""
    out, start, i = [], 0, 0
    while i < len(letters):
        if letters[i] in STRESS:
            i += 1
            continue
        phone, n = phone_at(letters, i)
        if not n:
            return None
        i += n
        same = out and (letters[i - 1] in AFTER and phone == "SIL" or phone == out[-1][0] == "SIL")
        if same:
            out[-1] = (out[-1][0], out[-1][1], i)
        else:
            out.append((phone, start, i))
        start = i
    return out

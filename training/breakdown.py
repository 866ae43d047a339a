"""Where the errors are: by kind, phone, speaker, noise level and corpus (for evaluate.py).

All through the C engine, streamed in chunks of 320 ms, fp32, decoded, at a few depths.
"""

import os
from collections import Counter
from multiprocessing import Pool

import numpy as np
import soundfile as sf

from capi import LOUDEST, Engine
from corpus import read_alignments, read_manifest, spread
from phones import PHONES, edits

C, CHUNK = len(PHONES), 16
SNRS = (20, 10, 5, 0)           # dB
NOTHING = 0                     # partner of a phone that was inserted or deleted; SIL is no phone


def frame_labels(align, frames):
    labels = np.zeros(frames, np.int64)
    centre = np.arange(frames) * 2 + 1
    for phone, a, b in align:
        labels[(centre >= a) & (centre < b)] = phone
    return labels


def matched(ref, hyp):
    """[(place in ref or None, place in hyp or None)] of one cheapest alignment, from the end."""
    cost = np.zeros((len(ref) + 1, len(hyp) + 1), np.int64)
    cost[:, 0], cost[0] = np.arange(len(ref) + 1), np.arange(len(hyp) + 1)
    for i, r in enumerate(ref, 1):
        for j, h in enumerate(hyp, 1):
            cost[i, j] = min(cost[i - 1, j - 1] + (r != h), cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    out, i, j = [], len(ref), len(hyp)
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + (ref[i - 1] != hyp[j - 1]):
            i, j = i - 1, j - 1
            out.append((i, j))
        elif i and cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
            out.append((i, None))
        else:
            j -= 1
            out.append((None, j))
    return out


def pairs(ref, hyp):
    """The same as [(reference phone or NOTHING, heard phone or NOTHING)]."""
    return [(NOTHING if i is None else ref[i], NOTHING if j is None else hyp[j]) for i, j in matched(ref, hyp)]


def labelled(folder, wanted):
    """[(path, alignment, speaker)] of the clips with labels whose manifest row is wanted."""
    align = read_alignments(folder)
    return [(os.path.join(folder, r["path"]), align[r["id"]], r["speaker"])
            for r in read_manifest(folder) if r["id"] in align and wanted(r)]


def with_noise(pcm, align, noise, snr, rng):
    """Noise added at `snr` dB under the power of the samples that are labelled as speech."""
    n = noise[(rng.integers(len(noise)) + np.arange(len(pcm))) % len(noise)]
    speech = np.concatenate([pcm[160 * a:160 * b] for p, a, b in align if p])
    gain = np.sqrt(np.mean(speech ** 2) / max(np.mean(n ** 2), 1e-12) / 10 ** (snr / 10))
    out = (pcm + gain * n).astype(np.float32)
    return out * min(1.0, LOUDEST / np.abs(out).max())


def read_pcm(clip, noises, snr, seed):
    pcm = sf.read(clip[0], dtype="float32")[0]
    if snr is not None:
        rng = np.random.default_rng(seed)
        noise = sf.read(noises[rng.integers(len(noises))], dtype="float32")[0]
        pcm = with_noise(pcm, clip[1], noise, snr, rng)
    return np.ascontiguousarray(pcm)


def phones(engine, logp, decoder=None):
    return [p[0] for p in engine.decode(logp, decoder)]


def hear(job):
    """[(speaker, reference, {depth: (phones, frame classes, {decoder: phones})}, frame labels)] of
    some clips; the first phones are the default decoder's."""
    engine, clips, depths, noises, snr, decoders = job
    engine = Engine(*engine[:4], backend=engine[4], precision=engine[5])
    out = []

    def read(job):
        i, clip = job
        return read_pcm(clip, noises, snr, i)

    for (_, (_, align, speaker)), logp in engine.hear(clips, max(depths), CHUNK, read=read):
        found = {d: (phones(engine, logp[d]), logp[d].argmax(1),
                     {name: phones(engine, logp[d], name) for name in decoders}) for d in depths}
        out.append((speaker, [p for p, _, _ in align if p], found,
                    frame_labels(align, len(logp[depths[0]]))))
    return out


def listen(engine, clips, depths, jobs, noises=(), snr=None, decoders=()):
    """What hear() gives, of all clips. Noise is seeded by a clip's place in the list."""
    order = sorted(enumerate(clips), key=lambda c: os.path.getsize(c[1][0]))
    with Pool(jobs) as pool:
        done = pool.map(hear, [(engine, order[j::jobs], depths, noises, snr, decoders)
                               for j in range(jobs)])
    return sum(done, [])


def per(heard, depth):
    return sum(edits(ref, found[depth][0]) for _, ref, found, _ in heard) / sum(len(h[1]) for h in heard)


def by_decoder(heard, depth):
    """{decoder: PER}, by the names of capi.DECODERS."""
    total = sum(len(h[1]) for h in heard)
    return {name: sum(edits(ref, found[depth][2][name]) for _, ref, found, _ in heard) / total
            for name in heard[0][2][depth][2]}


def by_kind(heard, depth):
    """Shares of substitutions, insertions, deletions; the commonest of each, and the worst phones."""
    kinds, seen = Counter(), Counter()
    for _, ref, found, _ in heard:
        kinds.update(pairs(ref, found[depth][0]))
        seen.update(ref)
    total, wrong = sum(seen.values()), {k: n for k, n in kinds.items() if k[0] != k[1]}
    sort = {"substitutions": lambda r, h: r and h, "insertions": lambda r, h: not r,
            "deletions": lambda r, h: not h}
    out = {}
    for name, is_sort in sort.items():
        these = Counter({k: n for k, n in wrong.items() if is_sort(*k)})
        out[name] = dict(share=sum(these.values()) / total,
                         top=[[PHONES[r] if r else "", PHONES[h] if h else "", n]
                              for (r, h), n in these.most_common(10)])
    out["recall"] = {PHONES[p]: kinds[p, p] / n for p, n in sorted(seen.items())}
    return out


def by_speaker(heard, depth):
    """PER of the worst, middle and best tenth of the speakers, pooled over their clips."""
    groups = {}
    for h in heard:
        groups.setdefault(h[0], []).append(h)
    ranked = sorted(groups.values(), key=lambda g: per(g, depth))
    n, tenth = len(ranked), max(1, len(ranked) // 10)
    middle = (n - tenth) // 2
    parts = dict(best=ranked[:tenth], middle=ranked[middle:middle + tenth], worst=ranked[-tenth:])
    return dict(speakers=n, tenth=tenth, **{k: per(sum(g, []), depth) for k, g in parts.items()})


def frame_confusion(heard, depth):
    """[C, C] counts: label of the alignment, class heard."""
    m = np.zeros((C, C), np.int64)
    for _, _, found, labels in heard:
        np.add.at(m, (labels, found[depth][1]), 1)
    return m


def picture(m, path, title):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots(figsize=(9, 8.4))
    share = 100 * m / np.maximum(m.sum(1, keepdims=True), 1)
    figure.colorbar(axis.imshow(share, cmap="magma", vmin=0, vmax=100), fraction=0.046, pad=0.02)
    axis.set_xticks(range(C), PHONES, rotation=90, fontsize=7)
    axis.set_yticks(range(C), PHONES, fontsize=7)
    axis.set_xlabel("heard")
    axis.set_ylabel("labelled")
    axis.set_title(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=72, metadata={"Software": None})


def other_sets(speech, hold_out, more):
    """{name: clips} that no training saw: corpora held out, and folders of recordings."""
    sets = {name: labelled(speech, lambda r, name=name: r["corpus"] == name) for name in hold_out}
    for folder in more:
        dev = labelled(folder, lambda r: r["split"] == "dev")
        sets[os.path.basename(os.path.normpath(folder))] = dev or labelled(folder, lambda r: True)
    return sets


def break_down(engine, a, hold_out, image):
    """Everything above as facts for the card; image: where the confusion picture goes, or None."""
    clips = labelled(a.speech, lambda r: r["split"] == "dev")
    clips = spread(clips, a.limit)
    noises = [os.path.join(a.speech, r["path"]) for r in read_manifest(a.speech)
              if r["corpus"] == "esc10-noise"]
    decoders = Engine(*engine[:4], backend=engine[4], precision=engine[5]).decoders
    heard = listen(engine, clips, a.break_depths, a.jobs, decoders=decoders)
    facts = dict(depths=list(a.break_depths), decoders={}, kinds={}, speakers={}, noise={"none": {}},
                 others={})
    for d in a.break_depths:
        facts["decoders"][d] = by_decoder(heard, d)
        facts["kinds"][d], facts["speakers"][d] = by_kind(heard, d), by_speaker(heard, d)
    if image:
        deep = a.break_depths[0]
        picture(frame_confusion(heard, deep), image, f"frames of each labelled class, % heard as, depth {deep}")
    some = clips[::3]
    for snr in (None,) + (SNRS if noises else ()):
        noisy = listen(engine, some, a.break_depths, a.jobs, noises, snr)
        facts["noise"]["none" if snr is None else snr] = {d: per(noisy, d) for d in a.break_depths}
        print(f"noise {snr} dB: " + "  ".join(f"{d}: {100 * per(noisy, d):.1f}" for d in a.break_depths), flush=True)
    facts["noise_clips"] = len(some)
    for name, these in other_sets(a.speech, hold_out, a.also).items():
        heard = listen(engine, these, a.break_depths, a.jobs)
        facts["others"][name] = dict(clips=len(these), speakers=len({c[2] for c in these}),
                                     per={d: per(heard, d) for d in a.break_depths})
    return facts

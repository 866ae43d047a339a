"""Write the model card from measured facts; no number is typed by hand."""

import os

from capi import DECODERS
from modelfile import exit_law
from report import rows, wrap


def depth_advice(per):
    """Smallest depth within 3 % relative of the best PER, and the best depth."""
    best = min(per, key=per.get)
    near = min(d for d in per if per[d] <= 1.03 * per[best])
    return near, best


def percent(x):
    return f"{100 * x:.1f} %"


def decoders_text(errors):
    found = errors["decoders"]
    names = list(next(iter(found.values())))
    head = [" ".join(f"`{o}={'on' if v else 'off'}`" for o, v in zip(("lm", "durations"), DECODERS[n]))
            for n in names]
    return rows(["depth", *head], [[d] + [percent(v[n]) for n in names] for d, v in found.items()])


def kinds_text(errors):
    d = errors["depths"][0]
    kinds, sorts = errors["kinds"], ("substitutions", "insertions", "deletions")
    shares = rows(["depth", *sorts], [[k] + [percent(v[s]["share"]) for s in sorts] for k, v in kinds.items()])
    first = kinds[d]
    top = [", ".join(f"{r} as {h} ({n})" if r and h else f"{r or h} ({n})" for r, h, n in first[s]["top"])
           for s in sorts]
    recall = sorted(first["recall"].items(), key=lambda x: x[1])
    return (f"{shares}\n\nMost frequent at depth {d}:\n\n" +
            "\n".join(f"- {s}: {t}" for s, t in zip(sorts, top)) +
            f"\n- phones found least: {', '.join(f'{p} {percent(v)}' for p, v in recall[:6])}; "
            f"most: {', '.join(f'{p} {percent(v)}' for p, v in recall[:-7:-1])}")


def speakers_text(errors):
    s = errors["speakers"]
    first = next(iter(s.values()))
    return (f"The list of recordings has no age or sex of the {first['speakers']} speakers, only their ids. So: the "
            f"{first['tenth']} speakers\nwith the lowest PER, those in the middle and those with the highest.\n\n" +
            rows(["depth", "best tenth", "middle tenth", "worst tenth"],
                 [[d] + [percent(v[k]) for k in ("best", "middle", "worst")] for d, v in s.items()]))


def noise_text(errors):
    n = errors["noise"]
    return (f"Every third clip ({errors['noise_clips']}), an ESC-10 clip added to the wave at this level under its "
            "speech. The\nsame noise recordings served training (mixed otherwise), so unknown noise may be worse.\n\n" +
            rows(["depth"] + ["clean" if k == "none" else f"{k} dB" for k in n],
                 [[d] + [percent(v[d]) for v in n.values()] for d in errors["depths"]]))


def others_text(errors):
    if not errors["others"]:
        return "No other set was kept out of this model's training."
    head = ["set", "clips", "speakers"] + [f"depth {d}" for d in errors["depths"]]
    lines = [[n, o["clips"], o["speakers"]] + [percent(v) for v in o["per"].values()]
             for n, o in errors["others"].items()]
    return ("Of these the training heard nothing (`unheard`: the voices of espeak-ng, synth.py). A native speaker "
            f"held\nout of shorter runs: docs/claim.md.\n\n{rows(head, lines)}")


SPLITS = {
    "speechocean762 dev": (" (65 Mandarin-speaking readers, half of them children; references are canonical\n"
                           "pronunciations, so 0 % is out of reach)"),
}
ORIGINS = {     # corpus: (kind of labels, licence)
    "speechocean762": ("aligned", "free for commercial and non-commercial use (OpenSLR 101)"),
    "vctk-p239": ("aligned; CSTR VCTK 0.80", "ODC-By"),
    "picovoice-words": ("aligned; wake-word-benchmark", "Apache-2.0"),
    "picovoice-intent": ("a recogniser's text, aligned; speech-to-intent-benchmark", "Apache-2.0"),
    "dspspeech": ("aligned; DSPSpeech-20, English part", "MIT"),
    "librispeech": ("a recogniser's text, aligned; train-clean-100, a clip a speaker; Vassil Panayotov et al.", "CC BY 4.0"),
    "commonvoice": ("aligned; Mozilla Common Voice", "CC0"),
    "cathy": ("aligned; rhasspy/dataset-voice-cathy", "CC0"),
    "robotutor": ("aligned; Carnegie Mellon University, RoboTutor", "CC BY 4.0"),
    "robotutor-words": ("aligned; Carnegie Mellon University, RoboTutor", "CC BY 4.0"),
    "kokoro": ("the voice's; Kokoro-82M", "Apache-2.0"),
    "hibari": ("the voice's; hibari-tts", "Apache-2.0"),
    "synthetic": ("the synthesiser's; flite, festival", "as the voices: training/README.md"),
}


def run_text(run, alone):
    """One run of training, in words."""
    name = "" if alone else f"`{run['name']}` ({100 * run['share']:.0f} %): "
    known = [f"seed {run['seed']}" if run.get("seed") is not None else "",
             f"{run['steps']} steps of about {run.get('audio_seconds') or 100:.0f} s of audio" if run.get("steps") else "",
             f"{run['seconds'] / 3600:.2f} h of wall time" if run.get("seconds") else "",
             f"{run['threads']} CPU thread(s)" if run.get("threads") else "",
             f"itself the mean of {', '.join(run['averaged'])}" if run.get("averaged") else ""]
    return name + ", ".join(k for k in known if k) + (f": `{run['command']}`." if run.get("command") else ".")


def training_text(run):
    parts = run.get("parts") or [run]
    if run.get("note"):
        return wrap(f"{run_text(run, True)} {run['note']}")
    if len(parts) == 1:
        return wrap(run_text(parts[0], True) + " That is the last of its runs; training/README.md lists those before it.")
    return (wrap(f"The weights are the mean of {len(parts)} (average.py); training/README.md tells the runs before these:") +
            "\n\n" + "\n".join("- " + run_text(p, False) for p in parts))


def corpora_text(run):
    """A line for each corpus of any part; its share of an epoch in the part that tells it last."""
    corpora = {}
    for part in run.get("parts") or [run]:
        listed = part.get("corpora") or {}
        total = sum(c["weight"] * c["hours"] for c in listed.values() if c.get("weight"))
        for name, c in listed.items():
            share = f"{100 * c['weight'] * c['hours'] / total:.0f} %" if c.get("weight") else "not told"
            corpora[name] = [name, c["clips"], f"{c['hours']:.2f}", f"{c['labelled']:.2f}", share, *ORIGINS.get(name, ("", ""))]
    return rows(["corpus", "clips", "hours", "with labels", "share of an epoch", "labels", "licence"], corpora.values())


AUGMENTED = """Each clip serves at speeds 0.9, 1.0 and 1.1, the others than 1.0 partly in made-up rooms or through codecs; chunks
from 40 ms to everything, left context from 32 to 128 frames; augmentation by noise (ESC-10, CC0 / CC BY 3.0 by
clip), level, colour, band limit, vocal tract length and SpecAugment.
"""


def heard_text(run):
    return f"""
{AUGMENTED}
{corpora_text(run)}

"aligned": a forced alignment with the CMU PocketSphinx English model.
"""


def exit_text(config):
    """What leaves at a depth, where that is not the last layer's output."""
    first, power = exit_law(config["program"])
    law = f", the n-th of which weighs n^-{power:g}" if power else ""
    return f" What leaves at a depth d above\n{first}, the embedding and the head's input, is the mean of the outputs " \
        f"of layers {first} to d{law}." if first else ""


def layout_text(config):
    """What the layers are made of."""
    blocks, layers = config["blocks"], config["program"]
    text = f"One Conformer block, used {len(layers)} times (Layer Consistency,\narXiv 2105.00812)" if blocks == 1 else \
        f"{blocks} Conformer blocks in {len(layers)} layers"
    if not config.get("experts"):
        return text
    return (f"{text}, in each {config['experts']} experts in place of the second feed-forward\nmodule, of which every frame goes "
            f"through {layers[0]['top']}, by {config['routers']} routers (arXiv 2209.08326)")


def write_card(path, facts, config, tables):
    per = facts["per_decoded"][320]
    near, best = depth_advice(per)
    run = facts.get("training", {})
    errors = facts["errors"]
    picture = os.path.basename(os.path.splitext(path)[0]) + "-confusion.png"
    text = f"""# {facts['model']}

Written by `training/evaluate.py` on {facts['measured']}; every figure is computed by that run.

{layout_text(config)}: D = {config['dim']}, FFN {config['ffn']}, {config['heads']} heads, causal convolution of
{config['kernel']}, 20 ms frames, {config['classes']} classes (SIL and 39 ARPAbet phones).{exit_text(config)}
{facts['weights']:,} weights, {facts['bytes'] / 1e6:.2f} MB, SHA-256 `{facts['sha256']}`.

Look-ahead: {config['delay_frames'] * 20} ms of label delay and 15 ms of mel window beyond the chunk; left
context {config['left_frames']} frames ({config['left_frames'] * 20} ms) a layer.

## Phone error rate

{facts['clips']} clips of {facts['split']}{SPLITS.get(facts['split'], '')}, streamed by the C engine in
fp32 in chunks of the given length. Hyper-parameters were chosen on this split.

Decoded (the `phones` output: streaming Viterbi with a phone language model):

{tables['decoded']}

At 320 ms the best depth is {best} ({100 * per[best]:.1f} %); depth {near} is the smallest within 3 % of it
({100 * per[near]:.1f} %).

Decoded at 320 ms, by precision of the matrix products (`shoald --precision`):

{tables['precision']}

Decoded at 320 ms, by what a session may choose (the first is what it gets unless it says otherwise):

{decoders_text(errors)}

Greedy (argmax of the posteriors, repeats merged). The sequence loss leaves smoothing to the decoder's price of
a change of phone: without it posteriors flicker, and most errors are insertions (with `smooth=on` they do not: the table of judge.py):

{tables['greedy']}

Accuracy of frames labelled as speech:

{tables['accuracy']}

## Beside other speakers

Three development sets: `dev` is speechocean762's, `devcv` Common Voice's (native speakers, their own microphones), `devread` LibriSpeech's.
`judge.py` hears a part of each.

<!-- judge.py begin -->
<!-- judge.py end -->

## Words by example

Queries by example: words that no transcript or sentence of training has, in voices that training does not hear, by the
mean embeddings of four equal parts of each.

<!-- words.py begin -->
<!-- words.py end -->

## Errors by kind

Decoded at 320 ms, as everything below; shares of the reference phones.

{kinds_text(errors)}

Frames, depth {errors['depths'][0]}:

![frame confusions]({picture})

## Speakers

{speakers_text(errors)}

## Noise

{noise_text(errors)}

## Other recordings

{others_text(errors)}

## Training

{training_text(run)}
{"" if run.get("note") else heard_text(run)}
## Limits

Trained on the hours of mostly read speech above. Far-field, spontaneous and noisy speech will be worse. The phones are what the model hears as English phones; it knows no words.
"""
    with open(path, "w") as f:
        f.write(text)

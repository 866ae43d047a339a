"""Write the model card from measured facts; no number is typed by hand."""

import math


def depth_advice(per):
    """Smallest depth within 3 % relative of the best PER, and the best depth."""
    best = min(per, key=per.get)
    near = min(d for d in per if per[d] <= 1.03 * per[best])
    return near, best


def write_card(path, facts, config, tables):
    per = facts["per_decoded"][320]
    near, best = depth_advice(per)
    run = facts.get("training", {})
    hours = run.get("seconds", math.nan) / 3600
    text = f"""# {facts['model']}

Written by `training/evaluate.py` on {facts['measured']}; every figure is computed by that run.

One Conformer block, used {config['program'] and len(config['program'])} times (Layer Consistency,
arXiv 2105.00812): D = {config['dim']}, FFN {config['ffn']}, {config['heads']} heads, causal convolution of
{config['kernel']}, 20 ms frames, {config['classes']} classes (SIL and 39 ARPAbet phones).
{facts['weights']:,} weights, {facts['bytes'] / 1e6:.2f} MB, SHA-256 `{facts['sha256']}`.

Look-ahead: {config['delay_frames'] * 20} ms of label delay and 15 ms of mel window beyond the chunk; left
context {config['left_frames']} frames ({config['left_frames'] * 20} ms) a layer.

## Phone error rate

{facts['clips']} clips of the speechocean762 development split (65 Mandarin-speaking readers, half of
them children; references are canonical pronunciations, so 0 % is out of reach), streamed
by the C engine in fp32 in chunks of the given length. Hyper-parameters were chosen on this split.

Decoded (the `phones` output: streaming Viterbi with a phone bigram):

{tables['decoded']}

At 320 ms the best depth is {best} ({100 * per[best]:.1f} %); depth {near} is the smallest within 3 % of it
({100 * per[near]:.1f} %).

Decoded at 320 ms, by precision of the matrix products (`shoald --precision`):

{tables['precision']}

Greedy (argmax of the posteriors, repeats merged):

{tables['greedy']}

Accuracy of frames labelled as speech:

{tables['accuracy']}

## Training

Seed {run.get('seed')}, {run.get('steps')} steps of about {run.get('audio_seconds', 0):.0f} s of audio,
{hours:.2f} h of wall time on {run.get('threads')} CPU thread(s), {run.get('clips')} clips (each at speeds 0.9,
1.0 and 1.1): `{run.get('command')}`. Depth drawn uniformly, chunk from 40 ms to everything, left context
from 32 to 128 frames; augmentation by noise, level, colour, band limit and SpecAugment.

| corpus | use | licence |
| --- | --- | --- |
| speechocean762, train split | phones | free for commercial and non-commercial use (OpenSLR 101) |
| CSTR VCTK 0.80, speaker p239 | phones | ODC-By |
| Picovoice wake-word-benchmark | phones (words, down-weighted) | Apache-2.0 |
| DSPSpeech-20, English part | phones (words, down-weighted) | MIT |
| ESC-10 | noise | CC0 / CC BY 3.0 per clip |

Phone targets come from a forced alignment with the CMU PocketSphinx English model.

## Limits

Trained on a few hours of mostly accented read speech. Far-field, spontaneous and noisy speech
will be worse. The phones are what the model hears as English phones; it knows no words.
"""
    with open(path, "w") as f:
        f.write(text)

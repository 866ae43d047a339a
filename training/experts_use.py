"""Which experts the frames of each phone go through, in every layer (for experts.py)."""

import numpy as np
import soundfile as sf
import torch

from breakdown import frame_labels
from export import load_model
from frontend import log_mel
from judge import sets
from model import picked
from phones import PHONES
from report import rows

KINDS = ("SIL", "IY IH EH AE AA AH AO UH UW ER EY AY OY AW OW", "P B T D K G CH JH", "F V TH DH S Z SH ZH HH", "M N NG",
         "L R W Y")    # silence, vowels, stops, fricatives, nasals, approximants
ORDER = [PHONES.index(p) for kind in KINDS for p in kind.split()]


@torch.no_grad()
def use(a):
    """counts [layers][phones][experts] of frames by the aligner's label; the mean probability of the chosen, a layer."""
    m = load_model(a.model)
    c, logits = m.config, []
    for r in m.routers:
        r.register_forward_hook(lambda _, __, out: logits.append(out[0]))
    counts, sure, frames = np.zeros((c.depth, c.classes, c.experts), int), np.zeros(c.depth), 0
    for clips in sets(a).values():
        for path, align, _ in clips[::4]:
            pcm = sf.read(path, dtype="float32")[0]
            T = len(pcm) // 320
            mel = log_mel(np.concatenate([pcm[:320 * T], np.zeros(320 * c.delay + 240, np.float32)]))
            logits.clear()
            m(torch.from_numpy(mel)[None], c.depth, 8, c.left)
            labels = frame_labels(align, T)
            frames += T
            for layer, l in enumerate(logits):
                l = l[c.delay:c.delay + T]      # a frame is described `delay` frames later
                np.add.at(counts[layer], (labels, picked(l, 1)[:, 0].numpy()), 1)
                sure[layer] += float(torch.softmax(l, -1).amax(-1).sum())
    return dict(counts=counts.tolist(), sure=(sure / frames).tolist(), frames=frames)


def told(counts):
    """Bits that an expert tells of the phone: their mutual information."""
    p = counts / counts.sum()
    both, apart = p, p.sum(1, keepdims=True) * p.sum(0)
    return float((both[both > 0] * np.log2(both[both > 0] / apart[both > 0])).sum())


def use_text(found):
    lines = []
    for layer, counts in enumerate(np.array(found["counts"], float)):
        share = counts.sum(0) / counts.sum()
        entropy = -(share[share > 0] * np.log2(share[share > 0])).sum()
        lines.append([layer + 1, *(f"{100 * s:.0f}" for s in share), f"{entropy:.2f}", f"{told(counts):.2f}",
                      f"{found['sure'][layer]:.2f}"])
    experts = len(found["counts"][0][0])
    return (f"Which experts the frames go through ({found['frames']} frames of the development sets; entropy of the shares, at most "
            f"{np.log2(experts):.0f} bits; what an expert tells of the frame's phone, in bits; mean probability of the chosen):\n\n" +
            rows(["layer", *(f"expert {e}, %" for e in range(experts)), "entropy", "of the phone", "probability"], lines) +
            "\n\n![experts by layer and phone](experts.png)")


def picture(found, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    counts = np.array(found["counts"], float)[:, ORDER]
    share = 100 * counts / np.maximum(counts.sum(2, keepdims=True), 1)
    figure, axes = plt.subplots(1, len(share), figsize=(15, 8.4), sharey=True)
    for layer, (axis, s) in enumerate(zip(axes, share), 1):
        shown = axis.imshow(s, cmap="magma", vmin=0, vmax=100, aspect="auto")
        axis.set_title(f"layer {layer}", fontsize=9)
        axis.set_xticks(range(s.shape[1]))
        axis.tick_params(labelsize=7)
    axes[0].set_yticks(range(len(ORDER)), [PHONES[i] for i in ORDER])
    figure.supxlabel("expert of the layer's block", fontsize=9)
    figure.colorbar(shown, ax=axes, fraction=0.02, pad=0.01, label="% of the phone's frames")
    figure.savefig(path, dpi=72, metadata={"Software": None}, bbox_inches="tight")

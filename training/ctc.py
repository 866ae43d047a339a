"""A small recogniser on features that stay as they are: 64 units, a convolution over 100 ms, CTC (Graves et al. 2006).

Labels are numbers from 1; 0 is the blank. What it says is the best label of each frame, repeats merged.
"""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from phones import collapse

LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
UNITS, KERNEL, CLIPS = 64, 5, 4         # CLIPS: a step


def spelt(text):
    """A transcript as labels."""
    return [1 + LETTERS.index(c) for c in text.lower() if c in LETTERS]


class Recogniser(nn.Module):
    def __init__(self, x, labels):
        """x: [n, D] some features, for their mean and spread; labels: how many."""
        super().__init__()
        self.register_buffer("mean", x.mean(0))
        self.register_buffer("spread", x.std(0) + 1e-6)
        self.narrow = nn.Linear(x.shape[1], UNITS)
        self.conv = nn.Conv1d(UNITS, UNITS, KERNEL, padding=KERNEL // 2)
        self.out = nn.Linear(UNITS, 1 + labels)

    def forward(self, x):
        """[B, T, D] -> log posteriors [B, T, 1 + labels]"""
        y = F.silu(self.narrow((x - self.mean) / self.spread))
        y = F.silu(self.conv(y.transpose(1, 2)).transpose(1, 2))
        return F.log_softmax(self.out(y), -1)


def learn(clips, labels, epochs, lr=1.5e-2, seed=1):
    """A Recogniser from [(x [T, D], labels)]; clips too short for their labels teach nothing."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Recogniser(torch.cat([x for x, _ in clips]), labels)
    order = sorted(range(len(clips)), key=lambda i: len(clips[i][0]))
    groups = [[clips[i] for i in order[at:at + CLIPS]] for at in range(0, len(order), CLIPS)]
    optim, steps = torch.optim.AdamW(model.parameters(), lr, weight_decay=0.01), epochs * len(groups)
    rate = torch.optim.lr_scheduler.LambdaLR(optim, lambda n: min(1.0, (n + 1) / 20) * max(0.02, 1 - n / steps))
    for _ in range(epochs):
        for g in rng.permutation(len(groups)):
            x, y = zip(*groups[g])
            logp = model(nn.utils.rnn.pad_sequence(x, batch_first=True))
            loss = F.ctc_loss(logp.transpose(0, 1), torch.tensor(sum(y, [])), torch.tensor([len(v) for v in x]),
                              torch.tensor([len(v) for v in y]), zero_infinity=True)
            optim.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optim.step()
            rate.step()
    return model.eval()


@torch.no_grad()
def read(model, x):
    """[T, D] -> labels"""
    return collapse(model(x[None])[0].argmax(-1).numpy())

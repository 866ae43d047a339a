"""Muon for the matrices of the block, AdamW for everything else.

Muon (Jordan et al. 2024): momentum, then an approximate orthogonalisation of the update by
Newton-Schulz iterations; scaled by 0.2 sqrt(max(rows, columns)) so that one learning rate
serves both optimisers (Liu et al., arXiv 2502.16982).
"""

import torch


def orthogonalise(g, steps=5):
    """[.., rows, columns], each matrix for itself."""
    x = g.bfloat16()
    flip = x.shape[-2] > x.shape[-1]
    x = x.mT if flip else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.mT if flip else x).float()


class MuonAdamW:
    def __init__(self, model, decay=0.1):
        self.muon = [p for n, p in model.named_parameters()
                     if p.ndim == 2 and "blocks." in n]
        ids = {id(p) for p in self.muon}
        rest = [p for p in model.parameters() if id(p) not in ids]
        self.adam = torch.optim.AdamW(rest, lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
        self.buffers = [torch.zeros_like(p) for p in self.muon]
        self.decay = decay

    @torch.no_grad()
    def step(self, lr):
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        alike = {}
        for p, b in zip(self.muon, self.buffers):
            if p.grad is not None:          # else a block above the depth of this step
                b.mul_(0.95).add_(p.grad)
                alike.setdefault(p.shape, []).append((p, p.grad + 0.95 * b))
        for same in alike.values():         # together: many small products cost more than a few larger ones
            for (p, _), u in zip(same, orthogonalise(torch.stack([g for _, g in same]))):
                p.mul_(1 - lr * self.decay).add_(u, alpha=-lr * 0.2 * max(p.shape) ** 0.5)

    def zero_grad(self):
        self.adam.zero_grad(set_to_none=True)
        for p in self.muon:
            p.grad = None

    def state_dict(self):
        return dict(adam=self.adam.state_dict(), buffers=self.buffers)

    def load_state_dict(self, s):
        self.adam.load_state_dict(s["adam"])
        self.buffers = [b.clone() for b in s["buffers"]]

"""Sequence loss: the labels' path against all paths of the phone decoder.

Frame cross-entropy asks every frame for its own answer; the decoder (engine/phones/decoder.c) chooses
whole paths. This is the negative log-likelihood of a linear-chain conditional random field
(Lafferty et al. 2001; with one state a phone it is what LF-MMI, Povey et al. 2016, does with a
phone bigram) whose transitions are those of the decoder with a bigram:

    loss = log sum_paths exp(score(path)) - score(labels),   per frame
    score(path) = sum_t logp[t, path_t] - log_prior[path_t] + transition[path_{t-1}, path_t]

Its gradient with respect to logp is (posterior of the phone at t over all paths) - (label at t),
found by forward-backward in scaled probabilities. Where labels are unknown amid known ones,
the labels' path is any path that agrees with the known ones, and their posterior
takes the place of the label.
"""

import torch

IMPOSSIBLE = -1e4          # log probability of a phone that a label rules out


@torch.no_grad()
def occupancy(logp, valid, transition, log_prior):
    """[B, T, C] log posteriors -> ([B, T, C] path posteriors, [B] log sum over paths)."""
    B, T, C = logp.shape
    a = transition.exp()
    x = logp - log_prior
    top = x.max(-1, keepdim=True).values
    e = (x - top).exp()
    alpha, beta = torch.empty_like(x), torch.empty_like(x)
    total = torch.zeros(B)
    f = torch.full((B, C), 1.0 / C)
    for t in range(T):
        g = (f @ a if t else f) * e[:, t]
        z = g.sum(-1, keepdim=True)
        f = torch.where(valid[:, t, None], g / z, f)
        total += torch.where(valid[:, t], z[:, 0].log() + top[:, t, 0], total.new_zeros(()))
        alpha[:, t] = f
    b = torch.ones(B, C)
    for t in range(T - 1, -1, -1):
        beta[:, t] = b
        g = (b * e[:, t]) @ a.T
        b = torch.where(valid[:, t, None], g / g.sum(-1, keepdim=True), b)
    gamma = alpha * beta
    return gamma / gamma.sum(-1, keepdim=True), total


def crf_loss(logp, labels, transition, log_prior):
    """Mean loss a labelled frame. logp [B, T, C] with gradient; labels [B, T], -100 where padded
    (after the last label) or unknown (before it).

    The value returned is the surrogate whose gradient is the loss's.
    """
    known = labels >= 0
    valid = known.flip(1).cummax(1).values.flip(1)
    free = logp.detach()
    gamma, _ = occupancy(free, valid, transition, log_prior)
    target = torch.zeros_like(gamma).scatter_(-1, labels.clamp(min=0)[..., None], 1.0)
    holes = (valid & ~known).any(1)
    if holes.any():
        allowed = target[holes].bool() | ~known[holes, :, None]
        target[holes], _ = occupancy(free[holes].masked_fill(~allowed, IMPOSSIBLE), valid[holes],
                                     transition, log_prior)
    return (logp * (gamma - target))[valid].sum() / known.sum()

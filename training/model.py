"""The shoal encoder in PyTorch: the oracle of the C engine.

    log-mel [B, F, 80] (10 ms)
      -> normalise (fixed mean, 1/std; no per-utterance statistics)
      -> causal conv k=3 s=1 + SiLU, causal conv k=3 s=2, LayerNorm  [B, T, D] (20 ms)
      -> L times the *same* Conformer block                         [B, T, D]
      -> weighted mean of the outputs of layers `exit_from` to L             [B, T, D]  the embedding
      -> linear head, shared by all depths                          [B, T, C]

A block (Gulati et al. 2020, causal, LayerNorm in the convolution module because
BatchNorm statistics cannot be shared between depths):

    x = x + 1/2 FFN1(LN(x));  x = x + MHSA(LN(x));  x = x + Conv(LN(x))
    x = x + 1/2 FFN2(LN(x));  x = LN(x)

Weight sharing and the uniformly sampled depth follow "Layer Reduction: Accelerating
Conformer-Based Self-Supervised Model via Layer Consistency" (arXiv 2105.00812).
Attention uses rotary positions (arXiv 2104.09864) and a chunk mask: frame t sees its own
chunk and `left` frames before the chunk's first frame, never beyond the chunk.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

import fused


@dataclass
class Config:
    mels: int = 80
    dim: int = 256
    ffn: int = 1024
    heads: int = 4
    kernel: int = 15      # depthwise convolution taps, causal
    classes: int = 40     # SIL + 39 ARPAbet phones
    depth: int = 12       # virtual layers in the program
    left: int = 64        # default left context, frames of 20 ms
    delay: int = 3        # output frame j describes input frame j - delay (60 ms look-ahead)
    blocks: int = 1       # 1: Layer Consistency; depth: an ordinary unshared Conformer
    exit_from: int = 0    # first layer of the mean that leaves at a greater depth; 0: the last layer alone
    exit_power: float = 0.0     # the n-th layer of that mean weighs n^-exit_power
    norms: int = 1        # norm sets, spread over the layers like the blocks: depth: private ones
    experts: int = 0      # of each block, in place of its second feed-forward module; 0: none
    routers: int = 0      # spread over the layers like the norm sets
    top: int = 1          # experts a frame goes through
    renormalised: bool = False  # their probabilities are made to sum to 1
    maps: int = 1         # layers that share an attention map, which the first of them makes

    def dict(self):
        return asdict(self)


class LayerNorm(nn.LayerNorm):
    """LayerNorm that always computes in float32 (also under bf16 autocast)."""

    def forward(self, x):
        return F.layer_norm(x.float(), self.normalized_shape, self.weight, self.bias, self.eps)


def chunk_mask(frames, chunk, left, device=None):
    """[T, T] bool, True where query row t may see key column u.

    chunk: frames a chunk (0: one chunk of everything); left: frames seen before the
    chunk's first frame (-1: all of them).
    """
    t = torch.arange(frames, device=device)
    if chunk <= 0:
        return torch.ones(frames, frames, dtype=torch.bool, device=device)
    start = (t // chunk) * chunk
    allow = t[None, :] < (start + chunk)[:, None]
    if left >= 0:
        allow &= t[None, :] >= (start - left)[:, None]
    return allow


def rope_table(frames, head_dim, device=None, first=0):
    """cos, sin [T, head_dim/2]; angle = position * 10000^(-2i/head_dim)."""
    i = torch.arange(head_dim // 2, device=device, dtype=torch.float64)
    freq = 10000.0 ** (-2.0 * i / head_dim)
    pos = torch.arange(first, first + frames, device=device, dtype=torch.float64)
    a = pos[:, None] * freq[None, :]
    return a.cos().float(), a.sin().float()


def rope(x, cos, sin):
    """Rotate x [B, H, T, dh]: the halves (x1, x2) by the position's angles."""
    x1, x2 = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat((x1 * cos - x2 * sin, x1 * sin + x2 * cos), dim=-1)


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.up = nn.Linear(c.dim, c.ffn)
        self.down = nn.Linear(c.ffn, c.dim)

    def forward(self, x):
        return self.down(F.silu(self.up(x)))


def picked(logits, top):
    """[.., E] -> [.., top] the largest, the largest first; of equal ones the lower index."""
    out = []
    for _ in range(top):
        out.append(logits.argmax(-1, keepdim=True))
        logits = logits.scatter(-1, out[-1], -torch.inf)
    return torch.cat(out, -1)


class Experts(nn.Module):
    """Feed-forward modules of which each frame goes through the `top` that its layer's router finds likeliest,
    all of them and no other. Each one's output is weighed with its probability among all (arXiv 2209.08326)."""

    def __init__(self, c):
        super().__init__()
        self.top, self.renormalised = c.top, c.renormalised
        self.e = nn.ModuleList(FeedForward(c) for _ in range(c.experts))

    def shares(self, logits, routes=None):
        """(routes, what the output of each weighs), [.., top] both."""
        routes = picked(logits, self.top) if routes is None else routes
        share = torch.softmax(logits, -1).gather(-1, routes)
        return routes, share / share.sum(-1, keepdim=True) if self.renormalised else share

    def forward(self, x, router, routes=None):
        """routes: [B, T, top] where they are given; else the router's."""
        routes, share = self.shares(router(x), routes)
        y = torch.zeros_like(x)
        for i, expert in enumerate(self.e):
            rows = (routes == i).any(-1).nonzero(as_tuple=True)
            weight = (share * (routes == i)).sum(-1, keepdim=True)
            y = y.index_put(rows, (weight[rows] * expert(x[rows])).to(y.dtype), accumulate=True)
        return y


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c.heads
        self.qkv = nn.Linear(c.dim, 3 * c.dim)
        self.out = nn.Linear(c.dim, c.dim)
        self.map = None     # the last one, [B, H, T, T]

    def forward(self, x, bias, cos, sin, given=None):
        """given: the map of a layer before (arXiv 2305.11685), for values of this one alone."""
        B, T, D = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        if given is None:
            q, k = rope(q, cos, sin), rope(k, cos, sin)
            s = torch.matmul(q * (D // self.heads) ** -0.5, k.transpose(-1, -2))
            given = torch.softmax(s + bias.to(s.dtype), dim=-1)
        self.map = given
        y = torch.matmul(given, v).transpose(1, 2).reshape(B, T, D)
        return self.out(y)


class Convolution(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.kernel = c.kernel
        self.pw1 = nn.Linear(c.dim, 2 * c.dim)
        self.dw = nn.Conv1d(c.dim, c.dim, c.kernel, groups=c.dim)
        self.pw2 = nn.Linear(c.dim, c.dim)

    def forward(self, x, norm):
        x = F.glu(self.pw1(x), dim=-1)
        x = F.pad(x, (0, 0, self.kernel - 1, 0))
        x = self.dw(x.transpose(1, 2)).transpose(1, 2)
        return self.pw2(F.silu(norm(x)))


class Norms(nn.Module):
    """The six LayerNorms of one virtual layer. Few parameters (12 D), so each layer may own a set."""

    def __init__(self, c):
        super().__init__()
        self.ffn1, self.att, self.conv = LayerNorm(c.dim), LayerNorm(c.dim), LayerNorm(c.dim)
        self.conv_mid, self.ffn2, self.out = LayerNorm(c.dim), LayerNorm(c.dim), LayerNorm(c.dim)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ffn1, self.ffn2 = FeedForward(c), Experts(c) if c.experts else FeedForward(c)
        self.att, self.conv = Attention(c), Convolution(c)

    def forward(self, x, norms, bias, cos, sin, given=None, routing=()):
        """given: an attention map. routing: of a block with experts, the layer's router, and the routes where they
        are given."""
        x = x + 0.5 * self.ffn1(norms.ffn1(x))
        x = x + self.att(norms.att(x), bias, cos, sin, given)
        x = x + self.conv(norms.conv(x), norms.conv_mid)
        x = x + 0.5 * self.ffn2(norms.ffn2(x), *routing)
        return norms.out(x)


class Subsample(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1 = nn.Conv1d(c.mels, c.dim, 3)
        self.conv2 = nn.Conv1d(c.dim, c.dim, 3, stride=2)
        self.norm = LayerNorm(c.dim)

    def forward(self, mel):
        """[B, F, mels] with F even -> [B, F/2, D]; frame j sees mel frames <= 2j + 1."""
        x = F.pad(mel.transpose(1, 2), (2, 0))
        x = F.silu(self.conv1(x))
        x = self.conv2(F.pad(x, (1, 0)))
        return self.norm(x.transpose(1, 2))


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        self.map = None     # of the layer before
        self.register_buffer("mel_mean", torch.zeros(c.mels))
        self.register_buffer("mel_istd", torch.ones(c.mels))
        self.subsample = Subsample(c)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.blocks))
        self.norms = nn.ModuleList(Norms(c) for _ in range(c.norms))
        self.routers = nn.ModuleList(nn.Linear(c.dim, c.experts) for _ in range(c.routers))
        self.head = nn.Linear(c.dim, c.classes)

    def pooled(self, pool, layer):
        """Index into a pool of blocks, norm sets or routers that virtual layer `layer` (0-based) uses."""
        return layer * len(pool) // self.config.depth

    def layer(self, layer, x, bias, cos, sin, routes=None):
        """One virtual layer: [B, T, D] -> [B, T, D]. routes: as Experts has them."""
        block = self.blocks[self.pooled(self.blocks, layer)]
        routing = (self.routers[self.pooled(self.routers, layer)], routes) if self.config.experts else ()
        given = self.map if layer % self.config.maps else None
        x = block(x, self.norms[self.pooled(self.norms, layer)], bias, cos, sin, given, routing)
        self.map = block.att.map
        return x

    def forward(self, mel, depth, chunk=0, left=-1, taps=(), dropped=()):
        """mel [B, F, 80] -> log posteriors [B, T, C] at `depth`.

        taps: depths whose embeddings are wanted too; then returns (logp, {depth: [B, T, D]}).
        dropped: virtual layers (0-based, never the first) that this pass leaves out.
        """
        x = self.subsample((mel - self.mel_mean) * self.mel_istd)
        cos, sin = rope_table(x.shape[1], self.config.dim // self.config.heads, x.device)
        layers = fused.run if fused.applies(self, x) else Encoder.plain
        wanted = {*taps, depth}
        program = [i for i in range(max(wanted)) if i not in dropped]
        exits = {d: self.exit(d, program) for d in wanted}
        x = layers(self, x, program, {n for e in exits.values() for n in e}, chunk, left, cos, sin)
        seen = {d: sum(w * x[n] for n, w in e.items()) if len(e) > 1 else x[max(e)] for d, e in exits.items()}
        logp = F.log_softmax(self.head(seen[depth]).float(), dim=-1)
        return (logp, seen) if taps else logp

    def exit(self, depth, program):
        """{after how many layers of `program` the output is taken: its weight in what leaves at `depth`}."""
        first, run = self.config.exit_from, [(n, i + 1) for n, i in enumerate(program, 1) if i < depth]
        weights = {n: (layer - first + 1) ** -self.config.exit_power for n, layer in run if 0 < first <= layer}
        return {n: w / sum(weights.values()) for n, w in weights.items()} or {run[-1][0]: 1.0}

    def plain(self, x, program, taps, chunk, left, cos, sin):
        """x [B, T, D] through the virtual layers of `program` -> {n: [B, T, D] after n of them} for n in taps."""
        T = x.shape[1]
        bias = torch.zeros(T, T, device=x.device)
        bias.masked_fill_(~chunk_mask(T, chunk, left, x.device), -1e9)
        seen = {}
        for n, layer in enumerate(program, 1):
            x = self.layer(layer, x, bias, cos, sin)
            if n in taps:
                seen[n] = x
        return seen

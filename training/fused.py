"""The stack of virtual layers in C (fused.c) for training on a CPU with AMX or AVX512_BF16.

model.py's blocks are the readable oracle (check_fused.py compares); this is the same function with
bf16 products, several times faster. One autograd function runs all layers, so that the gradients
of shared weights are summed over the layers in place.

Of layers with experts C does what comes before them, a layer at a time; `through` is model.Experts, with frames sorted
by expert and routers in float32.
"""

import ctypes
import os
import subprocess
import tempfile

import torch

_HERE = os.path.dirname(os.path.abspath(__file__))
enabled = True      # False: always the plain layers (train.py --no-fused)


def _load():
    with tempfile.TemporaryDirectory(prefix="shoal-") as folder:
        lib = os.path.join(folder, "fused.so")
        try:
            subprocess.run(["gcc", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC", "-shared",
                            "-o", lib, os.path.join(_HERE, "fused.c"), "-lm"], check=True, capture_output=True)
            lib = ctypes.CDLL(lib)
        except (OSError, subprocess.CalledProcessError):
            return None
    return lib if lib.fused_available() else None


_lib = None


def _ready():
    """The compiled library; False where it cannot be built or the CPU has neither."""
    global _lib
    if _lib is None:
        _lib = _load() or False
    return _lib


class _Shape(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int) for n in "B T D F H taps chunk left threads stem".split()]


class _Pool:
    """Large buffers that outlive a step: fresh memory costs page faults in every one of them."""

    def __init__(self):
        self.free = []

    def take(self, size):
        fit = [b for b in self.free if b.numel() >= size]
        if not fit:
            b = torch.empty(size + size // 4, dtype=torch.uint8)
            _lib.fused_advise(_at(b), ctypes.c_size_t(b.numel()))
            return b
        b = min(fit, key=torch.Tensor.numel)
        self.free = [x for x in self.free if x is not b]
        return b

    def give(self, *buffers):
        self.free.extend(buffers)
        self.free = sorted(self.free, key=torch.Tensor.numel)[-32:]


_pool = _Pool()


def _at(t):
    return ctypes.c_void_p(t.data_ptr())


def _pointers(tensors):
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))


class _Stack:
    """What one pass through the layers needs to know, and its memory."""

    def __init__(self, config, x, chunk, left, taps, blocks, norms, sources, cos, sin):
        """taps: after how many layers the output is wanted, ascending, the last after all of them;
        blocks, norms: lists of a layer's parameters, by layer; sources: the layer whose attention map it takes, or None."""
        B, T, D = x.shape
        self.shape = _Shape(B, T, D, config.ffn, config.heads, config.kernel, chunk, left,
                            torch.get_num_threads(), bool(config.experts))
        sizes = (ctypes.c_size_t * 3)()
        _lib.fused_sizes(ctypes.byref(self.shape), sizes)
        self.packed_size, self.saved_size, self.scratch_size = sizes
        self.taps, self.cos, self.sin = taps, cos.contiguous(), sin.contiguous()
        self.blocks, self.norms, self.sources = blocks, norms, sources
        self.packed, self.saved = {}, []

    def pack(self):
        for block in self.blocks:
            if id(block) not in self.packed:
                w = self.packed[id(block)] = _pool.take(self.packed_size)
                _lib.fused_pack(ctypes.byref(self.shape), _pointers(block), _at(w))

    def common(self, layer):
        block = self.blocks[layer]
        return (ctypes.byref(self.shape), _at(self.packed[id(block)]), _pointers(block),
                _pointers(self.norms[layer]), _at(self.cos), _at(self.sin))

    def source(self, layer):
        return None if self.sources[layer] is None else _at(self.saved[self.sources[layer]])

    def forward(self, x):
        self.pack()
        scratch = _pool.take(self.scratch_size)
        out = []
        for layer in range(self.taps[-1]):
            y = torch.empty_like(x)
            self.saved.append(_pool.take(self.saved_size))
            _lib.fused_forward(*self.common(layer), _at(x), _at(y), _at(self.saved[-1]), _at(scratch), self.source(layer))
            x = y
            if layer + 1 in self.taps:
                out.append(x)
        _pool.give(scratch)
        return tuple(out)

    def forget(self):
        """What only backward would need."""
        _pool.give(*self.saved, *self.packed.values())
        self.saved, self.packed = [], {}

    def backward(self, grads):
        """Gradients of the taps -> gradient of x, {id of a parameter: its gradient}."""
        if not self.saved:
            raise RuntimeError("the fused layers keep what backward needs only once")
        scratch = _pool.take(self.scratch_size)
        sums = {id(p): torch.zeros_like(p) for group in self.blocks + self.norms for p in group}
        by_depth = dict(zip(self.taps, grads))
        dx = torch.zeros(self.shape.B, self.shape.T, self.shape.D)
        carry = torch.zeros(2 * dx.numel()) if any(s is not None for s in self.sources) else None
        for layer in reversed(range(self.taps[-1])):
            if by_depth.get(layer + 1) is not None:
                dx += by_depth[layer + 1]
            source, saved = self.source(layer), self.saved.pop()
            _lib.fused_backward(*self.common(layer), _at(dx), _pointers([sums[id(p)] for p in self.blocks[layer]]),
                                _pointers([sums[id(p)] for p in self.norms[layer]]), _at(saved), _at(scratch), source,
                                carry if carry is None else _at(carry))
            _pool.give(saved)
        _pool.give(scratch, *self.packed.values())
        self.packed = {}
        return dx, sums


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx, stack, x, *parameters):
        ctx.stack, ctx.ids = stack, [id(p) for p in parameters]
        ctx.save_for_backward(*parameters)      # so that autograd notices if they change meanwhile
        ctx.set_materialize_grads(False)
        out = stack.forward(x.detach().contiguous())
        if not any(ctx.needs_input_grad):       # of a teacher, say
            stack.forget()
        return out

    @staticmethod
    def backward(ctx, *grads):
        ctx.saved_tensors
        dx, sums = ctx.stack.backward(grads)
        return (None, dx, *(sums[i] for i in ctx.ids))


def applies(model, x):
    """Whether run() may stand in for the plain layers: training under bf16 autocast, such a CPU, sizes that fit."""
    c = model.config
    sizes = c.dim % 32 == 0 and c.ffn % 32 == 0 and c.dim % c.heads == 0 and c.dim // c.heads % 32 == 0
    kind = not c.experts or (c.maps == 1 and torch.is_grad_enabled())
    return (enabled and sizes and kind and model.training and not x.is_cuda and x.dtype == torch.float32
            and torch.is_autocast_cpu_enabled() and torch.get_autocast_cpu_dtype() == torch.bfloat16 and bool(_ready()))


def through(experts, x, router):
    """model.Experts' forward of x [B, T, D]."""
    rows = x.flatten(0, 1)
    with torch.autocast("cpu", enabled=False):
        routes, share = experts.shares(router(rows.float()))
    order = routes.flatten().argsort(stable=True)       # by expert
    frame, each = order // experts.top, routes.flatten().bincount(minlength=len(experts.e)).tolist()
    out = torch.cat([e(part) for e, part in zip(experts.e, rows.index_select(0, frame).split(each))])
    out = out.float() * share.flatten().index_select(0, order)[:, None]
    return torch.zeros_like(rows, dtype=torch.float32).index_add(0, frame, out).view(x.shape)


def _run_experts(encoder, x, program, taps, chunk, left, cos, sin):
    seen = {}
    for n, i in enumerate(program, 1):
        block, norms, router = (pool[encoder.pooled(pool, i)] for pool in (encoder.blocks, encoder.norms, encoder.routers))
        ffn1, rest = [*block.ffn1.parameters()], [*block.att.parameters(), *block.conv.parameters()]
        of_norms = [*norms.parameters()]
        stack = _Stack(encoder.config, x, chunk, left, [1], [ffn1 + ffn1 + rest], [of_norms], [None], cos, sin)
        x, = _Run.apply(stack, x, *ffn1, *rest, *of_norms)
        x = norms.out(x + 0.5 * through(block.ffn2, norms.ffn2(x), router))
        if n in taps:
            seen[n] = x
    return seen


def run(model, x, program, taps, chunk, left, cos, sin):
    """x [B, T, D] through the virtual layers of `program` -> {n: [B, T, D] after n of them} for n in taps."""
    if model.config.experts:
        return _run_experts(model, x, program, taps, chunk, left, cos, sin)
    taps = sorted(taps)
    lists = {}

    def of(module):
        return lists.setdefault(id(module), list(module.parameters()))

    blocks = [of(model.blocks[model.pooled(model.blocks, i)]) for i in program]
    norms = [of(model.norms[model.pooled(model.norms, i)]) for i in program]
    sources, maker = [], None
    for n, i in enumerate(program):
        takes = i % model.config.maps and n > 0
        sources.append(maker if takes else None)
        maker = maker if takes else n
    stack = _Stack(model.config, x, chunk, left, taps, blocks, norms, sources, cos, sin)
    if not torch.is_grad_enabled():
        seen = stack.forward(x.contiguous())
        stack.forget()
        return dict(zip(taps, seen))
    parameters = [p for group in lists.values() for p in group]
    return dict(zip(taps, _Run.apply(stack, x, *parameters)))

"""A fast bf16 SiLU for CPU training (fused.c); plain F.silu everywhere else."""

import ctypes
import os
import subprocess
import tempfile

import torch
import torch.nn.functional as F


def _load():
    src = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fused.c")
    lib = os.path.join(tempfile.mkdtemp(prefix="shoal-"), "fused.so")
    try:
        subprocess.run(["gcc", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC", "-shared",
                        "-o", lib, src], check=True, capture_output=True)
        return ctypes.CDLL(lib)
    except (OSError, subprocess.CalledProcessError):
        return None


_lib = _load()


def _call(fn, *tensors):
    fn(*(ctypes.c_void_p(t.data_ptr()) for t in tensors), ctypes.c_ssize_t(tensors[0].numel()),
       ctypes.c_int(torch.get_num_threads()))


class _Silu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.contiguous()
        ctx.save_for_backward(x)
        y = torch.empty_like(x)
        _call(_lib.silu_forward, x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        d = torch.empty_like(x)
        _call(_lib.silu_backward, x, g.contiguous(), d)
        return d


def silu(x):
    if _lib is None or x.dtype != torch.bfloat16 or x.is_cuda:
        return F.silu(x)
    return _Silu.apply(x)

"""Attention written out for training in bfloat16.

On a CPU LibTorch's fused attention has a backward that takes most of a training step, because it goes through
sequences as short as a clip one by one: README.md has what that costs. On a GPU its kernels work in tiles of
64 or 128 tokens, of which a clip fills 16.
"""

import contextlib
import sys
from collections.abc import Iterator
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

SHORT = 32
"""Tokens up to which attention is written out on a GPU."""


def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(width)) v for q [..., n, width], k and v [..., m, width]."""
    scores = (q * q.size(-1) ** -0.5) @ k.transpose(-1, -2)
    return torch.softmax(scores, dim=-1).to(v.dtype) @ v


@contextlib.contextmanager
def attention_for_training(device: torch.device, bf16: bool) -> Iterator[None]:
    """Inside the block, networks in bfloat16 use `written_out`; causal attention stays as it is, and on a GPU
    all but the attention between the frames of a clip."""
    if not bf16:
        yield
        return
    longest = sys.maxsize if device.type == "cpu" else SHORT
    fused = F.scaled_dot_product_attention

    def attention(q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> Tensor:
        if is_causal or q.size(-2) > longest or k.size(-2) > longest:
            return fused(q, k, v, is_causal=is_causal)
        return written_out(q, k, v)

    with mock.patch.object(F, "scaled_dot_product_attention", attention):
        yield

"""Attention written out for training on a CPU.

LibTorch's fused attention has a backward that takes most of a training step in bfloat16, because it goes
through sequences as short as a clip one by one: README.md has what that costs.
"""

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor


def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(width)) v for q [..., n, width], k and v [..., m, width]."""
    scores = (q * q.size(-1) ** -0.5) @ k.transpose(-1, -2)
    return torch.softmax(scores, dim=-1).to(v.dtype) @ v


@contextlib.contextmanager
def attention_for_training(device: torch.device, bf16: bool) -> Iterator[None]:
    """Inside the block, networks on a CPU in bfloat16 use `written_out`; causal attention stays as it is."""
    if device.type != "cpu" or not bf16:
        yield
        return
    fused = F.scaled_dot_product_attention

    def attention(q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> Tensor:
        return fused(q, k, v, is_causal=True) if is_causal else written_out(q, k, v)

    with mock.patch.object(F, "scaled_dot_product_attention", attention):
        yield

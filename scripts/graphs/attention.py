"""Attention and feed-forward layers shared by the spatial transformers and the motion modules."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention without bias on q, k and v; never materialises the score matrix.

    forward(x [n, queries, width], context [m, keys, context_width]) -> [n, queries, width].
    m may divide n: consecutive queries then share one context (the frames of a clip share its text), and
    keys and values are computed once for all of them.
    """

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        width = x.size(2)
        shared = context.size(0)
        q = self.to_q(x).view(shared, -1, self.heads, width // self.heads).transpose(1, 2)
        k = self.to_k(context).view(shared, -1, self.heads, width // self.heads).transpose(1, 2)
        v = self.to_v(context).view(shared, -1, self.heads, width // self.heads).transpose(1, 2)
        out = F.scaled_dot_product_attention(q, k, v)
        out = out.transpose(1, 2).reshape(x.size(0), x.size(1), width)
        return self.to_out[0](out)


class GatedProjection(nn.Module):
    """Linear to twice the width, one half gating the other by an exact GELU (GEGLU, arXiv 2002.05202)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        hidden, gate = self.proj(x).chunk(2, dim=-1)
        return hidden * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU to four times the width and back. [n, tokens, width] -> the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList(
            [GatedProjection(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)]
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


class BasicTransformerBlock(nn.Module):
    """Self-attention, attention to the text, feed-forward; each after a LayerNorm and with a residual."""

    def __init__(self, width: int, text_width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, text_width, heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, x: Tensor, text: Tensor, repeats: int) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        if repeats > 1:
            x = torch.cat([x] * repeats)
        x = x + self.attn2(self.norm2(x), text)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Transformer over the pixels of each frame, conditioned on text.

    forward(x [batch * frames / repeats, width, h, w],
    text [batch or batch * frames, tokens, text_width], repeats) -> [batch * frames, width, h, w]:
    `repeats` parts of the text, one behind the other, see the same pictures.
    """

    def __init__(self, width: int, text_width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(width, text_width, heads)])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, text: Tensor, repeats: int) -> Tensor:
        n, width, h, w = x.shape
        hidden = self.proj_in(self.norm(x))
        hidden = hidden.permute(0, 2, 3, 1).reshape(n, h * w, width)
        for block in self.transformer_blocks:
            hidden = block(hidden, text, repeats)
        hidden = hidden.reshape(n * repeats, h, w, width).permute(0, 3, 1, 2).contiguous()
        if repeats > 1:
            x = torch.cat([x] * repeats)
        return self.proj_out(hidden) + x

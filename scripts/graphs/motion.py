"""AnimateDiff's motion module: a transformer over the frames of every pixel.

Parameter names are those of the original checkpoints (guoyww/AnimateDiff
`animatediff/models/motion_module.py`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import FeedForward
from .norm import FrameGroupNorm


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of short sequences [n, heads, frames, width / heads], one per pixel.

    CUDA kernels take fewer than 65536 sequences at once, so that large pictures go in pieces.
    """
    if q.size(0) <= 32768:
        return F.scaled_dot_product_attention(q, k, v)
    pieces: list[Tensor] = []
    for start in range(0, q.size(0), 32768):
        end = start + 32768
        pieces.append(F.scaled_dot_product_attention(q[start:end], k[start:end], v[start:end]))
    return torch.cat(pieces)


class PositionEncoding(nn.Module):
    """Table `pe` [1, positions, width] of which the first `frames` rows are added."""

    def __init__(self, width: int, positions: int) -> None:
        super().__init__()
        self.register_buffer("pe", torch.zeros(1, positions, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.size(1)]


class TemporalAttention(nn.Module):
    """Self-attention over frames. x [pixels, frames, width] is normed; q, k and v all see the positions."""

    def __init__(self, width: int, heads: int, positions: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.pos_encoder = PositionEncoding(width, positions)

    def forward(self, x: Tensor) -> Tensor:
        n, frames, width = x.shape
        x = self.pos_encoder(x)
        q = self.to_q(x).view(n, frames, self.heads, width // self.heads).transpose(1, 2)
        k = self.to_k(x).view(n, frames, self.heads, width // self.heads).transpose(1, 2)
        v = self.to_v(x).view(n, frames, self.heads, width // self.heads).transpose(1, 2)
        out = attend(q, k, v)
        return self.to_out[0](out.transpose(1, 2).reshape(n, frames, width))


class TemporalTransformerBlock(nn.Module):
    """Two temporal self-attentions and a feed-forward, each after a LayerNorm and with a residual."""

    def __init__(self, width: int, heads: int, positions: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList([TemporalAttention(width, heads, positions) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.ff = FeedForward(width)
        self.ff_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        for attention, norm in zip(self.attention_blocks, self.norms):
            x = x + attention(norm(x))
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nn.Module):
    """x [batch * frames, width, h, w] -> the same shape; a residual runs around the whole module."""

    def __init__(self, width: int, heads: int, groups: int, positions: int) -> None:
        super().__init__()
        self.norm = FrameGroupNorm(groups, width, 1e-6)
        self.proj_in = nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([TemporalTransformerBlock(width, heads, positions)])
        self.proj_out = nn.Linear(width, width)

    def forward(self, x: Tensor, frames: int, norm_over_frames: bool) -> Tensor:
        n, width, h, w = x.shape
        batch = n // frames
        hidden = self.norm(x, frames, norm_over_frames).view(batch, frames, width, h * w)
        hidden = hidden.permute(0, 3, 1, 2).reshape(batch * h * w, frames, width)
        hidden = self.proj_in(hidden)
        for block in self.transformer_blocks:
            hidden = block(hidden)
        hidden = self.proj_out(hidden).view(batch, h * w, frames, width)
        return hidden.permute(0, 2, 3, 1).reshape(n, width, h, w) + x


class MotionModule(nn.Module):
    """Holds the temporal transformer under the name that checkpoints use."""

    def __init__(self, width: int, heads: int, groups: int, positions: int) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(width, heads, groups, positions)

    def forward(self, x: Tensor, frames: int, norm_over_frames: bool) -> Tensor:
        return self.temporal_transformer(x, frames, norm_over_frames)

"""GroupNorm whose statistics are taken per frame or over all frames of a clip."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrameGroupNorm(nn.Module):
    """GroupNorm of x [batch * frames, channels, h, w].

    `over_frames` False: statistics of each frame alone (guoyww/AnimateDiff `InflatedGroupNorm`).
    `over_frames` True: statistics over (channels / groups, frames, h, w) of each clip, as a plain
    GroupNorm on the 5-D tensor gives them (AnimateDiff v1; diffusers' motion modules).
    """

    def __init__(self, groups: int, channels: int, eps: float) -> None:
        super().__init__()
        self.groups = groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, frames: int, over_frames: bool) -> Tensor:
        if not over_frames or frames == 1:
            return F.group_norm(x, self.groups, self.weight, self.bias, self.eps)
        n, c, h, w = x.shape
        clips = x.view(n // frames, frames, c, h * w).transpose(1, 2)
        normed = F.group_norm(clips, self.groups, self.weight, self.bias, self.eps)
        return normed.transpose(1, 2).reshape(n, c, h, w)

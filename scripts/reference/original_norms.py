"""Turns a diffusers motion UNet into what guoyww/AnimateDiff computes (`compat: 'original'`).

diffusers takes the statistics of a motion module's GroupNorm over all frames of a clip; the original takes
them per frame. The original v1 configuration (`use_inflated_groupnorm: false`) in turn normalises over all
frames in every ResNet block and in `conv_norm_out`, where diffusers does so per frame. The norm of the
spatial transformers is per frame in both. Sources: guoyww/AnimateDiff `models/motion_module.py`,
`models/resnet.py`, `configs/inference/inference-v{1,2,3}.yaml`.
"""

import torch
from diffusers import UNetMotionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import nn
from torch.nn.functional import group_norm


class GroupNormPerFrame(nn.Module):
    """GroupNorm of [batch, channels, frames, height, width] with the statistics of each frame."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = x.transpose(1, 2)
        return self.norm(frames.flatten(0, 1)).view(frames.shape).transpose(1, 2)


class GroupNormOverFrames(nn.GroupNorm):
    """GroupNorm of [batch · frames, channels, height, width] with the statistics of each whole clip."""

    frames = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        clips = x.unflatten(0, (-1, self.frames)).transpose(1, 2)
        clips = group_norm(clips, self.num_groups, self.weight, self.bias, self.eps)
        return clips.transpose(1, 2).flatten(0, 1)


def use_original_norms(unet: UNetMotionModel, version: str) -> UNetMotionModel:
    """Changes `unet` in place for a motion module of the given version (`v1`, `v2`, `v3`)."""
    for module in unet.modules():
        if isinstance(module, AnimateDiffTransformer3D):
            module.norm = GroupNormPerFrame(module.norm)
    if version != "v1":
        return unet
    norms = [unet.conv_norm_out]
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            norms += [module.norm1, module.norm2]
    for norm in norms:
        norm.__class__ = GroupNormOverFrames

    def tell_frames(_unet: nn.Module, positional: tuple, named: dict) -> None:
        sample = named["sample"] if "sample" in named else positional[0]
        for norm in norms:
            norm.frames = sample.shape[2]

    unet.register_forward_pre_hook(tell_frames, with_kwargs=True)
    return unet

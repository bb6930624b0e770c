"""Teaches the UNet how it can be led to what a camera sees: by features at the places of the motion modules.

A still shows one part of a panorama, from near or from afar, and nothing tells the UNet which; so it has no
feature that a MotionLoRA could turn to move the camera. While `views` trains, a linear map adds the camera's
state to the features where a motion module adds its own. It is thrown away afterwards. What it used as
directions stays: a MotionLoRA only has to add them again, frame by frame.
"""

import torch
from graphs.unet import NoMotion, UNet
from torch import Tensor, nn

from ..drawing.backgrounds import AROUND
from ..drawing.camera import PAN, ZOOM, view
from ..drawing.dataset import Source
from ..drawing.motions import FRAMES
from ..drawing.scene import scene_at

STATE = 6
"""Numbers that describe a camera: sine and cosine of its place in the panorama and of twice that angle, way
of the pan, magnification."""


def camera_states(source: Source) -> Tensor:
    """[scenes, 16, STATE]: the camera of every frame; no frame's is all zeros."""
    frames = torch.arange(FRAMES)
    shift = torch.tensor(
        [scene_at(source.seed, i, camera=source.camera)[0].shift for i in range(source.scenes)]
    )
    seen = view(source.camera, frames.numpy())
    left, zoom = (torch.from_numpy(values).expand(source.scenes, -1) for values in (seen.left, seen.zoom))
    angle = 2 * torch.pi * (shift[:, None] + left / AROUND)
    parts = [angle.sin(), angle.cos(), (2 * angle).sin(), (2 * angle).cos()]
    return torch.stack([*parts, left / (PAN / 2), (zoom - 1) / (ZOOM - 1)], dim=2).float()


class Steering(nn.Module):
    """Adds maps of `state` [batch, STATE] to a UNet's features, one at each place of a motion module."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.state: Tensor | None = None
        blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
        self.maps = nn.ModuleList()
        for block in blocks:
            for resnet, place in zip(block.resnets, block.motion_modules):
                assert isinstance(place, NoMotion)
                steer = nn.Linear(STATE, resnet.conv2.out_channels, bias=False)
                nn.init.zeros_(steer.weight)
                self.maps.append(steer)
                place.register_forward_hook(
                    lambda _, __, features, steer=steer: self.steered(features, steer)
                )

    def steered(self, features: Tensor, steer: nn.Module) -> Tensor:
        return features if self.state is None else features + steer(self.state)[:, :, None, None]

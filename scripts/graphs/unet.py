"""The UNet of Stable Diffusion 1.5, with or without AnimateDiff's motion modules.

Inside, frames are folded into the batch: [batch * frames, channels, h, w], frames of a clip adjacent.
Sources: CompVis latent diffusion (arXiv 2112.10752), guoyww/AnimateDiff (arXiv 2307.04725).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import SpatialTransformer
from .families import UNetConfig
from .motion import MotionModule
from .norm import FrameGroupNorm


def repeated(x: Tensor, repeats: int) -> Tensor:
    """`repeats` copies of x behind one another along its first dimension."""
    return x if repeats == 1 else torch.cat([x] * repeats)


class TimestepEmbedding(nn.Module):
    """Sinusoids of the timestep, cosines first, and two linear layers. [batch] -> [batch, 4 * width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.linear_1 = nn.Linear(width, 4 * width)
        self.linear_2 = nn.Linear(4 * width, 4 * width)

    def forward(self, timestep: Tensor) -> Tensor:
        half = self.width // 2
        index = torch.arange(half, dtype=torch.float32, device=timestep.device)
        angle = timestep.to(torch.float32)[:, None] * torch.exp(index * -math.log(10000.0) / half)[None]
        wave = torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
        return self.linear_2(F.silu(self.linear_1(wave.to(self.linear_1.weight.dtype))))


class ResnetBlock(nn.Module):
    """Two convolutions with a residual. `temb` [batch, 4 * width] is the time embedding after its SiLU.

    x may be the first rows only, where the others are the same (UNet).
    """

    def __init__(self, inputs: int, outputs: int, temb: int, groups: int) -> None:
        super().__init__()
        self.norm1 = FrameGroupNorm(groups, inputs, 1e-5)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(temb, outputs)
        self.norm2 = FrameGroupNorm(groups, outputs, 1e-5)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor, temb: Tensor, frames: int, norm_over_frames: bool) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x, frames, norm_over_frames)))
        shift = self.time_emb_proj(temb[: x.size(0) // frames]).repeat_interleave(frames, dim=0)
        hidden = hidden + shift[:, :, None, None]
        hidden = self.conv2(F.silu(self.norm2(hidden, frames, norm_over_frames)))
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        return x + hidden


class Downsample(nn.Module):
    """Halves height and width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Nearest neighbour to the size of the next skip connection, then a convolution.

    The operator is called by its own name: F.interpolate names every mode in the archive, and older versions
    of LibTorch do not know all of them.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        return self.conv(torch._C._nn.upsample_nearest2d(x, [height, width]))


class Skip(nn.Module):
    """Channels of a skip connection behind those of the hidden state."""

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([x, skip], dim=1)


class NoAttention(nn.Module):
    """Stands where a block has no spatial transformer."""

    def forward(self, x: Tensor, text: Tensor, repeats: int) -> Tensor:
        return repeated(x, repeats)


class NoMotion(nn.Module):
    """Stands where a block has no motion module."""

    def forward(self, x: Tensor, frames: int, norm_over_frames: bool) -> Tensor:
        return x


def attention_layers(count: int, width: int, config: UNetConfig, present: bool) -> nn.ModuleList:
    """`count` spatial transformers, or as many pass-through layers."""
    if not present:
        return nn.ModuleList([NoAttention() for _ in range(count)])
    return nn.ModuleList(
        [SpatialTransformer(width, config.text_width, config.heads, config.groups) for _ in range(count)]
    )


def motion_layers(count: int, width: int, config: UNetConfig, present: bool) -> nn.ModuleList:
    """`count` motion modules, or as many pass-through layers."""
    if not present:
        return nn.ModuleList([NoMotion() for _ in range(count)])
    return nn.ModuleList(
        [
            MotionModule(width, config.motion_heads, config.motion_groups, config.motion_positions)
            for _ in range(count)
        ]
    )


class DownBlock(nn.Module):
    """Layers of one resolution on the way down; every layer's and the downsampler's output is a skip."""

    def __init__(
        self, inputs: int, width: int, config: UNetConfig, attention: bool, motion: bool, last: bool
    ) -> None:
        super().__init__()
        count = config.layers_per_block
        temb = 4 * config.widths[0]
        self.resnets = nn.ModuleList(
            [ResnetBlock(inputs if i == 0 else width, width, temb, config.groups) for i in range(count)]
        )
        self.attentions = attention_layers(count, width, config, attention)
        self.motion_modules = motion_layers(count, width, config, motion)
        self.downsamplers = None if last else nn.ModuleList([Downsample(width)])

    def forward(
        self,
        x: Tensor,
        temb: Tensor,
        text: Tensor,
        frames: int,
        norm_over_frames: bool,
        motion_norm_over_frames: bool,
        skips: list[Tensor],
    ) -> Tensor:
        for resnet, attention, motion in zip(self.resnets, self.attentions, self.motion_modules):
            x = resnet(x, temb, frames, norm_over_frames)
            x = attention(x, text, temb.size(0) * frames // x.size(0))
            x = motion(x, frames, motion_norm_over_frames)
            skips.append(x)
        if self.downsamplers is not None:
            for downsampler in self.downsamplers:
                x = downsampler(x)
            skips.append(x)
        return x


class MidBlock(nn.Module):
    """ResNet, spatial transformer, motion module (v2 only), ResNet."""

    def __init__(self, config: UNetConfig, motion: bool) -> None:
        super().__init__()
        width = config.widths[-1]
        temb = 4 * config.widths[0]
        self.resnets = nn.ModuleList([ResnetBlock(width, width, temb, config.groups) for _ in range(2)])
        self.attentions = attention_layers(1, width, config, True)
        self.motion_modules = motion_layers(1, width, config, motion)

    def forward(
        self,
        x: Tensor,
        temb: Tensor,
        text: Tensor,
        frames: int,
        norm_over_frames: bool,
        motion_norm_over_frames: bool,
    ) -> Tensor:
        x = self.resnets[0](x, temb, frames, norm_over_frames)
        x = self.attentions[0](x, text, 1)
        x = self.motion_modules[0](x, frames, motion_norm_over_frames)
        return self.resnets[1](x, temb, frames, norm_over_frames)


class UpBlock(nn.Module):
    """Layers of one resolution on the way up; each takes one skip from the end of the list."""

    def __init__(self, inputs: list[int], width: int, config: UNetConfig, attention: bool, motion: bool):
        super().__init__()
        count = len(inputs)
        temb = 4 * config.widths[0]
        self.resnets = nn.ModuleList([ResnetBlock(i, width, temb, config.groups) for i in inputs])
        self.attentions = attention_layers(count, width, config, attention)
        self.motion_modules = motion_layers(count, width, config, motion)
        self.upsamplers = nn.ModuleList([Upsample(width)])
        self.skip = Skip()

    def forward(
        self,
        x: Tensor,
        temb: Tensor,
        text: Tensor,
        frames: int,
        norm_over_frames: bool,
        motion_norm_over_frames: bool,
        skips: list[Tensor],
    ) -> Tensor:
        for resnet, attention, motion in zip(self.resnets, self.attentions, self.motion_modules):
            x = resnet(self.skip(x, skips.pop()), temb, frames, norm_over_frames)
            x = attention(x, text, 1)
            x = motion(x, frames, motion_norm_over_frames)
        size = skips[-1].shape
        for upsampler in self.upsamplers:
            x = upsampler(x, size[2], size[3])
        return x


class LastUpBlock(nn.Module):
    """The UpBlock of full resolution: three layers, no upsampler. forward() runs two, finish() the last.

    They are written out, since TorchScript takes no part of a list of modules, and would keep the input of a
    layer that runs under a condition until the condition's end.
    """

    def __init__(self, inputs: list[int], width: int, config: UNetConfig, attention: bool, motion: bool):
        super().__init__()
        count = len(inputs)
        temb = 4 * config.widths[0]
        self.resnets = nn.ModuleList([ResnetBlock(i, width, temb, config.groups) for i in inputs])
        self.attentions = attention_layers(count, width, config, attention)
        self.motion_modules = motion_layers(count, width, config, motion)
        self.skip = Skip()

    def forward(
        self,
        x: Tensor,
        temb: Tensor,
        text: Tensor,
        frames: int,
        norm_over_frames: bool,
        motion_norm_over_frames: bool,
        skips: list[Tensor],
    ) -> Tensor:
        x = self.resnets[0](self.skip(x, skips.pop()), temb, frames, norm_over_frames)
        x = self.motion_modules[0](self.attentions[0](x, text, 1), frames, motion_norm_over_frames)
        x = self.resnets[1](self.skip(x, skips.pop()), temb, frames, norm_over_frames)
        return self.motion_modules[1](self.attentions[1](x, text, 1), frames, motion_norm_over_frames)

    def finish(
        self,
        x: Tensor,
        temb: Tensor,
        text: Tensor,
        frames: int,
        norm_over_frames: bool,
        motion_norm_over_frames: bool,
        skip: Tensor,
    ) -> Tensor:
        x = self.resnets[2](self.skip(x, skip), temb, frames, norm_over_frames)
        return self.motion_modules[2](self.attentions[2](x, text, 1), frames, motion_norm_over_frames)


def up_inputs(config: UNetConfig, level: int) -> list[int]:
    """Channels that enter each ResNet of up block `level`: the hidden state plus one skip."""
    widths = list(reversed(config.widths))
    width = widths[level]
    before = widths[max(level - 1, 0)]
    after = widths[min(level + 1, len(widths) - 1)]
    count = config.layers_per_block + 1
    return [(before if i == 0 else width) + (after if i == count - 1 else width) for i in range(count)]


class UNet(nn.Module):
    """Predicts noise for clips.

    forward(sample [batch or fewer, in_channels, frames, h, w], timestep [batch],
    text [batch or batch * frames, tokens, text_width], norm_over_frames, motion_norm_over_frames)
    -> [batch, out_channels, frames, h, w].

    Rows that the sample lacks are those that it has, repeated, with the timesteps of the first ones: so the
    halves of classifier-free guidance, which differ in their text, share what comes before the first
    attention to it.

    `motion`: motion modules in the down and up blocks; `motion_mid`: also in the middle (v2).
    """

    def __init__(self, config: UNetConfig, motion: bool, motion_mid: bool) -> None:
        super().__init__()
        widths = config.widths
        top = len(widths) - 1
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0])
        self.down_blocks = nn.ModuleList(
            [
                DownBlock(widths[max(i - 1, 0)], widths[i], config, i < top, motion, i == top)
                for i in range(len(widths))
            ]
        )
        self.mid_block = MidBlock(config, motion_mid)
        up = [UpBlock(up_inputs(config, i), widths[top - i], config, i > 0, motion) for i in range(top)]
        self.up_blocks = nn.ModuleList(
            [*up, LastUpBlock(up_inputs(config, top), widths[0], config, True, motion)]
        )
        self.conv_norm_out = FrameGroupNorm(config.groups, widths[0], 1e-5)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        text: Tensor,
        norm_over_frames: bool,
        motion_norm_over_frames: bool,
    ) -> Tensor:
        temb, x = self.enter(sample, timestep)
        frames = sample.size(2)
        deep = self.deepen(x, temb, text, frames, norm_over_frames, motion_norm_over_frames)
        return self.leave(x, deep, temb, text, frames, norm_over_frames, motion_norm_over_frames)

    @torch.jit.export
    def predict(
        self,
        sample: Tensor,
        timestep: Tensor,
        text: Tensor,
        norm_over_frames: bool,
        motion_norm_over_frames: bool,
        deep: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """The noise, and the features [batch * frames, widths[0], h, w] that enter the last layer.

        Given those of an earlier timestep as `deep`, the first convolution, that layer and the output are all
        that runs: DeepCache (Ma et al., arXiv 2312.00858) with its shortest branch.
        """
        temb, x = self.enter(sample, timestep)
        frames = sample.size(2)
        if deep is None:
            deep = self.deepen(x, temb, text, frames, norm_over_frames, motion_norm_over_frames)
        return self.leave(x, deep, temb, text, frames, norm_over_frames, motion_norm_over_frames), deep

    def enter(self, sample: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Time embedding [batch, 4 * widths[0]] and the first features [batch * frames, widths[0], h, w]."""
        temb = F.silu(self.time_embedding(timestep))
        return temb, self.conv_in(sample.transpose(1, 2).flatten(0, 1))

    def deepen(
        self,
        x: Tensor,
        temb: Tensor,
        text: Tensor,
        frames: int,
        norm_over_frames: bool,
        motion_norm_over_frames: bool,
    ) -> Tensor:
        """From the first features to those that enter the last layer on the way up."""
        skips = [x]
        for block in self.down_blocks:
            x = block(x, temb, text, frames, norm_over_frames, motion_norm_over_frames, skips)
        x = self.mid_block(x, temb, text, frames, norm_over_frames, motion_norm_over_frames)
        for block in self.up_blocks:
            x = block(x, temb, text, frames, norm_over_frames, motion_norm_over_frames, skips)
        return x

    def leave(
        self,
        first: Tensor,
        deep: Tensor,
        temb: Tensor,
        text: Tensor,
        frames: int,
        norm_over_frames: bool,
        motion_norm_over_frames: bool,
    ) -> Tensor:
        """The last layer on the way up, which takes the first features as its skip, and the output."""
        skip = repeated(first, deep.size(0) // first.size(0))
        x = self.up_blocks[-1].finish(
            deep, temb, text, frames, norm_over_frames, motion_norm_over_frames, skip
        )
        x = self.conv_out(F.silu(self.conv_norm_out(x, frames, norm_over_frames)))
        return x.unflatten(0, [-1, frames]).transpose(1, 2)

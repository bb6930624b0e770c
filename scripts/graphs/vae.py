"""Encoder and decoder of the latent diffusion autoencoder (CompVis, arXiv 2112.10752)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .families import VaeConfig


class ResnetBlock(nn.Module):
    """Two convolutions with a residual. [n, inputs, h, w] -> [n, outputs, h, w]."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps=1e-6)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outputs, eps=1e-6)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        return x + hidden


class PixelAttention(nn.Module):
    """Single-head self-attention over the pixels, with a residual. [n, width, h, w] -> the same shape."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        n, width, h, w = x.shape
        hidden = self.group_norm(x).view(n, width, h * w).transpose(1, 2)
        q = self.to_q(hidden).unsqueeze(1)
        k = self.to_k(hidden).unsqueeze(1)
        v = self.to_v(hidden).unsqueeze(1)
        out = F.scaled_dot_product_attention(q, k, v).squeeze(1)
        return self.to_out[0](out).transpose(1, 2).reshape(n, width, h, w) + x


class MidBlock(nn.Module):
    """ResNet, attention, ResNet at the lowest resolution."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([ResnetBlock(width, width, groups) for _ in range(2)])
        self.attentions = nn.ModuleList([PixelAttention(width, groups)])

    def forward(self, x: Tensor) -> Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Downsample(nn.Module):
    """Halves height and width; pads one pixel at the bottom and the right only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, [0, 1, 0, 1]))


class Upsample(nn.Module):
    """Doubles height and width by nearest neighbour, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch._C._nn.upsample_nearest2d(x, [2 * x.size(2), 2 * x.size(3)]))


class DownBlock(nn.Module):
    """ResNets of one resolution, then the downsampler except in the last block."""

    def __init__(self, inputs: int, width: int, config: VaeConfig, last: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            [
                ResnetBlock(inputs if i == 0 else width, width, config.groups)
                for i in range(config.layers_per_block)
            ]
        )
        self.downsamplers = nn.ModuleList([] if last else [Downsample(width)])

    def forward(self, x: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
        return x


class UpBlock(nn.Module):
    """ResNets of one resolution, then the upsampler except in the last block."""

    def __init__(self, inputs: int, width: int, config: VaeConfig, last: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            [
                ResnetBlock(inputs if i == 0 else width, width, config.groups)
                for i in range(config.layers_per_block + 1)
            ]
        )
        self.upsamplers = nn.ModuleList([] if last else [Upsample(width)])

    def forward(self, x: Tensor) -> Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        for upsampler in self.upsamplers:
            x = upsampler(x)
        return x


class Encoder(nn.Module):
    """Pictures [n, 3, h, w] to [n, 2 * latent_channels, h / 8, w / 8] before the quantisation convolution."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths = config.widths
        top = len(widths) - 1
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            [DownBlock(widths[max(i - 1, 0)], widths[i], config, i == top) for i in range(len(widths))]
        )
        self.mid_block = MidBlock(widths[-1], config.groups)
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        x = self.mid_block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Decoder(nn.Module):
    """Latents [n, latent_channels, h, w] after the quantisation convolution to pictures [n, 3, 8 h, 8 w]."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths = list(reversed(config.widths))
        top = len(widths) - 1
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MidBlock(widths[0], config.groups)
        self.up_blocks = nn.ModuleList(
            [UpBlock(widths[max(i - 1, 0)], widths[i], config, i == top) for i in range(len(widths))]
        )
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class VaeEncoder(nn.Module):
    """Pictures [n, 3, h, w] in -1..1 to mean and log variance [n, 2 * latent_channels, h / 8, w / 8].

    h and w are multiples of 8. The latents of diffusion are `scaling_factor` times a sample of these.
    """

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(pictures))


class VaeDecoder(nn.Module):
    """Latents [n, latent_channels, h, w] over `scaling_factor` to pictures [n, 3, 8 h, 8 w], -1..1."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, 1)
        self.decoder = Decoder(config)

    def forward(self, latents: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(latents))

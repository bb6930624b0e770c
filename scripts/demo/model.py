"""The networks that are trained, and how their weights begin. Widths: `DEMO` of graphs/families.py."""

import math

import torch
from graphs.families import Family
from graphs.motion import MotionModule, PositionEncoding
from graphs.text import TextEncoder
from graphs.unet import UNet
from graphs.vae import Downsample, PixelAttention, ResnetBlock, Upsample, VaeDecoder, VaeEncoder
from torch import Tensor, nn


class Vae(nn.Module):
    """Encoder and decoder together, for training and for latents."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.encoder = VaeEncoder(family.vae)
        self.decoder = VaeDecoder(family.vae)
        self.scaling_factor = family.vae.scaling_factor
        start_vae(self)

    def latents(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 3, h, w] in -1..1 to the means [n, 4, h / 8, w / 8] that diffusion works on."""
        return self.encoder(pictures).chunk(2, dim=1)[0] * self.scaling_factor

    def pictures(self, latents: Tensor) -> Tensor:
        """The way back."""
        return self.decoder(latents / self.scaling_factor)


class Denoiser(nn.Module):
    """Text encoder and UNet; with `motion` the topology of AnimateDiff v2."""

    def __init__(self, family: Family, motion: bool) -> None:
        super().__init__()
        self.text = TextEncoder(family.text)
        self.unet = UNet(family.unet, motion=motion, motion_mid=motion)
        start_text(self.text)
        if motion:
            start_motion(self.unet)

    def forward(self, noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """Noise in `noisy` [batch, 4, frames, h, w], given text [batch, 77, width]."""
        return self.unet(noisy, timestep, text, False, False)


def near_identity(convolution: nn.Conv2d, taps: list[tuple[int, int]], noise: float) -> None:
    """The mean of `taps` (row, column) of every channel, plus `noise` times the random start."""
    with torch.no_grad():
        convolution.weight.mul_(noise)
        convolution.bias.zero_()
        for channel in range(convolution.out_channels):
            for row, column in taps:
                convolution.weight[channel, channel % convolution.in_channels, row, column] += 1 / len(taps)


def start_vae(vae: Vae) -> None:
    """A trunk that passes mean colours down and up, blocks that add little, latents with little noise.

    From the usual start the noise of the latents hides everything for hundreds of steps.
    """
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, ResnetBlock):
                module.conv2.weight.mul_(0.1)
                module.conv2.bias.zero_()
                if module.conv_shortcut is not None:
                    near_identity(module.conv_shortcut, [(0, 0)], 0.3)
            if isinstance(module, Downsample):
                near_identity(module.conv, [(0, 0), (0, 1), (1, 0), (1, 1)], 1.0)
            if isinstance(module, Upsample):
                near_identity(module.conv, [(1, 1)], 0.5)
            if isinstance(module, PixelAttention):
                nn.init.zeros_(module.to_out[0].weight)
                nn.init.zeros_(module.to_out[0].bias)
        variances = vae.encoder.quant_conv
        half = variances.out_channels // 2
        variances.weight[half:] *= 0.1
        variances.bias[half:] = -8.0


def start_text(text: TextEncoder) -> None:
    """Embeddings large enough that a word is not drowned by what the first layer adds."""
    embeddings = text.text_model.embeddings
    nn.init.normal_(embeddings.token_embedding.weight, std=0.5)
    nn.init.normal_(embeddings.position_embedding.weight, std=0.1)


def keep_token_rows(text: TextEncoder, used: Tensor) -> None:
    """Zeroes the rows of all tokens but `used` [n]: words that no caption has then say nothing."""
    weight = text.text_model.embeddings.token_embedding.weight
    keep = torch.zeros(len(weight), 1, dtype=weight.dtype, device=weight.device)
    keep[used.to(weight.device).long()] = 1
    with torch.no_grad():
        weight.mul_(keep)


def start_motion(unet: UNet) -> None:
    """Output projections of zero, so that the module does nothing yet, and sinusoids as positions."""
    for module in unet.modules():
        if isinstance(module, PositionEncoding):
            module.pe.copy_(sinusoids(module.pe.size(1), module.pe.size(2)))
        if isinstance(module, MotionModule):
            nn.init.zeros_(module.temporal_transformer.proj_out.weight)
            nn.init.zeros_(module.temporal_transformer.proj_out.bias)


def sinusoids(positions: int, width: int) -> Tensor:
    """[1, positions, width]: sines in the even columns, cosines in the odd ones (arXiv 1706.03762)."""
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(positions)[:, None] * frequency[None]
    return torch.stack([angle.sin(), angle.cos()], dim=2).reshape(1, positions, width)


def is_motion(name: str) -> bool:
    """Whether a parameter of the UNet belongs to a motion module."""
    return ".motion_modules." in name

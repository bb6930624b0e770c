"""The demo model: Stable Diffusion 1.5 and AnimateDiff v2 with small widths, and how its weights begin.

The token embedding has CLIP's 49408 rows and is the largest table of all; the text width follows from the
limit of 25 MB for all files together.
"""

import math

import torch
from graphs.families import Family, TextConfig, UNetConfig, VaeConfig
from graphs.motion import MotionModule, PositionEncoding
from graphs.text import TextEncoder
from graphs.unet import UNet
from graphs.vae import VaeDecoder, VaeEncoder
from torch import Tensor, nn

DEMO = Family(
    name="demo",
    text=TextConfig(hidden=40, intermediate=160, layers=3, heads=5),
    vae=VaeConfig(widths=(16, 32, 64, 64), groups=4),
    unet=UNetConfig(
        widths=(32, 64, 64, 64), heads=2, groups=4, text_width=40, motion_heads=4, motion_groups=4
    ),
    sample_size=128,
)


class Vae(nn.Module):
    """Encoder and decoder together, for training and for latents."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.encoder = VaeEncoder(family.vae)
        self.decoder = VaeDecoder(family.vae)
        self.scaling_factor = family.vae.scaling_factor

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

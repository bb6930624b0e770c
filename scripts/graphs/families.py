"""Widths of the networks for which graphs are exported.

A family is one complete model: text encoder, VAE and UNet. `sd15` is Stable Diffusion 1.5 with CLIP ViT-L/14
(sources: the model's `config.json` files; guoyww/AnimateDiff `configs/inference`). `demo` and `tiny` have the
same architecture with small widths: the trained model that ships with the package, and one for tests.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TextConfig:
    """CLIP text transformer (arXiv 2103.00020)."""

    vocab_size: int = 49408
    length: int = 77
    hidden: int = 768
    intermediate: int = 3072
    layers: int = 12
    heads: int = 12


@dataclass(frozen=True)
class VaeConfig:
    """AutoencoderKL of latent diffusion (arXiv 2112.10752)."""

    widths: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    groups: int = 32
    latent_channels: int = 4
    scaling_factor: float = 0.18215


@dataclass(frozen=True)
class UNetConfig:
    """UNet of latent diffusion with AnimateDiff's motion modules (arXiv 2307.04725)."""

    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_block: int = 2
    heads: int = 8
    groups: int = 32
    text_width: int = 768
    in_channels: int = 4
    out_channels: int = 4
    motion_heads: int = 8
    motion_groups: int = 32
    motion_positions: int = 32


@dataclass(frozen=True)
class Family:
    """One model: every graph that is exported for it, and its default picture side in pixels."""

    name: str
    text: TextConfig = field(default_factory=TextConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    sample_size: int = 512


DEMO = Family(
    name="demo",
    text=TextConfig(hidden=40, intermediate=160, layers=3, heads=5),
    vae=VaeConfig(widths=(16, 32, 64, 64), groups=4),
    unet=UNetConfig(
        widths=(32, 64, 64, 64), heads=2, groups=4, text_width=40, motion_heads=4, motion_groups=4
    ),
    sample_size=128,
)
"""The text width follows from the limit of 25 MB for all files: the token embedding has 49408 rows."""

FAMILIES = (
    Family(name="sd15"),
    Family(
        name="tiny",
        text=TextConfig(hidden=32, intermediate=64, layers=3, heads=4),
        vae=VaeConfig(widths=(16, 32, 32, 32), groups=8),
        unet=UNetConfig(
            widths=(32, 64, 64, 64), heads=2, groups=8, text_width=32, motion_heads=4, motion_groups=8
        ),
        sample_size=64,
    ),
    DEMO,
)

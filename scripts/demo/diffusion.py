"""Noise schedule, training loss, and DDIM for the sample sheets (arXiv 2006.11239, 2010.02502)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .model import Denoiser

STEPS = 1000
MOST_WEIGHT = 5.0
"""Bound of the signal-to-noise ratio as a weight of the clean estimate's error (arXiv 2303.09556)."""


def alphas(device: torch.device) -> Tensor:
    """[1000] cumulative products of AnimateDiff's linear betas, 0.00085 to 0.012."""
    return torch.cumprod(1 - torch.linspace(0.00085, 0.012, STEPS, device=device), dim=0)


def random_timesteps(count: int, courses: bool, generator: torch.Generator, device: torch.device) -> Tensor:
    """[count] of 0..999, evenly; with `courses` most at high noise, with density 1 / sqrt(1000 - t)."""
    share = torch.rand(count, generator=generator, device=device)
    return ((1 - share.square() if courses else share) * STEPS).long().clamp(max=STEPS - 1)


def random_noise(latents: Tensor, courses: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Timesteps [batch] and noise for latents [batch, 4, frames, h, w]; one timestep for all of a clip."""
    timestep = random_timesteps(len(latents), courses, generator, latents.device)
    return timestep, torch.randn(latents.shape, generator=generator, device=latents.device)


def noise_loss(
    model: Denoiser, latents: Tensor, text: Tensor, generator: torch.Generator, courses: bool = False
) -> Tensor:
    """The next function with random timesteps and noise."""
    return noise_error(model, latents, text, *random_noise(latents, courses, generator), courses)


def noise_error(
    model: Callable[[Tensor, Tensor, Tensor], Tensor],
    latents: Tensor,
    text: Tensor,
    timestep: Tensor,
    noise: Tensor,
    courses: bool,
) -> Tensor:
    """Squared error of the predicted noise, weighted as Min-SNR does, so that nearly clean latents do not
    count more than composition.

    `courses` puts the weight on high noise, where it is decided which way an object goes: there the noise is
    nearly all that the model is given, so that its error alone says little about the clip.
    """
    alpha = alphas(latents.device)[timestep][:, None, None, None, None]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    error = F.mse_loss(model(noisy, timestep, text).float(), noise, reduction="none").mean((1, 2, 3, 4))
    ratio = (alpha / (1 - alpha)).flatten()
    weight = (MOST_WEIGHT / ratio).clamp(max=1)
    if courses:
        weight = weight * ratio.clamp(max=1).rsqrt()
    return (weight * error).mean()


@torch.no_grad()
def sample(
    model: Denoiser,
    ids: Tensor,
    empty: Tensor,
    shape: tuple[int, ...],
    steps: int,
    guidance: float,
    seed: int,
) -> Tensor:
    """Latents [batch, 4, frames, h, w] for captions ids [batch, 77]; `empty` [1, 77] guides away from it.

    DDIM without noise, leading timesteps with an offset of 1, a final alpha of 1: the product's default.
    """
    device = ids.device
    alpha = alphas(device)
    ratio = STEPS // steps
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
    text = model.text(torch.cat([empty.expand_as(ids), ids]), 0)
    for t in range((steps - 1) * ratio + 1, 0, -ratio):
        both = torch.cat([latents, latents])
        plain, guided = model(both, torch.full((len(both),), t, device=device), text).float().chunk(2)
        noise = plain + guidance * (guided - plain)
        now, then = alpha[t], alpha[t - ratio] if t > ratio else torch.ones_like(alpha[t])
        clean = (latents - (1 - now).sqrt() * noise) / now.sqrt()
        latents = then.sqrt() * clean + (1 - then).sqrt() * noise
    return latents

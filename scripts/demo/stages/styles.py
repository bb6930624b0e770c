"""What the stages that teach a style share: the loss on stills, and that features stay near the base's.

The motion module reads a frame, and what its caption asks for, from the UNet's features alone (words.py),
and learned to on those of the base. A style learned from stills moves them far more than it needs to: Muon
and AdamW take steps of the same size in all layers, and what a layer does far from the picture hardly shows
in the noise. So some stills are seen by style and base, mostly at high noise, where motion is decided, and
their features must stay near each other.
"""

import torch
from graphs.unet import SpatialTransformer
from torch import Tensor, nn

from ..diffusion import alphas, random_noise
from ..model import Denoiser
from ..replay import Objective
from ..store import LatentStore
from ..training import Run
from .denoising import denoising_loss

WEIGHT = 0.05
"""Of the squared difference, relative to the square of the base's features, beside the loss on noise."""
SHARE = 4
"""One of so many stills of a batch is seen by both."""


class Features:
    """What comes out of a UNet's spatial transformers, where a motion module would read, in the last call."""

    def __init__(self, unet: nn.Module) -> None:
        self.seen: list[Tensor] = []
        for module in unet.modules():
            if isinstance(module, SpatialTransformer):
                module.register_forward_hook(lambda _, __, output: self.seen.append(output))

    def taken(self) -> list[Tensor]:
        """Of each layer, and no others the next time."""
        features, self.seen = self.seen, []
        return [layer.float() for layer in features]


def style_loss(run: Run, model: Denoiser, base: Denoiser, store: LatentStore, batch: int) -> Objective:
    """Noise prediction on `batch` stills of `store`, and features as above; `base` is `model` before the
    fine-tune."""
    noise_loss = denoising_loss(run, model, store, batch)
    mine, theirs = Features(model.unet), Features(base.unet)

    def draw(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        usual = noise_loss.draw(step, generator)
        latents, ids = store.batch(max(1, batch // SHARE), generator)
        return *usual, latents, ids, *random_noise(latents, True, generator)

    def value(*drawn: Tensor) -> Tensor:
        usual, (latents, ids, timestep, noise) = noise_loss.value(*drawn[:4]), drawn[4:]
        mine.taken()
        alpha = alphas(latents.device)[timestep][:, None, None, None, None]
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        text = model.text(ids, 0)
        with torch.no_grad():
            base(noisy, timestep, text)
        model(noisy, timestep, text)
        layers = zip(mine.taken(), theirs.taken(), strict=True)
        apart = [(own - kept).square().mean() / kept.square().mean() for own, kept in layers]
        return usual + WEIGHT * torch.stack(apart).mean()

    return Objective(draw, value)

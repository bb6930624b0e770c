"""What the stages that teach a style share: the loss on stills, and that the motion module hears the same.

The motion module reads the caption from the UNet's features alone (words.py). Stills in a style need the
words for motions as little as others do, and a fine-tune on them may let those words fade. So some stills are
seen with two captions that differ in the motion; what that changes in the features must stay as in the base.
"""

from dataclasses import replace

import torch
from graphs.unet import SpatialTransformer
from torch import Tensor, nn

from ..diffusion import alphas, random_noise
from ..drawing.captions import canonical_caption
from ..drawing.dataset import Source
from ..drawing.names import MOTIONS
from ..drawing.scene import scene_at
from ..model import Denoiser
from ..replay import Objective
from ..store import LatentStore
from ..tokens import token_ids
from ..training import Run
from .denoising import denoising_loss

WEIGHT = 0.1
"""Of the difference, relative to what the base hears, beside the loss on noise."""
SHARE = 4
"""One in so many stills of a batch is seen with two captions."""


class Features:
    """What comes out of a UNet's spatial transformers, where a motion module would read, in the last call."""

    def __init__(self, unet: nn.Module) -> None:
        self.seen: list[Tensor] = []
        for module in unet.modules():
            if isinstance(module, SpatialTransformer):
                module.register_forward_hook(lambda _, __, output: self.seen.append(output))

    def changes(self) -> list[Tensor]:
        """Of each layer, first half of the batch less the second one."""
        features, self.seen = self.seen, []
        return [torch.sub(*x.float().chunk(2)) for x in features]


def other_motions(source: Source) -> Tensor:
    """Token ids [scenes, 2, 77]: each scene's caption, and the same one with another motion."""
    names = list(MOTIONS)
    captions: list[str] = []
    for index in range(source.scenes):
        scene = scene_at(source.seed, index, source.style)[0]
        other = names[(names.index(scene.motion) + 1 + index % 7) % len(names)]
        captions += [canonical_caption(scene), canonical_caption(replace(scene, motion=other))]
    return token_ids(captions).view(source.scenes, 2, -1)


def style_loss(
    run: Run, model: Denoiser, base: Denoiser, source: Source, store: LatentStore, batch: int
) -> Objective:
    """Noise prediction on `batch` stills of `store`, which `source` drew, and the words for motions as above;
    `base` is `model` before the fine-tune."""
    noise_loss = denoising_loss(run, model, store, batch)
    pairs = other_motions(source).to(run.device)
    mine, theirs = Features(model.unet), Features(base.unet)

    def draw(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        scenes = torch.randint(
            0, len(pairs), (max(1, batch // SHARE),), generator=generator, device=pairs.device
        )
        latents = store.latents[scenes].transpose(1, 2).float()
        return (
            *noise_loss.draw(step, generator),
            latents,
            pairs[scenes],
            *random_noise(latents, True, generator),
        )

    def value(*drawn: Tensor) -> Tensor:
        usual, (latents, ids, timestep, noise) = noise_loss.value(*drawn[:4]), drawn[4:]
        mine.seen.clear()
        alpha = alphas(latents.device)[timestep][:, None, None, None, None]
        noisy = (alpha.sqrt() * latents + (1 - alpha).sqrt() * noise).repeat(2, 1, 1, 1, 1)
        text, timestep = model.text(torch.cat([ids[:, 0], ids[:, 1]]), 0), timestep.repeat(2)
        with torch.no_grad():
            base(noisy, timestep, text)
        model(noisy, timestep, text)
        changes = zip(mine.changes(), theirs.changes(), strict=True)
        apart = [(own - kept).square().mean() / kept.square().mean() for own, kept in changes]
        return usual + WEIGHT * torch.stack(apart).mean()

    return Objective(draw, value)

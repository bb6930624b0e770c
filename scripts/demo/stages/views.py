"""After `polish`: the UNet on stills as a moving camera would see them; its result is the published base.

Scenery that is larger, or lies elsewhere, than a camera that stands ever saw it is nothing that a MotionLoRA
can ask a frozen UNet for: before this stage the loss of a zoom did not fall at all (README.md). And it learns
to be led there (steering.py).
"""

import torch
from torch import Tensor, nn

from ..diffusion import noise_loss
from ..drawing.dataset import Source
from ..model import Denoiser
from ..store import LatentStore, latent_store
from ..tokens import token_ids
from ..training import Run, train
from ..weights import load_weights, save_weights, weights_path
from .denoising import sampling_sheet
from .motion import camera_source
from .steering import Steering, camera_states
from .vae import trained_vae
from .words import clip_source, random_stills

SHARES = {"fixed": 4, "zoom-in": 2, "pan-left": 2}
"""Of eight stills, how many are seen by each camera, at a random moment of its move."""
STEERED = 0.6
"""Share of the stills of which the UNet is told how the camera stands."""


def sources(run: Run) -> dict[str, Source]:
    """Stills of the clips that `motion` trains on, and of those under each moving camera."""
    return {c: clip_source(run) if c == "fixed" else camera_source(run, c) for c in SHARES}


class Led(nn.Module):
    """The model and what leads its camera, trained together."""

    def __init__(self, model: Denoiser) -> None:
        super().__init__()
        self.model, self.steering = model, Steering(model.unet)


def mixed_stills(
    stores: dict[str, LatentStore], states: dict[str, Tensor], count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents [count, 4, 1, h, w], token ids [count, 77] and cameras [count, STATE] in the shares above."""
    whole = sum(SHARES.values())
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for camera, share in SHARES.items():
        latents, ids, scenes, frames = random_stills(stores[camera], count * share // whole, generator)
        parts.append((latents, ids, states[camera][scenes, frames]))
    latents, ids, states_seen = (torch.cat(group) for group in zip(*parts))
    return latents, ids, states_seen


def train_views(run: Run) -> None:
    stage, recipe = run.recipe.views, run.recipe
    vae = trained_vae(run)
    stores = {
        camera: latent_store(source, vae, run.data, run.device, run.workers)
        for camera, source in sources(run).items()
    }
    states = {camera: camera_states(source).to(run.device) for camera, source in sources(run).items()}
    empty = token_ids([""]).to(run.device)
    model = Denoiser(recipe.family, motion=False)
    load_weights(weights_path(run.folder, "polish"), model)
    led = Led(model).to(run.device)
    model.text.requires_grad_(False)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        latents, ids, state = mixed_stills(stores, states, stage.batch, generator)
        told = torch.rand(len(ids), generator=generator, device=ids.device) < STEERED
        dropped = torch.rand(len(ids), generator=generator, device=ids.device) < recipe.empty_captions
        text = model.text(torch.where(dropped[:, None], empty, ids), 0)
        led.steering.state = state * told[:, None]
        value = noise_loss(model, latents, text, generator, courses=step % 2 == 1)
        led.steering.state = None
        return value

    if train(run, "views", stage, led, loss, sampling_sheet(run, model, vae, frames=1)):
        save_weights(run.folder, "views", model)

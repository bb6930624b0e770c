"""After `polish`: the UNet on stills as a moving camera would see them; its result is the published base.

Scenery that is larger, or lies elsewhere, than a camera that stands ever saw it is nothing that a MotionLoRA
can ask a frozen UNet for: before this stage the loss of a zoom did not fall at all (README.md).
"""

import torch
from torch import Tensor

from ..diffusion import noise_loss
from ..drawing.dataset import Source
from ..model import Denoiser
from ..store import LatentStore, latent_store
from ..tokens import token_ids
from ..training import Run, train
from ..weights import load_weights, save_weights, weights_path
from .denoising import sampling_sheet
from .motion import camera_source
from .vae import trained_vae
from .words import clip_source, random_stills

SHARES = {"fixed": 5, "zoom-in": 2, "pan-left": 1}
"""Of eight stills, how many are seen by each camera, at a random moment of its move."""


def sources(run: Run) -> dict[str, Source]:
    """Stills of the clips that `motion` trains on, and of those under each moving camera."""
    return {c: clip_source(run) if c == "fixed" else camera_source(run, c) for c in SHARES}


def mixed_stills(
    stores: dict[str, LatentStore], count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Latents [count, 4, 1, h, w] and token ids [count, 77] in the shares above."""
    whole = sum(SHARES.values())
    parts = [
        random_stills(stores[camera], count * share // whole, generator) for camera, share in SHARES.items()
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def train_views(run: Run) -> None:
    stage, recipe = run.recipe.views, run.recipe
    vae = trained_vae(run)
    stores = {
        camera: latent_store(source, vae, run.data, run.device, run.workers)
        for camera, source in sources(run).items()
    }
    empty = token_ids([""]).to(run.device)
    model = Denoiser(recipe.family, motion=False)
    load_weights(weights_path(run.folder, "polish"), model)
    model.to(run.device).text.requires_grad_(False)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        latents, ids = mixed_stills(stores, stage.batch, generator)
        dropped = torch.rand(len(ids), generator=generator, device=ids.device) < recipe.empty_captions
        text = model.text(torch.where(dropped[:, None], empty, ids), 0)
        return noise_loss(model, latents, text, generator, courses=step % 4 == 3)

    if train(run, "views", stage, model, loss, sampling_sheet(run, model, vae, frames=1)):
        save_weights(run.folder, "views", model)

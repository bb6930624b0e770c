"""Second stage: text encoder and UNet on single frames, with the captions of their clips.

The personalised stage is the same training of the UNet alone, on pictures in another style.
"""

import torch

from ..drawing.dataset import Source
from ..lora import adapt, begin, merge, spatial_targets
from ..model import Denoiser, keep_token_rows
from ..store import latent_store
from ..training import Run, train
from ..weights import load_weights, save_weights, weights_path
from .denoising import denoising_loss, sampling_sheet
from .styles import style_loss
from .vae import trained_vae

PERSONALISED_START = "personalised-start"
"""Stage folder with the update of an earlier fine-tune, where training shall go on from one."""


def train_still(run: Run) -> None:
    stage, seed = run.recipe.still, run.recipe.seed
    vae = trained_vae(run)
    store = latent_store(Source(seed + 2, stage.scenes), vae, run.data, run.device, run.workers)
    torch.manual_seed(seed + 2)
    model = Denoiser(run.recipe.family, motion=False).to(run.device)
    keep_token_rows(model.text, store.ids.unique())
    loss = denoising_loss(run, model, store, stage.batch)
    if train(run, "still", stage, model, loss, sampling_sheet(run, model, vae, frames=1)):
        save_weights(run.folder, "still", model)


def trained_base(run: Run) -> Denoiser:
    """The base: text encoder and UNet after all training on stills."""
    model = Denoiser(run.recipe.family, motion=False)
    load_weights(weights_path(run.folder, "views"), model)
    return model.to(run.device)


def train_personalised(run: Run) -> None:
    """The base in neon: its spatial transformers move within a low rank, all else stays.

    Free updates of the whole UNet draw better single pictures, but move the features that the motion module
    listens to: clips flickered and no longer did what their captions say (README.md has the numbers).
    """
    stage, seed = run.recipe.personalised, run.recipe.seed
    vae = trained_vae(run)
    source = Source(seed + 4, stage.scenes, style="neon")
    store = latent_store(source, vae, run.data, run.device, run.workers)
    model = trained_base(run).requires_grad_(False)
    adapt(model.unet, spatial_targets(model.unet), run.recipe.personalised_rank, seed)
    begin(model.unet, weights_path(run.folder, PERSONALISED_START))
    loss = style_loss(run, model, trained_base(run), store, stage.batch)
    if train(run, "personalised", stage, model, loss, sampling_sheet(run, model, vae, frames=1)):
        merge(model.unet)
        save_weights(run.folder, "personalised", model)

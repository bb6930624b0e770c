"""A LoRA on the spatial transformers of the UNet that draws in crayon."""

from ..drawing.dataset import Source
from ..lora import adapt, adapted, begin, lora_targets
from ..store import latent_store
from ..training import Run, train
from ..weights import save_tensors, weights_path
from .denoising import sampling_sheet
from .still import trained_base
from .styles import style_loss
from .vae import trained_vae

LORA_START = "lora-start"
"""Stage folder with an earlier LoRA, where training shall go on from one."""


def train_lora(run: Run) -> None:
    stage, recipe = run.recipe.lora, run.recipe
    vae = trained_vae(run)
    source = Source(recipe.seed + 5, stage.scenes, style="crayon")
    store = latent_store(source, vae, run.data, run.device, run.workers)
    model = trained_base(run).requires_grad_(False)
    adapt(model.unet, lora_targets(model.unet), recipe.lora_rank, recipe.seed)
    begin(model.unet, weights_path(run.folder, LORA_START))
    loss = style_loss(run, model, trained_base(run), store, stage.batch)
    if train(run, "lora", stage, model, loss, sampling_sheet(run, model, vae, frames=1)):
        save_tensors(weights_path(run.folder, "lora"), adapted(model.unet))

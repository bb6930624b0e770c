"""Between stills and clips: the UNet learns to keep the words for motions in its features.

The motion module sees no text; it learns what to do only from what a caption does to the frozen UNet. A still
hardly needs to know whether its object moves left or right, so that after the still stage features of the two
differ by a fiftieth of what two colours do (README.md). Here small heads, thrown away afterwards, must tell
the motion from the features behind every spatial transformer, while the usual loss on stills goes on. That
costs some of the shapes; a second stage, `polish`, trains the UNet alone and without heads until they are as
good as before.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from graphs.unet import SpatialTransformer
from torch import Tensor, nn

from ..diffusion import noise_loss
from ..drawing.dataset import Source
from ..drawing.motions import FRAMES
from ..drawing.names import MOTIONS
from ..drawing.scene import scene_at
from ..model import Denoiser
from ..store import LatentStore, latent_store
from ..tokens import token_ids
from ..training import Run, train
from ..weights import load_weights, save_weights, weights_path
from .denoising import sampling_sheet
from .vae import trained_vae

WEIGHT = 0.01
"""Of the heads' cross-entropy, beside the loss on noise."""


@dataclass
class Heads:
    """One classifier of motions behind each spatial transformer, where a motion module would read."""

    unet: nn.Module
    layers: nn.ModuleList = field(default_factory=nn.ModuleList)
    seen: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        for module in self.unet.modules():
            if isinstance(module, SpatialTransformer):
                width = module.norm.weight.numel()
                self.layers.append(nn.Sequential(nn.GroupNorm(8, width), nn.Conv2d(width, len(MOTIONS), 1)))
                module.register_forward_hook(lambda _, __, output: self.seen.append(output))

    def loss(self, motions: Tensor) -> Tensor:
        """Mean cross-entropy for the features of the last call; motions [n], -1: not counted."""
        features, self.seen = self.seen, []
        losses = [
            F.cross_entropy(layer(x).mean((2, 3)), motions, ignore_index=-1)
            for layer, x in zip(self.layers, features, strict=True)
        ]
        return torch.stack(losses).mean()


class Taught(nn.Module):
    """The model and its heads, trained together."""

    def __init__(self, model: Denoiser) -> None:
        super().__init__()
        self.model = model
        self.heads = Heads(model.unet)
        self.layers = self.heads.layers


def motions_of(source: Source) -> Tensor:
    """[scenes]: number of each scene's motion."""
    names = list(MOTIONS)
    return torch.tensor([names.index(scene_at(source.seed, i)[0].motion) for i in range(source.scenes)])


def random_stills(
    store: LatentStore, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents [count, 4, 1, h, w] of single frames of clips, token ids [count, 77], scenes and frames."""
    device = store.latents.device
    scenes, frames, wordings = (
        torch.randint(0, size, (count,), generator=generator, device=device)
        for size in (len(store.latents), store.latents.size(1), store.ids.size(1))
    )
    latents, ids = store.latents[scenes, frames].unsqueeze(2).float(), store.ids[scenes, wordings].long()
    return latents, ids, scenes, frames


def clip_source(run: Run) -> Source:
    """The clips of the motion stage, whose frames are the stills here."""
    return Source(run.recipe.seed + 3, run.recipe.motion.scenes, frames=FRAMES)


def train_words(run: Run) -> None:
    stage, recipe = run.recipe.words, run.recipe
    vae = trained_vae(run)
    source = clip_source(run)
    store = latent_store(source, vae, run.data, run.device, run.workers)
    motions = motions_of(source).to(run.device)
    empty = token_ids([""]).to(run.device)
    model = Denoiser(recipe.family, motion=False)
    load_weights(weights_path(run.folder, "still"), model)
    torch.manual_seed(recipe.seed + 7)
    taught = Taught(model).to(run.device)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        latents, ids, scenes, _ = random_stills(store, stage.batch, generator)
        dropped = torch.rand(stage.batch, generator=generator, device=ids.device) < recipe.empty_captions
        text = model.text(torch.where(dropped[:, None], empty, ids), 0)
        # Every other step at high noise, where the caption alone says where the object is.
        noise = noise_loss(model, latents, text, generator, courses=step % 2 == 1)
        return noise + WEIGHT * taught.heads.loss(motions[scenes].masked_fill(dropped, -1))

    sheet = sampling_sheet(run, model, vae, frames=1)

    def sheet_without_heads(path) -> None:
        sheet(path)
        taught.heads.seen.clear()

    if train(run, "words", stage, taught, loss, sheet_without_heads):
        save_weights(run.folder, "words", model)


def train_polish(run: Run) -> None:
    """The UNet on stills again, one step in four at high noise."""
    stage, recipe = run.recipe.polish, run.recipe
    vae = trained_vae(run)
    store = latent_store(clip_source(run), vae, run.data, run.device, run.workers)
    empty = token_ids([""]).to(run.device)
    model = Denoiser(recipe.family, motion=False)
    load_weights(weights_path(run.folder, "words"), model)
    model.to(run.device).text.requires_grad_(False)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        latents, ids, _, _ = random_stills(store, stage.batch, generator)
        dropped = torch.rand(stage.batch, generator=generator, device=ids.device) < recipe.empty_captions
        text = model.text(torch.where(dropped[:, None], empty, ids), 0)
        return noise_loss(model, latents, text, generator, courses=step % 4 == 3)

    if train(run, "polish", stage, model, loss, sampling_sheet(run, model, vae, frames=1)):
        save_weights(run.folder, "polish", model)

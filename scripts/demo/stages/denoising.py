"""What the stages that train on latents have in common: captions dropped at random, and sample sheets."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..diffusion import noise_loss, sample
from ..drawing.captions import canonical_caption
from ..drawing.motions import FRAMES
from ..drawing.names import MOTIONS
from ..drawing.scene import Scene, scene_at
from ..model import Denoiser, Vae
from ..sheets import to_bytes, write_sheet
from ..store import LatentStore
from ..tokens import token_ids
from ..training import Run

COLUMNS = 8


def denoising_loss(
    run: Run, model: Denoiser, store: LatentStore, count: int, courses: bool = False
) -> Callable[[int, torch.Generator], Tensor]:
    """Noise prediction on `count` scenes per step; now and then without caption, for guidance.

    `courses`: see `noise_loss`.
    """
    empty = token_ids([""]).to(run.device)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        latents, ids = store.batch(count, generator)
        dropped = torch.rand(count, generator=generator, device=ids.device) < run.recipe.empty_captions
        text = model.text(torch.where(dropped[:, None], empty, ids), 0)
        return noise_loss(model, latents, text, generator, courses)

    return loss


def sheet_scenes(count: int) -> list[Scene]:
    """Scenes that are held out of training, one for each of the first `count` motions."""
    scenes = [scene_at(99, i, held_out=True)[0] for i in range(400)]
    return [next(s for s in scenes if s.motion == motion) for motion in list(MOTIONS)[:count]]


def sampling_sheet(run: Run, model: Denoiser, vae: Vae, frames: int) -> Callable[[Path], None]:
    """Held-out captions: one picture each, or one row with every second frame each."""
    prompts = [canonical_caption(s) for s in sheet_scenes(run.recipe.sheet_prompts)]
    ids, empty = token_ids(prompts).to(run.device), token_ids([""]).to(run.device)

    def sheet(path: Path) -> None:
        recipe = run.recipe
        side = recipe.family.sample_size // 8
        shape = (len(ids), 4, frames, side, side)
        latents = sample(model, ids, empty, shape, recipe.sampling_steps, recipe.guidance, recipe.seed)
        shown = latents[:, :, :: FRAMES // COLUMNS] if frames > 1 else latents
        with torch.no_grad():
            pictures = vae.pictures(shown.transpose(1, 2).flatten(0, 1))
        write_sheet(path, to_bytes(pictures), COLUMNS)
        path.with_suffix(".txt").write_text("\n".join(prompts) + "\n")

    return sheet

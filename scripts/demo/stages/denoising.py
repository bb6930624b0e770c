"""What the stages that train on latents have in common: captions dropped at random, and sample sheets."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..diffusion import noise_error, random_noise, sample
from ..drawing.captions import canonical_caption
from ..drawing.motions import FRAMES
from ..drawing.names import MOTIONS
from ..drawing.scene import Scene, scene_at
from ..model import Denoiser, Vae
from ..replay import Objective
from ..sheets import to_bytes, write_sheet
from ..store import LatentStore
from ..tokens import token_ids
from ..training import Run

COLUMNS = 8


def denoising_loss(
    run: Run, model: Denoiser, store: LatentStore, count: int, courses: bool = False
) -> Objective:
    """Noise prediction on `count` scenes per step; now and then without caption, for guidance.

    `courses`: see `noise_error`.
    """
    empty = token_ids([""]).to(run.device)

    def draw(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        latents, ids = store.batch(count, generator)
        dropped = torch.rand(count, generator=generator, device=ids.device) < run.recipe.empty_captions
        return latents, torch.where(dropped[:, None], empty, ids), *random_noise(latents, courses, generator)

    def value(latents: Tensor, ids: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
        return noise_error(model, latents, model.text(ids, 0), timestep, noise, courses)

    return Objective(draw, value)


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

"""Third stage: the motion module on clips, everything else frozen; and MotionLoRAs on top of it.

A frozen module that has never seen a camera move cannot be asked for it: its attention looks for the same
place in all frames. So the MotionLoRAs begin while it trains: clips under a moving camera are seen through
that camera's MotionLoRA, which learns with the module; in all others the camera stands. After that each
MotionLoRA has a stage of its own, with the module frozen.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..diffusion import noise_error
from ..drawing.dataset import Source
from ..drawing.motions import FRAMES
from ..lora import GatedUpdates, adapt, adapted, begin, motion_targets
from ..model import Denoiser, is_motion
from ..replay import Objective
from ..store import LatentStore, latent_store
from ..together import rank
from ..training import Run, train
from ..weights import load_weights, save_tensors, save_weights, weights_path
from .denoising import denoising_loss, sampling_sheet
from .vae import trained_vae
from .words import clip_source

START = "motion-start"
"""Stage folder with weights of a module that was trained before, where training shall go on from one."""
CAMERA_STARTS = {camera: f"{camera}-start" for camera in ("zoom-in", "pan-left")}
"""Stage folders with MotionLoRAs from which training goes on: earlier ones, then those of `motion`."""


def camera_source(run: Run, camera: str) -> Source:
    """Clips under a moving camera."""
    return Source(run.recipe.seed + 6, run.recipe.motion_lora.scenes, frames=FRAMES, camera=camera)


class Filmed(nn.Module):
    """A model and the MotionLoRA of each moving camera, trained together: batches are of the recipe's cameras
    in turn, each seen through its MotionLoRA if it moves."""

    def __init__(self, run: Run, model: Denoiser) -> None:
        super().__init__()
        self.model, recipe = model, run.recipe
        names = [camera for camera in CAMERA_STARTS if camera in recipe.cameras]
        targets = motion_targets(model.unet)
        self.cameras = GatedUpdates(model.unet, targets, names, recipe.motion_lora_rank, recipe.seed)
        for camera in names:
            self.cameras.begin(camera, weights_path(run.folder, CAMERA_STARTS[camera]))

    def forward(self, noisy: Tensor, timestep: Tensor, text: Tensor, gates: Tensor) -> Tensor:
        """The model through the MotionLoRAs whose gates [cameras] are not 0."""
        unet = self.model.unet
        # On a GPU all turns are one recorded graph; elsewhere what a gate shuts need not be computed.
        if gates.device.type == "cpu" and not gates.any():
            return self.model(noisy, timestep, text)
        weights = self.cameras.weights(unet, gates)
        return functional_call(unet, weights, (noisy, timestep, text, False, False))

    def objective(self, run: Run, stores: dict[str, LatentStore], batch: int) -> Objective:
        """Noise prediction on one batch; processes that train together take different turns."""
        losses = {
            camera: denoising_loss(run, self.model, store, batch, courses=True)
            for camera, store in stores.items()
        }
        names, order = list(self.cameras.updates), run.recipe.cameras

        def draw(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
            camera = order[(step + rank()) % len(order)]
            gates = torch.tensor([float(name == camera) for name in names], device=run.device)
            return *losses[camera].draw(step, generator), gates

        def value(latents: Tensor, ids: Tensor, timestep: Tensor, noise: Tensor, gates: Tensor) -> Tensor:
            def predict(noisy: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
                return self(noisy, timestep, text, gates)

            return noise_error(predict, latents, self.model.text(ids, 0), timestep, noise, courses=True)

        return Objective(draw, value)


def train_motion(run: Run) -> None:
    stage, recipe = run.recipe.motion, run.recipe
    vae = trained_vae(run)
    model = Denoiser(recipe.family, motion=True)
    start = weights_path(run.folder, START)
    if start.exists():
        load_weights(start, model)
    load_weights(weights_path(run.folder, "views"), model, strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_motion(name))
    filmed = Filmed(run, model).to(run.device)
    sources = {camera: camera_source(run, camera) for camera in filmed.cameras.updates}
    sources["fixed"] = clip_source(run)
    stores = {c: latent_store(s, vae, run.data, run.device, run.workers) for c, s in sources.items()}
    loss = filmed.objective(run, stores, stage.batch)
    if train(run, "motion", stage, filmed, loss, sampling_sheet(run, model, vae, FRAMES)):
        for camera in filmed.cameras.updates:
            save_tensors(weights_path(run.folder, CAMERA_STARTS[camera]), filmed.cameras.tensors(camera))
        save_weights(run.folder, "motion", model)


def train_motion_lora(camera: str) -> Callable[[Run], None]:
    """Stage that teaches one camera move to the temporal attention."""

    def stage_of_camera(run: Run) -> None:
        stage, recipe = run.recipe.motion_lora, run.recipe
        vae = trained_vae(run)
        store = latent_store(camera_source(run, camera), vae, run.data, run.device, run.workers)
        model = Denoiser(recipe.family, motion=True)
        load_weights(weights_path(run.folder, "motion"), model)
        model.to(run.device).requires_grad_(False)
        adapt(model.unet, motion_targets(model.unet), recipe.motion_lora_rank, recipe.seed)
        begin(model.unet, weights_path(run.folder, CAMERA_STARTS[camera]))
        loss = denoising_loss(run, model, store, stage.batch, courses=True)
        if train(run, camera, stage, model, loss, sampling_sheet(run, model, vae, FRAMES)):
            save_tensors(weights_path(run.folder, camera), adapted(model.unet))

    return stage_of_camera

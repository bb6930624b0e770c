"""Third stage: the motion module on clips, everything else frozen; and MotionLoRAs on top of it.

Some clips may be under moving cameras, which no caption tells of: what the frozen module has never seen, a
MotionLoRA cannot call for. They are seen with little enough noise to show the move (denoising.py), so that
what a caption asks for stays under a camera that stands.
"""

from collections.abc import Callable

from ..drawing.dataset import Source
from ..drawing.motions import FRAMES
from ..drawing.names import CAMERAS
from ..lora import adapt, adapted, begin, motion_targets
from ..model import Denoiser, Vae, is_motion
from ..store import LatentStore, latent_store
from ..training import Run, train
from ..weights import load_weights, save_tensors, save_weights, weights_path
from .denoising import denoising_loss, sampling_sheet
from .vae import trained_vae

START = "motion-start"
"""Stage folder with weights of a module that was trained before, where training shall go on from one."""
CAMERA_STARTS = {camera: f"{camera}-start" for camera in ("zoom-in", "pan-left")}
"""Stage folders with earlier MotionLoRAs, where training shall go on from them."""


def camera_source(run: Run, camera: str) -> Source:
    """Clips under a moving camera."""
    return Source(run.recipe.seed + 6, run.recipe.motion_lora.scenes, frames=FRAMES, camera=camera)


def moving_clips(run: Run, vae: Vae) -> LatentStore | None:
    """Clips under all moving cameras, as many of each, so that guidance pushes the camera nowhere."""
    if not run.recipe.moving_cameras:
        return None
    sources = [camera_source(run, camera) for camera in CAMERAS if camera != "fixed"]
    return LatentStore.together([latent_store(s, vae, run.data, run.device, run.workers) for s in sources])


def train_motion(run: Run) -> None:
    stage, seed = run.recipe.motion, run.recipe.seed
    vae = trained_vae(run)
    source = Source(seed + 3, stage.scenes, frames=FRAMES)
    store = latent_store(source, vae, run.data, run.device, run.workers)
    model = Denoiser(run.recipe.family, motion=True)
    start = weights_path(run.folder, START)
    if start.exists():
        load_weights(start, model)
    load_weights(weights_path(run.folder, "views"), model, strict=False)
    model.to(run.device)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_motion(name))
    loss = denoising_loss(run, model, store, stage.batch, courses=True, moving=moving_clips(run, vae))
    if train(run, "motion", stage, model, loss, sampling_sheet(run, model, vae, FRAMES)):
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

"""Fixture of the DDIM scheduler: timesteps of every spacing, and whole runs of steps on given outputs."""

import itertools

import torch
from diffusers import DDIMScheduler
from fixture_file import write_fixture

SPACINGS = ("leading", "linspace", "trailing")
BETAS = ("linear", "scaled_linear")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
STEP_COUNTS = (1, 4, 5, 20, 25, 30, 50)
RUN_STEPS = 5
ETA_SEED = 1099474677988590681


def ddim_scheduler(**changes: object) -> DDIMScheduler:
    """DDIM as AnimateDiff configures it (guoyww/AnimateDiff `configs/inference/inference-v2.yaml`)."""
    settings = {
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "linear",
        "steps_offset": 1,
        "clip_sample": False,
        "set_alpha_to_one": True,
    }
    return DDIMScheduler(**{**settings, **changes})


def run(scheduler: DDIMScheduler, eta: float, latents: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """float [steps, …]: the latents after each step."""
    scheduler.set_timesteps(RUN_STEPS)
    generator = torch.Generator().manual_seed(ETA_SEED)
    after = []
    for timestep, output in zip(scheduler.timesteps, outputs, strict=True):
        latents = scheduler.step(output, timestep, latents, eta=eta, generator=generator).prev_sample
        after.append(latents)
    return torch.stack(after)


def ddim_fixture() -> None:
    tensors = {}
    for betas in BETAS:
        tensors[f"alphas_cumprod.{betas}"] = ddim_scheduler(beta_schedule=betas).alphas_cumprod
    for spacing, steps in itertools.product(SPACINGS, STEP_COUNTS):
        scheduler = ddim_scheduler(timestep_spacing=spacing)
        scheduler.set_timesteps(steps)
        tensors[f"timesteps.{spacing}.{steps}"] = scheduler.timesteps
    shape = (1, 4, 1, 4, 4)
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(shape, generator=generator)
    outputs = torch.randn((RUN_STEPS, *shape), generator=generator)
    noise = torch.Generator().manual_seed(ETA_SEED)
    tensors |= {
        "latents": latents,
        "outputs": outputs,
        "eta_noise": torch.stack([torch.randn(shape, generator=noise) for _ in range(RUN_STEPS)]),
    }
    runs = []
    for spacing, betas, prediction, to_one, eta in itertools.product(
        SPACINGS, BETAS, PREDICTIONS, (True, False), (0.0, 0.5)
    ):
        scheduler = ddim_scheduler(
            timestep_spacing=spacing,
            beta_schedule=betas,
            prediction_type=prediction,
            set_alpha_to_one=to_one,
        )
        name = f"run.{len(runs)}"
        tensors[name] = run(scheduler, eta, latents, outputs)
        runs.append(
            {
                "tensor": name,
                "timestepSpacing": spacing,
                "betaSchedule": betas,
                "predictionType": prediction,
                "setAlphaToOne": to_one,
                "eta": eta,
            }
        )
    about = {
        "spacings": SPACINGS,
        "stepCounts": STEP_COUNTS,
        "runSteps": RUN_STEPS,
        "etaSeed": str(ETA_SEED),
        "runs": runs,
    }
    write_fixture("ddim", tensors, about)

"""Fixture of all schedulers but DDIM: timesteps, and whole runs of steps on given outputs of the network."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from ddim_fixture import BETAS, PREDICTIONS, SPACINGS
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
)
from fixture_file import write_fixture

STEP_COUNTS = (1, 2, 4, 5, 8, 20, 25, 30, 50)
RUN_STEPS = 5
SEEDS = (1099474677988590681, 16372571278361863751)
SHAPE = (2, 4, 1, 2, 2)
# The beta values and the offset of AnimateDiff (guoyww/AnimateDiff `configs/inference/inference-v2.yaml`).
SHARED = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}

# Of each scheduler: its class with what is fixed, and the options that vary, under TypeScript's names.
SCHEDULERS: dict[str, tuple[type, dict[str, Any], dict[str, tuple]]] = {
    "euler": (
        EulerDiscreteScheduler,
        {},
        {"timestepSpacing": SPACINGS, "karrasSigmas": (False, True), "predictionType": PREDICTIONS},
    ),
    "euler_a": (
        EulerAncestralDiscreteScheduler,
        {},
        {"timestepSpacing": SPACINGS, "predictionType": PREDICTIONS[:2]},
    ),
    "dpm++_2m": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_order": 2},
        {"timestepSpacing": SPACINGS, "karrasSigmas": (False, True), "predictionType": PREDICTIONS},
    ),
    "lcm": (LCMScheduler, {}, {"originalInferenceSteps": (50, 100), "predictionType": PREDICTIONS}),
    "pndm": (
        PNDMScheduler,
        {"skip_prk_steps": True},
        {"timestepSpacing": SPACINGS, "setAlphaToOne": (False, True), "predictionType": PREDICTIONS[:2]},
    ),
}

PYTHON_NAMES = {
    "timestepSpacing": "timestep_spacing",
    "karrasSigmas": "use_karras_sigmas",
    "originalInferenceSteps": "original_inference_steps",
    "setAlphaToOne": "set_alpha_to_one",
    "predictionType": "prediction_type",
    "betaSchedule": "beta_schedule",
}


def build_scheduler(name: str, options: dict[str, Any]) -> Any:
    """The diffusers scheduler of a name and options as `GenerateOptions.scheduler` takes them."""
    kind, fixed, _ = SCHEDULERS[name]
    return kind(**SHARED, **fixed, **{PYTHON_NAMES[key]: value for key, value in options.items()})


def variants(name: str) -> Iterator[dict[str, Any]]:
    options = {**SCHEDULERS[name][2], "betaSchedule": BETAS}
    for values in itertools.product(*options.values()):
        yield dict(zip(options, values, strict=True))


def run(scheduler: Any, latents: torch.Tensor, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's inputs and the samples after each step, float [timesteps, …] both."""
    scheduler.set_timesteps(RUN_STEPS)
    # PNDM is deterministic and takes no generator.
    noise = (
        {}
        if isinstance(scheduler, (PNDMScheduler, DPMSolverMultistepScheduler))
        else {"generator": [torch.Generator().manual_seed(seed) for seed in SEEDS]}
    )
    sample = latents * scheduler.init_noise_sigma
    inputs, samples = [], []
    for timestep, output in zip(scheduler.timesteps, outputs, strict=False):
        inputs.append(scheduler.scale_model_input(sample, timestep))
        sample = scheduler.step(output, timestep, sample, **noise).prev_sample
        samples.append(sample)
    return torch.stack(inputs), torch.stack(samples)


def scheduler_fixture() -> None:
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn(SHAPE, generator=generator)
    # One more than the steps for PNDM.
    outputs = torch.randn((RUN_STEPS + 1, *SHAPE), generator=generator)
    tensors = {"latents": latents, "outputs": outputs}
    runs = []
    for name in SCHEDULERS:
        for options in variants(name):
            scheduler = build_scheduler(name, options)
            label = f"run.{len(runs)}"
            inputs, tensors[label] = run(scheduler, latents, outputs)
            if name.startswith("euler"):
                tensors[f"{label}.inputs"] = inputs
            runs.append({"tensor": label, "name": name, **options})
            if options["predictionType"] != "epsilon":
                continue
            for steps in STEP_COUNTS:
                scheduler.set_timesteps(steps)
                tensors[f"{label}.timesteps.{steps}"] = scheduler.timesteps.float()
    about = {
        "stepCounts": STEP_COUNTS,
        "runSteps": RUN_STEPS,
        "seeds": [str(seed) for seed in SEEDS],
        "runs": runs,
    }
    write_fixture("schedulers", tensors, about)

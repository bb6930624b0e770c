"""Fixtures of whole clips: diffusers' AnimateDiffPipeline on the seeded model, one file per case.

`compat: 'original'` is the same pipeline with the norms of `original_norms.py` and with DDIM's class default
`set_alpha_to_one=True`, as guoyww/AnimateDiff builds it. `compat: 'diffusers'` has `set_alpha_to_one=False`,
as `DDIMScheduler.from_pretrained` takes it from SD 1.5's scheduler configuration.
"""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from ddim_fixture import ddim_scheduler
from diffusers import AnimateDiffPipeline, StableDiffusionPipeline
from diffusers.schedulers import scheduling_ddim, scheduling_lcm
from fixture_file import max_abs_error, write_fixture
from network_fixtures import SEEDS, encode_text
from original_norms import use_original_norms
from prompts import CAT, EMPTY, GIRL, ODD, token_ids
from scheduler_fixture import build_scheduler
from seeded_model import seeded_motion_unet, seeded_text_encoder, seeded_unet, seeded_vae


@dataclass(frozen=True)
class Case:
    """One clip, or one batch of clips. Names are those of the TypeScript options."""

    motion: str | None = "v2"
    compat: str = "original"
    prompts: tuple[str, ...] = (GIRL,)
    negative_prompts: tuple[str, ...] = (EMPTY,)
    seeds: tuple[int, ...] = (SEEDS[0],)
    frames: int = 4
    width: int = 64
    height: int = 64
    steps: int = 4
    guidance_scale: float = 7.5
    eta: float = 0.0
    timestep_spacing: str = "leading"
    beta_schedule: str = "linear"
    prediction_type: str = "epsilon"
    # Another scheduler than DDIM, as `GenerateOptions.scheduler` takes it.
    scheduler: dict[str, Any] | None = None
    # Seeded variant of the UNet: 1 is a personalised checkpoint over base 0.
    unet_variant: int = 0
    set_alpha_to_one: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "set_alpha_to_one", self.compat == "original")


CASES = {
    **{
        f"{motion}-{compat}": Case(motion=motion, compat=compat, frames=8)
        for motion in ("v1", "v2", "v3")
        for compat in ("original", "diffusers")
    },
    "no-guidance": Case(guidance_scale=1.0, prompts=(CAT,), width=48),
    "batch": Case(prompts=(GIRL, CAT), negative_prompts=(EMPTY, ODD), seeds=(SEEDS[1], SEEDS[2])),
    "eta": Case(motion="v3", eta=0.5, seeds=(SEEDS[3],), height=48),
    # Latents of 7 by 9: every upsampler is forced to the size of its skip.
    "odd-size": Case(motion="v1", width=72, height=56),
    # Starting at t = 999, where alphas_cumprod is 0.0016, magnifies rounding: guidance is kept low.
    "linspace": Case(timestep_spacing="linspace", width=48, guidance_scale=2.0),
    "trailing": Case(
        timestep_spacing="trailing", prediction_type="v_prediction", height=48, compat="diffusers"
    ),
    # What AnimateLCM (its `animatelcm_sd15/configs`) and AnimateDiff-Lightning (its model card) take.
    "lcm": Case(scheduler={"name": "lcm", "originalInferenceSteps": 100}, guidance_scale=1.5, width=48),
    "euler-trailing": Case(
        scheduler={"name": "euler", "timestepSpacing": "trailing"}, guidance_scale=1.0, height=48
    ),
    "personalised": Case(unet_variant=1, prompts=(CAT,)),
    "image": Case(motion=None, frames=1, compat="diffusers", beta_schedule="scaled_linear"),
}


def camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def case_scheduler(case: Case) -> Any:
    if case.scheduler is not None:
        options = {"betaSchedule": case.beta_schedule, **case.scheduler}
        return build_scheduler(options.pop("name"), options)
    return ddim_scheduler(
        timestep_spacing=case.timestep_spacing,
        beta_schedule=case.beta_schedule,
        prediction_type=case.prediction_type,
        set_alpha_to_one=case.set_alpha_to_one,
    )


def build(case: Case, family: dict[str, Any]) -> AnimateDiffPipeline | StableDiffusionPipeline:
    parts = {
        "vae": seeded_vae(family),
        "text_encoder": seeded_text_encoder(family),
        "tokenizer": None,
        "scheduler": case_scheduler(case),
    }
    if case.motion is None:
        unet = seeded_unet(family, case.unet_variant)
        return StableDiffusionPipeline(
            **parts, unet=unet, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    unet = seeded_motion_unet(family, case.motion, case.unet_variant)
    if case.compat == "original":
        use_original_norms(unet, case.motion)
    return AnimateDiffPipeline(**parts, unet=unet, motion_adapter=None)


def noise_in_float32(shape: tuple[int, ...], dtype: torch.dtype, **named: Any) -> torch.Tensor:
    """What diffusers' randn_tensor draws for float32: float64 would draw other numbers."""
    return DRAW(shape, dtype=torch.float32, **named).to(dtype)


DRAW = scheduling_ddim.randn_tensor


def encode_prompts(encoder: torch.nn.Module, prompts: tuple[str, ...]) -> torch.Tensor:
    return encode_text(encoder, token_ids(list(prompts)))


def run(
    pipeline: Any, case: Case, dtype: torch.dtype, encode: Callable[..., torch.Tensor] = encode_prompts
) -> dict[str, torch.Tensor]:
    """Latents at the start, after one step and at the end; frames in [0, 1] as
    [clips, frames, height, width, 3]."""
    prepare = pipeline.prepare_latents
    states = []

    def prepare_in_float32(*positional: Any, **named: Any) -> torch.Tensor:
        latents = prepare(*[torch.float32 if value is dtype else value for value in positional], **named)
        states.append(latents)
        return latents.to(dtype)

    def record(_pipeline: Any, _step: int, _timestep: int, state: dict) -> dict:
        states.append(state["latents"])
        return state

    pipeline.prepare_latents = prepare_in_float32
    pipeline.set_progress_bar_config(disable=True)
    with (
        patch.object(scheduling_ddim, "randn_tensor", noise_in_float32),
        patch.object(scheduling_lcm, "randn_tensor", noise_in_float32),
    ):
        pipeline(
            prompt_embeds=encode(pipeline.text_encoder, case.prompts),
            negative_prompt_embeds=encode(pipeline.text_encoder, case.negative_prompts),
            width=case.width,
            height=case.height,
            num_inference_steps=case.steps,
            guidance_scale=case.guidance_scale,
            eta=case.eta,
            generator=[torch.Generator().manual_seed(seed) for seed in case.seeds],
            output_type="latent",
            callback_on_step_end=record,
            **({} if case.motion is None else {"num_frames": case.frames}),
        )
    clips = [state if case.motion else state.unsqueeze(2) for state in states]
    images = clips[-1].transpose(1, 2).flatten(0, 1) / pipeline.vae.config.scaling_factor
    frames = torch.cat([pipeline.vae.decode(image[None]).sample for image in images])
    frames = (frames / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    return {
        "latents.initial": clips[0],
        "latents.step1": clips[1],
        "latents.final": clips[-1],
        "frames": frames.unflatten(0, (len(case.seeds), case.frames)),
    }


def pipeline_fixture(name: str, case: Case, family: dict[str, Any]) -> dict[str, float]:
    """`frames.sample` has every 7th pixel of both sides as float; `frames.uint8` has all of them,
    multiplied by 255 and rounded to nearest (half to even) as diffusers does."""
    pipeline = build(case, family)
    result = run(pipeline, case, torch.float32)
    exact_pipeline = build(case, family)
    for network in (exact_pipeline.unet, exact_pipeline.vae, exact_pipeline.text_encoder):
        network.double()
    exact = run(exact_pipeline, case, torch.float64)
    error = {key: max_abs_error(result[key], exact[key]) for key in ("latents.final", "frames")}
    frames = result.pop("frames")
    tensors = {
        "ids": token_ids(list(case.prompts)),
        "negative_ids": token_ids(list(case.negative_prompts)),
        **result,
        "frames.sample": frames[:, :, ::7, ::7],
        "frames.uint8": (frames * 255).round().to(torch.uint8),
    }
    settings = {camel_case(key): value for key, value in asdict(case).items()}
    if case.scheduler is None:
        del settings["scheduler"]
    settings["seeds"] = [str(seed) for seed in case.seeds]
    write_fixture(f"pipeline-{name}", tensors, {**settings, "float32Error": error})
    return {**error, "largest latent": result["latents.final"].abs().max().item()}


def pipeline_fixtures(family: dict[str, Any]) -> None:
    for name, case in CASES.items():
        print(name, pipeline_fixture(name, case, copy.deepcopy(family)), flush=True)

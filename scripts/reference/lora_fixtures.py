"""Fixtures of adapters: diffusers' AnimateDiffPipeline with an adapter of each kind.

`adapter-<name>` is an adapter as a file, with the names under which diffusers, PEFT or kohya save it;
`lora-<case>` is what a pipeline makes with one or more of them. Layers are those of the middle block, so that
the files stay small: linear layers, 1x1 and 3x3 convolutions.
"""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from diffusers import AnimateDiffPipeline
from fixture_file import max_abs_error, write_fixture, write_whole
from peft import (
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    PeftConfig,
    get_peft_model_state_dict,
    inject_adapter_in_model,
)
from peft.tuners.tuners_utils import BaseTunerLayer
from pipeline_fixtures import Case, build, camel_case, run
from prompts import CAT, token_ids
from safetensors.torch import save
from seeded_model import FIXTURES
from torch import Tensor, nn

# Latents of 10 by 10, so that the middle block sees four positions.
CASE = Case(prompts=(CAT,), width=80, height=80, steps=3, guidance_scale=3.0)

ATTENTION = r"mid_block\.attentions\.0\..*(to_[qkv]|to_out\.0)"
SPATIAL = (
    r"mid_block\.(attentions\.0\.(proj_in|proj_out|.*(to_[qkv]|to_out\.0|ff\.net\.0\.proj|ff\.net\.2))"
    r"|resnets\.\d\.conv\d)"
)
# What LCM-LoRA has (Luo et al., arXiv 2311.05556): all kinds of layers but the first and the last.
LCM = (
    r"mid_block\.(attentions\.0\.(proj_in|proj_out|.*(to_[qkv]|to_out\.0|ff\.net\.0\.proj|ff\.net\.2))"
    r"|resnets\.\d\.(conv\d|time_emb_proj))"
    r"|down_blocks\.0\.downsamplers\.0\.conv|up_blocks\.2\.upsamplers\.0\.conv"
    r"|up_blocks\.3\.resnets\.0\.conv_shortcut"
)
TEMPORAL = r"(mid_block|up_blocks\.3)\.motion_modules\.\d\..*(to_[qkv]|to_out\.0)"
TEXT = r".*(q_proj|v_proj|fc1)"

# The adapter that a case puts into the pipeline, as the bytes of a file, and its scale.
Adapter = tuple[bytes, float]


def random_values(shape: tuple[int, ...], seed: int, spread: float) -> Tensor:
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fill(model: nn.Module, spread: Callable[[str, Tensor], float]) -> None:
    """Random values for every factor of an adapter: PEFT begins with one factor at zero."""
    with torch.no_grad():
        factors = [(n, p) for n, p in model.named_parameters() if re.search(r"lora_[AB]\.|hada_|lokr_", n)]
        for seed, (name, parameter) in enumerate(factors):
            parameter.copy_(random_values(tuple(parameter.shape), seed, spread(name, parameter)))


def fan_in(_: str, parameter: Tensor) -> float:
    return parameter[0].numel() ** -0.5


def fixed(value: float) -> Callable[[str, Tensor], float]:
    return lambda _name, _parameter: value


def targets(model: nn.Module, pattern: str) -> list[str]:
    kinds = (nn.Linear, nn.Conv2d)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, kinds) and re.fullmatch(pattern, name)
    ]


def inject(model: nn.Module, config: PeftConfig, spread: Callable[[str, Tensor], float]) -> dict[str, Tensor]:
    """Adds an adapter to the model and returns its tensors as PEFT saves them."""
    inject_adapter_in_model(config, model)
    fill(model, spread)
    model.eval().requires_grad_(False)
    return {name: tensor.contiguous() for name, tensor in get_peft_model_state_dict(model).items()}


def prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def kohya(tensors: dict[str, Tensor], network: str, alpha: float) -> dict[str, Tensor]:
    """PEFT's names as kohya-ss/sd-scripts writes them."""
    out = {}
    for name, tensor in tensors.items():
        layer, part = re.fullmatch(r"(.+)\.lora_([AB])\.weight", name).groups()
        key = f"{network}_{layer.replace('.', '_')}"
        out[f"{key}.lora_{'down' if part == 'A' else 'up'}.weight"] = tensor
        out[f"{key}.alpha"] = torch.tensor(alpha)
    return out


def low_rank(model: nn.Module, pattern: str, **options: Any) -> LoraConfig:
    return LoraConfig(r=4, target_modules=targets(model, pattern), **options)


def scaled(pipeline: AnimateDiffPipeline, scale: float) -> None:
    for model in (pipeline.unet, pipeline.text_encoder):
        for module in model.modules():
            if isinstance(module, BaseTunerLayer):
                module.scale_layer(scale)


def text_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the prefix that files have and transformers 5 dropped."""
    return {n if n.startswith("text_model.") else f"text_model.{n}": t for n, t in tensors.items()}


def lora_kohya(pipeline: AnimateDiffPipeline) -> Adapter:
    """Alpha is half of the rank, over UNet and text encoder."""
    unet, text = pipeline.unet, pipeline.text_encoder
    spatial = inject(unet, low_rank(unet, SPATIAL, lora_alpha=2), fan_in)
    words = inject(text, low_rank(text, TEXT, lora_alpha=2), fan_in)
    scaled(pipeline, -0.8)
    return save({**kohya(spatial, "lora_unet", 2.0), **kohya(text_names(words), "lora_te", 2.0)}), -0.8


def lora_peft(pipeline: AnimateDiffPipeline) -> Adapter:
    """As diffusers saves it: alpha of the layers is in the header only."""
    unet, text = pipeline.unet, pipeline.text_encoder
    config = low_rank(unet, SPATIAL, lora_alpha=2, alpha_pattern={"attn2.to_k": 12}, use_rslora=True)
    spatial = inject(unet, config, fan_in)
    words = inject(text, low_rank(text, TEXT, lora_alpha=6), fan_in)
    tensors = {**prefixed(spatial, "unet."), **prefixed(text_names(words), "text_encoder.")}
    stated = {
        "unet.r": 4,
        "unet.lora_alpha": 2,
        "unet.alpha_pattern": {"attn2.to_k": 12},
        "unet.use_rslora": True,
        "text_encoder.r": 4,
        "text_encoder.lora_alpha": 6,
    }
    return save(tensors, {"format": "pt", "lora_adapter_metadata": json.dumps(stated)}), 1.0


def motion(pipeline: AnimateDiffPipeline) -> Adapter:
    """diffusers loads the file itself."""
    unet = copy.deepcopy(pipeline.unet)
    tensors = prefixed(inject(unet, low_rank(unet, TEMPORAL, lora_alpha=4), fan_in), "unet.")
    pipeline.load_lora_weights(tensors, adapter_name="zoom")
    pipeline.set_adapters(["zoom"], [0.7])
    return save(tensors), 0.7


def dora(pipeline: AnimateDiffPipeline) -> Adapter:
    unet = pipeline.unet
    inject_adapter_in_model(low_rank(unet, SPATIAL, lora_alpha=4, use_dora=True), unet)
    fill(unet, fan_in)
    with torch.no_grad():
        lengths = [p for n, p in unet.named_parameters() if "magnitude" in n]
        for seed, parameter in enumerate(lengths):
            parameter.mul_(1 + random_values(tuple(parameter.shape), seed, 0.6))
    unet.eval().requires_grad_(False)
    tensors = {name: tensor.contiguous() for name, tensor in get_peft_model_state_dict(unet).items()}
    return save(prefixed(tensors, "base_model.model.")), 1.0


def loha(pipeline: AnimateDiffPipeline) -> Adapter:
    unet = pipeline.unet
    config = LoHaConfig(r=2, alpha=2, target_modules=targets(unet, SPATIAL), use_effective_conv2d=True)
    tensors = inject(unet, config, fixed(0.8))
    scaled(pipeline, 0.5)
    return save(prefixed(tensors, "unet.")), 0.5


def lokr(pipeline: AnimateDiffPipeline) -> Adapter:
    unet = pipeline.unet
    config = LoKrConfig(
        r=2, alpha=2, target_modules=targets(unet, SPATIAL), use_effective_conv2d=True, decompose_both=True
    )
    tensors = inject(unet, config, fixed(0.7))
    return save(prefixed(tensors, "unet.")), 1.0


def several(pipeline: AnimateDiffPipeline) -> Adapter:
    """diffusers loads the files itself: this one, whose names it converts, and that of `motion`."""
    unet = copy.deepcopy(pipeline.unet)
    tensors = inject(unet, LoraConfig(r=2, target_modules=targets(unet, ATTENTION)), fan_in)
    adapter = kohya(tensors, "lora_unet", 4.0)
    pipeline.load_lora_weights(adapter, adapter_name="several")
    pipeline.load_lora_weights(FIXTURES / "adapter-motion.safetensors", adapter_name="motion")
    pipeline.set_adapters(["several", "motion"], [0.6, -0.5])
    return save(adapter), 0.6


def animatelcm(pipeline: AnimateDiffPipeline) -> Adapter:
    """AnimateLCM's spatial LoRA, which diffusers loads from kohya's names, with alpha at half of the rank."""
    unet = copy.deepcopy(pipeline.unet)
    adapter = kohya(inject(unet, low_rank(unet, LCM), fan_in), "lora_unet", 2.0)
    pipeline.load_lora_weights(adapter, adapter_name="lcm-lora")
    pipeline.set_adapters(["lcm-lora"], [0.8])
    return save(adapter), 0.8


# Adapters that a case uses beside its own.
OTHERS = {"several": (("motion", -0.5),)}

CASES: dict[str, Callable[[AnimateDiffPipeline], Adapter]] = {
    "kohya": lora_kohya,
    "peft": lora_peft,
    "motion": motion,
    "dora": dora,
    "loha": loha,
    "lokr": lokr,
    "several": several,
    "animatelcm": animatelcm,
}

# Cases that are sampled in another way.
CLIPS = {
    "animatelcm": replace(
        CASE, scheduler={"name": "lcm", "originalInferenceSteps": 100}, guidance_scale=1.5, steps=4
    )
}


def double(pipeline: AnimateDiffPipeline) -> AnimateDiffPipeline:
    for network in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        network.double()
    return pipeline


def lora_fixture(
    name: str,
    case: Case,
    pipeline: AnimateDiffPipeline,
    adapters: tuple[tuple[str, float], ...],
    plain: Tensor,
) -> dict[str, float]:
    result = run(pipeline, case, torch.float32)
    exact = run(double(pipeline), case, torch.float64)
    error = {key: max_abs_error(result[key], exact[key]) for key in ("latents.final", "frames")}
    tensors = {
        "ids": token_ids(list(case.prompts)),
        "negative_ids": token_ids(list(case.negative_prompts)),
        "latents.final": result["latents.final"],
        "frames.sample": result["frames"][:, :, ::7, ::7],
    }
    settings = {camel_case(key): value for key, value in vars(case).items()}
    settings["seeds"] = [str(seed) for seed in case.seeds]
    used = [{"file": f"adapter-{adapter}.safetensors", "scale": scale} for adapter, scale in adapters]
    write_fixture(f"lora-{name}", tensors, {**settings, "adapters": used, "float32Error": error})
    return {**error, "effect": max_abs_error(result["frames"], plain)}


def lora_fixtures(family: dict[str, Any]) -> None:
    for name, prepare in CASES.items():
        case = CLIPS.get(name, CASE)
        plain = run(build(case, copy.deepcopy(family)), case, torch.float32)["frames"]
        pipeline = build(case, copy.deepcopy(family))
        adapter, scale = prepare(pipeline)
        write_whole(FIXTURES / f"adapter-{name}.safetensors", adapter)
        used = ((name, scale), *OTHERS.get(name, ()))
        print(name, lora_fixture(name, case, pipeline, used, plain), flush=True)

"""The seeded random model as diffusers and transformers classes.

A family (`tiny`, `sd15`) is one JSON file in `test/fixtures/reference/`; its sections are configurations of
the diffusers classes. Parameters are named canonically (diffusers names for UNet and VAE, `text_model.…` for
the text encoder, original AnimateDiff names for motion modules), and a parameter's values follow from its
canonical name, so that every file layout holds the same model.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from seeded_weights import seeded_tensor
from transformers import CLIPTextConfig, CLIPTextModel

FIXTURES = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "reference"

# Parts of a motion module: diffusers name, original name.
MOTION_PARTS = (
    (".norm1.", ".norms.0."),
    (".norm2.", ".norms.1."),
    (".norm3.", ".ff_norm."),
    (".attn1.", ".attention_blocks.0."),
    (".attn2.", ".attention_blocks.1."),
)


def read_family(name: str) -> dict[str, Any]:
    """Configurations of all networks of a family such as `tiny`."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def canonical_unet_name(name: str) -> str:
    return name


def canonical_motion_name(name: str) -> str:
    """Original AnimateDiff name of a MotionAdapter parameter."""
    name = re.sub(r"(motion_modules\.\d+)\.", r"\1.temporal_transformer.", name)
    for diffusers_part, original_part in MOTION_PARTS:
        name = name.replace(diffusers_part, original_part)
    return name


def canonical_text_name(name: str) -> str:
    """Checkpoint name of a CLIPTextModel parameter; transformers 5 dropped the prefix that files have."""
    return name if name.startswith("text_model.") else f"text_model.{name}"


def parameter_shapes(module: torch.nn.Module, canonical: Callable[[str], str]) -> dict[str, tuple[int, ...]]:
    """Canonical name and shape of each trained parameter. Position tables are computed, not trained."""
    return {canonical(name): tuple(parameter.shape) for name, parameter in module.named_parameters()}


def _seeded(module: torch.nn.Module, canonical: Callable[[str], str], variant: int) -> torch.nn.Module:
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            values = seeded_tensor(canonical(name), tuple(parameter.shape), variant)
            parameter.copy_(torch.from_numpy(values))
    return module.eval().requires_grad_(False)


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}


def build_unet(family: dict[str, Any]) -> UNet2DConditionModel:
    return UNet2DConditionModel(**_arguments(family["unet"]))


def build_motion_adapter(family: dict[str, Any], version: str) -> MotionAdapter:
    return MotionAdapter(**_arguments(family["motion"][version]))


def build_vae(family: dict[str, Any]) -> AutoencoderKL:
    return AutoencoderKL(**_arguments(family["vae"]))


def build_text_encoder(family: dict[str, Any]) -> CLIPTextModel:
    config = {key: value for key, value in family["text_encoder"].items() if key != "architectures"}
    config.pop("model_type")
    return CLIPTextModel(CLIPTextConfig(**config))


def family_parameters(family: dict[str, Any]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Canonical names and shapes of every network, without allocating any weights."""
    with torch.device("meta"):
        lists = {
            "unet": parameter_shapes(build_unet(family), canonical_unet_name),
            "vae": parameter_shapes(build_vae(family), canonical_unet_name),
            "text_encoder": parameter_shapes(build_text_encoder(family), canonical_text_name),
        }
        for version in family["motion"]:
            adapter = build_motion_adapter(family, version)
            lists[f"motion.{version}"] = parameter_shapes(adapter, canonical_motion_name)
    return lists


def seeded_unet(family: dict[str, Any], variant: int = 0) -> UNet2DConditionModel:
    return _seeded(build_unet(family), canonical_unet_name, variant)


def seeded_motion_unet(family: dict[str, Any], version: str, variant: int = 0) -> UNetMotionModel:
    """UNet with motion modules. `variant` is that of the UNet: a personalised model, the same motion."""
    adapter = _seeded(build_motion_adapter(family, version), canonical_motion_name, 0)
    unet = UNetMotionModel.from_unet2d(seeded_unet(family, variant), adapter)
    return unet.eval().requires_grad_(False)


def seeded_vae(family: dict[str, Any], variant: int = 0) -> AutoencoderKL:
    return _seeded(build_vae(family), canonical_unet_name, variant)


def seeded_text_encoder(family: dict[str, Any], variant: int = 0) -> CLIPTextModel:
    return _seeded(build_text_encoder(family), canonical_text_name, variant)

"""Reads published files back into the weights of their stages, so that later stages can be trained anew.

Usage: python scripts/demo/restore.py [--models models/demo] [--out build/demo] [STAGE ...]
The inverse of export.py. What was rounded to float16 stays rounded. Stages that end with `-start` (`vae`,
`motion`, `personalised`, `lora`, `zoom-in`, `pan-left`) take what is published as the start of a further
training.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.config import RECIPES, Recipe  # noqa: E402
from demo.export import FILES  # noqa: E402
from demo.layouts import ldm_text, ldm_unet, ldm_vae, motion_lora  # noqa: E402
from demo.lora import factors, lora_targets, motion_targets, spatial_targets  # noqa: E402
from demo.model import Denoiser, Vae, is_motion  # noqa: E402
from demo.stages.lora import LORA_START  # noqa: E402
from demo.stages.motion import CAMERA_STARTS, START  # noqa: E402
from demo.stages.still import PERSONALISED_START  # noqa: E402
from demo.stages.vae import VAE_START  # noqa: E402
from demo.weights import save_tensors, save_weights, weights_path  # noqa: E402

BASE_STAGES = {"still", "words", "polish", "views"}
Layout = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def back(state: dict[str, Tensor], file: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """The tensors of `file` under the names and in the shapes of `state`."""
    return {name: file[key].float().view_as(state[name]) for name, key in zip(state, layout(state))}


def part(module: torch.nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in module.state_dict().items() if n.startswith(prefix)}


def fill_still(model: Denoiser, base: dict[str, Tensor], unet: dict[str, Tensor]) -> None:
    model.text.load_state_dict(back(part(model.text), base, ldm_text))
    still = {name: tensor for name, tensor in part(model.unet).items() if not is_motion(name)}
    model.unet.load_state_dict(back(still, unet, ldm_unet), strict=False)


def restore(models: Path, out: Path, stages: Sequence[str], recipe: Recipe = RECIPES["cpu"]) -> None:
    """All stages that train the base are filled from the published one."""
    family = recipe.family
    for stage in {LORA_START, PERSONALISED_START} & set(stages):
        save_tensors(weights_path(out, stage), updates(models, stage, recipe))
    for camera in (camera for camera, start in CAMERA_STARTS.items() if start in stages):
        save_tensors(weights_path(out, CAMERA_STARTS[camera]), camera_updates(models, camera, recipe))
    base = load_file(models / FILES["base"])
    for stage in {"vae", VAE_START} & set(stages):
        vae = Vae(family)
        # Encoder and decoder have no parameter name in common, so that the file's layout needs no prefixes.
        for network in (vae.encoder, vae.decoder):
            network.load_state_dict(back(part(network), base, ldm_vae))
        save_weights(out, stage, vae)
    for stage in BASE_STAGES | {"personalised"}:
        if stage in stages:
            model = Denoiser(family, motion=False)
            fill_still(model, base, base if stage in BASE_STAGES else load_file(models / FILES[stage]))
            save_weights(out, stage, model)
    for stage in {"motion", START} & set(stages):
        model = Denoiser(family, motion=True)
        fill_still(model, base, base)
        motion = load_file(models / FILES["motion"])
        model.unet.load_state_dict({n: t.float() for n, t in motion.items()}, strict=False)
        save_weights(out, stage, model)


def updates(models: Path, stage: str, recipe: Recipe) -> dict[str, Tensor]:
    """What a style changes in the UNet, as `<layer>.down` and `<layer>.up`."""
    base = load_file(models / FILES["base"])
    style = load_file(models / FILES["lora" if stage == LORA_START else "personalised"])
    found: dict[str, Tensor] = {}
    targets = lora_targets if stage == LORA_START else spatial_targets
    for layer in targets(Denoiser(recipe.family, motion=False).unet):
        if stage == LORA_START:
            key = "lora_unet_" + layer.replace(".", "_")
            down, up = (style[f"{key}.lora_{side}.weight"].float().flatten(1) for side in ("down", "up"))
        else:
            (key,) = ldm_unet({f"{layer}.weight": torch.empty(0)})
            change = style[key].float() - base[key].float()
            down, up = factors(change.flatten(1), recipe.personalised_rank)
        found |= {f"{layer}.down": down, f"{layer}.up": up}
    return found


def camera_updates(models: Path, camera: str, recipe: Recipe) -> dict[str, Tensor]:
    """What a MotionLoRA changes in the motion module, in the same form."""
    file = load_file(models / FILES[camera])
    names = [
        f"{n}.{side}"
        for n in motion_targets(Denoiser(recipe.family, motion=True).unet)
        for side in ("down", "up")
    ]
    published = motion_lora({name: torch.empty(0) for name in names})
    return {name: file[key].float() for name, key in zip(names, published)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Published files back into the weights of their stages.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", default=["vae", "views"])
    parser.add_argument("--models", type=Path, default=Path("models/demo"))
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    options = parser.parse_args()
    restore(options.models, options.out, options.stages)


if __name__ == "__main__":
    main()

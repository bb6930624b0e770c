"""Writes the files of models/demo in the layouts of the real ones, in float16."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from .layouts import kohya_lora, ldm_text, ldm_unet, ldm_vae, motion_lora
from .model import is_motion
from .weights import save_tensors, weights_path

FILES = {
    "base": "base.safetensors",
    "motion": "motion_module.safetensors",
    "personalised": "neon.safetensors",
    "lora": "crayon_lora.safetensors",
    "zoom-in": "zoom_in_motion_lora.safetensors",
    "pan-left": "pan_left_motion_lora.safetensors",
}


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors below a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In float16; refuses what float16 cannot hold."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor.half()).all():
            raise SystemExit(f"{name} does not fit into float16 (largest value {tensor.abs().max():g}).")
    return {name: tensor.half() for name, tensor in tensors.items()}


def base(folder: Path) -> dict[str, Tensor]:
    """VAE, text encoder and UNet in one LDM checkpoint."""
    vae = load_file(weights_path(folder, "vae"))
    still = load_file(weights_path(folder, "views"))
    networks = part(vae, "encoder.") | part(vae, "decoder.")
    return ldm_unet(part(still, "unet.")) | ldm_vae(networks) | ldm_text(part(still, "text."))


def motion(folder: Path) -> dict[str, Tensor]:
    unet = part(load_file(weights_path(folder, "motion")), "unet.")
    return {name: tensor for name, tensor in unet.items() if is_motion(name)}


def personalised(folder: Path) -> dict[str, Tensor]:
    """The UNet alone: text encoder and VAE are those of the base, and are kept when this file is loaded."""
    return ldm_unet(part(load_file(weights_path(folder, "personalised")), "unet."))


EXPORTERS = {
    "base": base,
    "motion": motion,
    "personalised": personalised,
    "lora": lambda folder: kohya_lora(load_file(weights_path(folder, "lora"))),
    "zoom-in": lambda folder: motion_lora(load_file(weights_path(folder, "zoom-in"))),
    "pan-left": lambda folder: motion_lora(load_file(weights_path(folder, "pan-left"))),
}


def export(folder: Path, target: Path, kinds: tuple[str, ...] = tuple(FILES)) -> dict[str, int]:
    """Writes the files of these kinds from the results of a run; returns their sizes in bytes by name."""
    sizes: dict[str, int] = {}
    for kind in kinds:
        path = target / FILES[kind]
        save_tensors(path, half(EXPORTERS[kind](folder)), {"format": "pt"})
        sizes[path.name] = path.stat().st_size
    return sizes

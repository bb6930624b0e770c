"""Loads baked files in diffusers and compares its networks with ours. Usage: compare_baked.py FOLDER

`write-baked.ts` wrote the folder: `ldm.safetensors`, `diffusers.safetensors`, our outputs as `<network>.f32`.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(SCRIPTS / "reference"), str(SCRIPTS / "full-check")]

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel  # noqa: E402
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm  # noqa: E402
from diffusers_pipeline import write_configs  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from seeded_model import build_motion_adapter, build_text_encoder, build_unet, build_vae  # noqa: E402
from seeded_weights import seeded_tensor  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from transformers import CLIPTextModel  # noqa: E402

LIMIT = 1e-5

Networks = dict[str, nn.Module]


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def from_ldm(folder: Path, family: dict[str, Any]) -> Networks:
    """As diffusers loads a checkpoint of other tools: the file itself, and the motion module out of it."""
    file = folder / "ldm.safetensors"
    options = {"config": str(folder), "local_files_only": True}
    tensors = load_file(file)
    motion = folder / "motion.safetensors"
    save_file(part(tensors, "motion_module."), motion)
    unet = UNet2DConditionModel.from_single_file(str(file), subfolder="unet", **options)
    adapter = MotionAdapter.from_single_file(str(motion), subfolder="motion", **options)
    return {
        "unet": UNetMotionModel.from_unet2d(unet, adapter),
        "vae": AutoencoderKL.from_single_file(str(file), subfolder="vae", **options),
        "text_encoder": create_diffusers_clip_model_from_ldm(
            CLIPTextModel, tensors, subfolder="text_encoder", **options
        ),
    }


def from_diffusers(folder: Path, family: dict[str, Any]) -> Networks:
    """Each component strictly: every name is there, and no other."""
    tensors = load_file(folder / "diffusers.safetensors")
    unet, adapter = build_unet(family), build_motion_adapter(family, "v2")
    vae, text_encoder = build_vae(family), build_text_encoder(family)
    words = part(tensors, "text_encoder.")
    if not any(name.startswith("text_model.") for name in text_encoder.state_dict()):
        words = part(words, "text_model.")
    unet.load_state_dict(part(tensors, "unet."))
    adapter.load_state_dict(part(tensors, "motion_adapter."))
    vae.load_state_dict(part(tensors, "vae."))
    text_encoder.load_state_dict(words)
    return {"unet": UNetMotionModel.from_unet2d(unet, adapter), "vae": vae, "text_encoder": text_encoder}


def unit_variance(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(seeded_tensor(name, (int(np.prod(shape)),))).view(shape)


def outputs(networks: Networks) -> dict[str, Tensor]:
    for network in networks.values():
        network.eval()
    text = unit_variance("text.weight", (1, 77, 32)).repeat_interleave(5, 0)
    latents = unit_variance("latents.weight", (1, 4, 5, 10, 6))
    return {
        "unet": networks["unet"](latents, 481, text).sample,
        "vae": networks["vae"].decode(unit_variance("image.weight", (1, 4, 6, 8))).sample,
        "text_encoder": networks["text_encoder"](7 * torch.arange(77)[None]).last_hidden_state,
    }


def main() -> None:
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
    folder = Path(sys.argv[1])
    family = write_configs(folder, "tiny")
    worst = 0.0
    for layout, load in {"ldm": from_ldm, "diffusers": from_diffusers}.items():
        for name, value in outputs(load(folder, family)).items():
            ours = torch.from_numpy(np.fromfile(folder / f"{name}.f32", "<f4")).view_as(value)
            error = (value - ours).abs().max().item()
            worst = max(worst, error)
            print(f"{layout}, {name}: max abs error {error:.2e}, largest value {value.abs().max():.2f}")
    if not worst <= LIMIT:
        sys.exit(f"The largest error is {worst}, more than {LIMIT}.")


if __name__ == "__main__":
    main()

"""Results of the stages: safetensors in float32 with the parameter names of the networks themselves."""

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .files import write_whole


def weights_path(folder: Path, stage: str) -> Path:
    return folder / stage / "weights.safetensors"


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes contiguous copies, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(path, lambda beside: save_file(plain, beside, metadata))


def save_weights(folder: Path, stage: str, module: nn.Module) -> None:
    save_tensors(weights_path(folder, stage), module.state_dict())


def load_weights(path: Path, module: nn.Module, strict: bool = True) -> None:
    """Fills the module; without `strict` the file may hold fewer parameters, never unknown ones."""
    if not path.exists():
        raise SystemExit(f"{path} is missing: run the stage '{path.parent.name}' first.")
    missing, unknown = module.load_state_dict(load_file(path), strict=False)
    if unknown or (strict and missing):
        raise SystemExit(f"{path} does not fit: {len(missing)} parameters missing, {len(unknown)} unknown.")

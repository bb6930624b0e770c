"""Writes fixture files: float32, int32 and uint8 tensors, with what made them as JSON in the metadata."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from seeded_model import FIXTURES

STORED = {"f": np.float32, "i": np.int32, "u": np.uint8}


def write_fixture(name: str, tensors: dict[str, Any], about: dict[str, Any]) -> Path:
    """Writes `name`.safetensors. `about` goes as JSON under the key `about`: with a single key the bytes of
    the file do not depend on the order of a hash table."""
    arrays = {}
    for key, tensor in tensors.items():
        array = tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)
        arrays[key] = np.ascontiguousarray(array.astype(STORED[array.dtype.kind]))
        if array.dtype.kind == "f" and not np.isfinite(arrays[key]).all():
            raise ValueError(f"{name}: {key} is not finite; the reference computation went wrong")
    return write_whole(FIXTURES / f"{name}.safetensors", save(arrays, {"about": json.dumps(about)}))


def write_whole(path: Path, data: bytes) -> Path:
    """Writes beside the target and renames, so that no half-written file is ever seen."""
    beside = path.with_name(f"{path.name}.part")
    beside.write_bytes(data)
    os.replace(beside, path)
    return path


def max_abs_error(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest absolute difference, rounded to two digits so that it reads well in a file."""
    return float(f"{(a.double() - b.double()).abs().max().item():.2g}")

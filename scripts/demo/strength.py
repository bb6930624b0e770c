"""Makes what a published style changes stronger or weaker, as the scale of a LoRA would.

Usage: python scripts/demo/strength.py personalised|lora FACTOR [--models models/demo]
The file is replaced, rounded to float16 once more. README.md has the factors of the published ones.
"""

import argparse
import math
import sys
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.export import FILES, half  # noqa: E402
from demo.weights import save_tensors  # noqa: E402


def personalised(base: dict[str, Tensor], style: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """The base and `factor` times what the style differs by; the style's file names fewer tensors."""
    plain = {name: base[name].float() for name in style}
    return {name: plain[name] + factor * (tensor.float() - plain[name]) for name, tensor in style.items()}


def lora(tensors: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """One of the two factors of each update, times `factor`."""
    return {n: t.float() * factor if ".lora_up." in n else t for n, t in tensors.items()}


def strengthen(models: Path, kind: str, factor: float) -> None:
    """@param kind `personalised` or `lora`, @param factor 1 changes nothing, 0 gives the base"""
    path = models / FILES[kind]
    style = load_file(path)
    if kind == "lora":
        changed = lora(style, factor)
    else:
        changed = personalised(load_file(models / FILES["base"]), style, factor)
    save_tensors(path, half(changed), {"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a published style stronger or weaker.")
    parser.add_argument("kind", choices=["personalised", "lora"])
    parser.add_argument("factor", type=float)
    parser.add_argument("--models", type=Path, default=Path("models/demo"))
    options = parser.parse_args()
    if not math.isfinite(options.factor) or options.factor < 0:
        parser.error(f"FACTOR is a number from 0 on, got {options.factor}.")
    strengthen(options.models, options.kind, options.factor)


if __name__ == "__main__":
    main()

"""Makes every file of `test/fixtures/reference/` that is not written by hand.

Usage: python scripts/reference/make_fixtures.py
Needs: torch, diffusers, transformers, safetensors, numpy in the versions that the folder's README names.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from ddim_fixture import ddim_fixture
from diffusers.utils import logging
from fixture_file import write_whole
from long_prompt_fixture import long_prompt_fixture
from lora_fixtures import lora_fixtures
from network_fixtures import noise_fixture, text_fixture, unet_fixture, vae_fixture
from pipeline_fixtures import pipeline_fixtures
from prompt_fixtures import prompt_fixture
from scheduler_fixture import scheduler_fixture
from seeded_model import FIXTURES, family_parameters, read_family
from seeded_weights import seeded_tensor

# One tensor per rule and per network, and one of a personalised variant.
CHECKED = (
    ("conv_in.weight", (32, 4, 3, 3), 0),
    ("conv_in.weight", (32, 4, 3, 3), 1),
    ("time_embedding.linear_1.bias", (128,), 0),
    ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight", (32, 32), 0),
    ("mid_block.motion_modules.0.temporal_transformer.transformer_blocks.0.norms.1.weight", (64,), 0),
    ("mid_block.motion_modules.0.temporal_transformer.proj_out.weight", (64, 64), 0),
    ("decoder.mid_block.attentions.0.group_norm.weight", (32,), 0),
    ("text_model.embeddings.token_embedding.weight", (49408, 32), 0),
    ("text_model.encoder.layers.2.self_attn.k_proj.weight", (32, 32), 0),
)


def parameter_list(shapes: dict[str, Iterable[int]]) -> dict[str, Any]:
    """Count and hash of the sorted lines `name shape`, such as `conv_in.weight 32x4x3x3`."""
    lines = sorted(f"{name} {'x'.join(map(str, shape))}\n" for name, shape in shapes.items())
    return {"count": len(lines), "sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}


def weights_checksums() -> None:
    tensors = []
    for name, shape, variant in CHECKED:
        values = seeded_tensor(name, shape, variant)
        first = [float(value) for value in values.flatten()[:3]]
        digest = hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()
        tensors.append({"name": name, "shape": shape, "variant": variant, "first": first, "sha256": digest})
    families = {
        name: {
            network: parameter_list(shapes)
            for network, shapes in family_parameters(read_family(name)).items()
        }
        for name in ("tiny", "sd15")
    }
    checksums = {"tensors": tensors, "families": families}
    text = json.dumps(checksums, indent=2) + "\n"
    write_whole(FIXTURES / "seeded-weights.json", text.encode())


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    # One thread: the order of additions, and so the last bits, depend on how work is split.
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    weights_checksums()
    family = read_family("tiny")
    text_fixture(family)
    prompt_fixture(family)
    long_prompt_fixture(family)
    unet_fixture(family)
    vae_fixture(family)
    noise_fixture()
    ddim_fixture()
    scheduler_fixture()
    pipeline_fixtures(family)
    lora_fixtures(family)
    total = sum(path.stat().st_size for path in FIXTURES.glob("*.safetensors"))
    print(f"{total} bytes of safetensors")


if __name__ == "__main__":
    main()

"""Loads single files into AnimateDiffPipeline as a user of diffusers does, without asking any server."""

import gzip
import json
from pathlib import Path
from typing import Any

import torch
from ddim_fixture import ddim_scheduler
from diffusers import AnimateDiffPipeline, AutoencoderKL, MotionAdapter, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from original_norms import use_original_norms
from safetensors import safe_open
from seeded_model import read_family
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

ROOT = Path(__file__).resolve().parents[2]
END_OF_WORD = "</w>"


def clip_tokenizer() -> CLIPTokenizer:
    """CLIPTokenizer with the vocabulary that openai/CLIP derives from its list of merges."""
    text = gzip.decompress((ROOT / "native" / "vocabulary" / "clip-merges.txt.gz").read_bytes()).decode()
    merges = [tuple(line.split()) for line in text.splitlines() if len(line.split()) == 2]
    symbols = list(bytes_to_unicode().values())
    tokens = [*symbols, *(symbol + END_OF_WORD for symbol in symbols), *("".join(pair) for pair in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def write_configs(folder: Path, name: str = "sd15") -> dict[str, Any]:
    """Writes the configurations that the loaders look for. Returns the whole family."""
    family = read_family(name)
    sections = {key: family[key] for key in ("unet", "vae", "text_encoder")}
    for key, config in {**sections, "motion": family["motion"]["v2"]}.items():
        (folder / key).mkdir(parents=True, exist_ok=True)
        (folder / key / "config.json").write_text(json.dumps(config))
    return family


def tensors_below(checkpoint: str, prefix: str) -> dict[str, torch.Tensor]:
    """One network's tensors. Given the file, each loader would read all of it, at three times the memory."""
    with safe_open(checkpoint, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}


def load_pipeline(job: dict[str, Any], configs: Path) -> AnimateDiffPipeline:
    """The pipeline of a job, with the norms and the last alpha of its `compat`."""
    original = job["compat"] == "original"
    dtype = getattr(torch, job["dtype"])
    options = {"config": str(configs), "torch_dtype": dtype, "local_files_only": True}
    text_encoder = create_diffusers_clip_model_from_ldm(
        CLIPTextModel,
        tensors_below(job["checkpoint"], "cond_stage_model."),
        subfolder="text_encoder",
        config=str(configs),
        torch_dtype=dtype,
        local_files_only=True,
    )
    pipeline = AnimateDiffPipeline(
        vae=AutoencoderKL.from_single_file(
            tensors_below(job["checkpoint"], "first_stage_model."), subfolder="vae", **options
        ),
        text_encoder=text_encoder,
        tokenizer=clip_tokenizer(),
        unet=UNet2DConditionModel.from_single_file(
            tensors_below(job["checkpoint"], "model.diffusion_model."), subfolder="unet", **options
        ),
        motion_adapter=MotionAdapter.from_single_file(job["motionModule"], subfolder="motion", **options),
        scheduler=ddim_scheduler(set_alpha_to_one=original),
    )
    if original:
        use_original_norms(pipeline.unet, "v2")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline

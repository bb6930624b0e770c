"""Fixture of a whole clip whose prompt is longer than the text encoder's 75 tokens, without its last layer.

Both sides have as many chunks: the negative prompt, which is short, is followed by an empty one.
"""

import copy
from typing import Any

import torch
from fixture_file import max_abs_error, write_fixture
from pipeline_fixtures import Case, build, camel_case, run
from prompt_fixtures import WORDS, Chunks, embed, tokenizer

# 2 and 8 times 9 tokens; `red` is the 75th, and goes with `fox` into the next chunk.
LONG = "one two " + WORDS * 9
SHORT = "blurry"
CHUNKS: dict[str, Chunks] = {
    LONG: [[("one two " + WORDS * 8, 1)], [(WORDS, 1)]],
    SHORT: [[(SHORT, 1)], [("", 1)]],
}
CASE = Case(prompts=(LONG,), negative_prompts=(SHORT,), steps=3, height=48, guidance_scale=3.0)
CLIP_SKIP = 2


def long_prompt_fixture(family: dict[str, Any]) -> None:
    clip = tokenizer()

    def encode(encoder: torch.nn.Module, prompts: tuple[str, ...]) -> torch.Tensor:
        # diffusers counts the layers that are left out, AUTOMATIC1111's web UI from 1.
        return torch.stack([embed(clip, encoder, CHUNKS[prompt], CLIP_SKIP - 1) for prompt in prompts])

    result = run(build(CASE, copy.deepcopy(family)), CASE, torch.float32, encode)
    exact_pipeline = build(CASE, copy.deepcopy(family))
    for network in (exact_pipeline.unet, exact_pipeline.vae, exact_pipeline.text_encoder):
        network.double()
    exact = run(exact_pipeline, CASE, torch.float64, encode)
    error = {key: max_abs_error(result[key], exact[key]) for key in ("latents.final", "frames")}
    settings = {camel_case(key): value for key, value in vars(CASE).items()}
    settings["seeds"] = [str(seed) for seed in CASE.seeds]
    tensors = {
        "latents.final": result["latents.final"],
        "frames.sample": result["frames"][:, :, ::7, ::7],
    }
    write_fixture("long-prompt", tensors, {**settings, "clipSkip": CLIP_SKIP, "float32Error": error})
    print("long-prompt", error, flush=True)

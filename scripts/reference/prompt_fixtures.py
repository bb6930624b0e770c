"""Fixture of prompts: text embeddings by transformers' CLIPTextModel and diffusers' `load_textual_inversion`.

What goes in is written as chunks of text with weights, so that the reader of prompts is tested, not copied.
The weighting is the documented one of AUTOMATIC1111's web UI: embeddings times weights, scaled back to their
mean.
"""

import copy
import gzip
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from fixture_file import write_fixture
from network_fixtures import encode_text, noise
from prompts import BEGIN, END, LENGTH
from seeded_model import FIXTURES, seeded_text_encoder
from torch import Tensor, nn
from transformers import CLIPTokenizer

MERGES = Path(__file__).resolve().parents[2] / "native" / "vocabulary" / "clip-merges.txt.gz"

# A prompt as chunks of (text, weight).
Chunks = list[list[tuple[str, float]]]

WORDS = "red fox, blue sea, old oak, "

# What each prompt of the test means.
CASES: dict[str, Chunks] = {
    "a (red:1.3) ((fox)) [in the] snow": [
        [("a ", 1), ("red", 1.3), (" ", 1), ("fox", 1.1 * 1.1), (" ", 1), ("in the", 1 / 1.1), (" snow", 1)]
    ],
    "a \\(cat\\) (sleeps": [[("a (cat) ", 1), ("sleeps", 1.1)]],
    "a cat BREAK (a dog:0.5)": [[("a cat", 1)], [("a dog", 0.5)]],
    # 2 and 8 times 9 tokens; `red` is the 75th, and goes with `fox` into the next chunk.
    "one two " + WORDS * 9: [[("one two " + WORDS * 8, 1)], [(WORDS, 1)]],
}


def tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer from the merges of this repository, numbered as openai/CLIP does."""
    lines = gzip.decompress(MERGES.read_bytes()).decode().splitlines()
    merges = [tuple(line.split(" ")) for line in lines]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(code) for code in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    words = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(pair) for pair in merges)]
    vocab = {token: i for i, token in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LENGTH)


def embed(clip: CLIPTokenizer, encoder: torch.nn.Module, chunks: Chunks, clip_skip: int = 0) -> Tensor:
    """float [chunks * 77, hidden]."""
    rows = []
    for chunk in chunks:
        ids, weights = [BEGIN], [1.0]
        for text, weight in chunk:
            tokens = clip(text).input_ids[1:-1]
            ids += tokens
            weights += [float(weight)] * len(tokens)
        padding = LENGTH - len(ids)
        plain = encode_text(encoder, torch.tensor([ids + [END] * padding]), clip_skip)
        weighted = plain * torch.tensor(weights + [1.0] * padding)[None, :, None]
        rows.append(weighted * (plain.mean() / weighted.mean()))
    return torch.cat(rows, dim=1)[0]


def inversion(clip: CLIPTokenizer, encoder: torch.nn.Module, vectors: Tensor) -> Tensor:
    """`a <fixture-style> cat` with three vectors, by diffusers."""
    encoder, clip = copy.deepcopy(encoder), copy.deepcopy(clip)
    parts = {"vae": None, "unet": None, "scheduler": None, "safety_checker": None, "feature_extractor": None}
    pipeline = StableDiffusionPipeline(
        **parts, text_encoder=encoder, tokenizer=clip, requires_safety_checker=False
    )
    pipeline.load_textual_inversion({"<fixture-style>": vectors})
    prompt = pipeline.maybe_convert_prompt("a <fixture-style> cat", clip)
    ids = clip(prompt).input_ids
    return encode_text(encoder, torch.tensor([ids + [END] * (LENGTH - len(ids))]))[0]


def interpolated(start: Tensor, end: Tensor, count: int) -> Tensor:
    """Frames from `start` to before `end`, linearly, as diffusers' FreeNoise has them."""
    return torch.stack([(1 - i / count) * start + i / count * end for i in range(count)])


def on_great_circle(start: Tensor, end: Tensor, count: int) -> Tensor:
    """Frames from `start` to before `end` by the angle between whole tensors (Shoemake, SIGGRAPH 1985)."""
    cosine = (start.flatten() @ end.flatten()) / (start.norm() * end.norm())
    angle = torch.arccos(cosine)
    if cosine.abs() > 0.99:
        raise ValueError(f"the texts are too near to each other for a test: {cosine}")
    parts = torch.arange(count) / count * angle
    return torch.stack([(angle - part).sin() * start + part.sin() * end for part in parts]) / angle.sin()


def embedding_files(vectors: Tensor) -> None:
    """The vectors as AUTOMATIC1111's web UI, the original training code and diffusers save them."""
    rest = {"string_to_token": {"*": 265}, "name": "<fixture-style>", "step": 500, "sd_checkpoint": None}
    files = {
        "embedding-webui.pt": {**rest, "string_to_param": {"*": vectors}},
        "embedding-original.pt": {**rest, "string_to_param": nn.ParameterDict({"*": nn.Parameter(vectors)})},
        "embedding-diffusers.bin": {"<fixture-style>": vectors},
    }
    for name, content in files.items():
        torch.save(content, FIXTURES / name)


def prompt_fixture(family: dict[str, Any]) -> None:
    clip, encoder = tokenizer(), seeded_text_encoder(family)
    tensors = {f"case.{i}": embed(clip, encoder, chunks) for i, chunks in enumerate(CASES.values())}
    cat, dog = (embed(clip, encoder, [[(text, 1)]]) for text in ("a cat", "a dog"))
    vectors = noise((3, cat.shape[1]), 3) / 2
    tensors["clip_skip_2"] = embed(clip, encoder, [[("a cat", 1)]], 1)
    # Keys at 1 and 3 of 5 frames.
    tensors["travel.lerp"] = torch.cat([cat[None], interpolated(cat, dog, 2), dog[None], dog[None]])
    end = embed(clip, encoder, [[("one two three, old oak, blue sea", 1)]])
    circle = on_great_circle(cat.double(), end.double(), 4).float()
    tensors["travel.slerp"] = torch.cat([circle, end[None]])
    tensors["vectors"] = vectors
    embedding_files(vectors)
    tensors["inversion"] = inversion(clip, encoder, vectors)
    write_fixture("prompts", tensors, {"prompts": list(CASES)})

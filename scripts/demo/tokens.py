"""Captions to token ids, with CLIP's own vocabulary (native/vocabulary)."""

import gzip
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPTokenizer

MERGES = Path(__file__).resolve().parents[2] / "native" / "vocabulary" / "clip-merges.txt.gz"
LENGTH = 77
PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]


@cache
def tokenizer() -> CLIPTokenizer:
    """Ids in the order of openai/CLIP: bytes, bytes at the end of a word, merges, two special tokens."""
    merges = [tuple(line.split(" ")) for line in gzip.decompress(MERGES.read_bytes()).decode().splitlines()]
    others = [chr(256 + i) for i in range(256 - len(PRINTABLE))]
    symbols = [*(chr(byte) for byte in PRINTABLE), *others]
    words = [*symbols, *(f"{s}</w>" for s in symbols), *("".join(pair) for pair in merges)]
    ids = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=ids, merges=merges)


def token_ids(captions: list[str]) -> Tensor:
    """[n, 77] int64: start token, words, end token, and the end token again as padding."""
    ids = tokenizer()(captions, padding="max_length", max_length=LENGTH, truncation=True)["input_ids"]
    return torch.tensor(ids)

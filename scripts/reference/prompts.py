"""Prompts of the fixtures with their CLIP BPE tokens, so that making fixtures needs no vocabulary.

The tokens are those of openai/CLIP's BPE and of transformers' CLIPTokenizer, without begin and end.
"""

import torch

CAT = "a cat"
GIRL = (
    "best quality, masterpiece, 1girl, looking at viewer, blurry background, upper body, contemporary, dress"
)
ODD = "it's  a TEST\n1000 (word:1.2) [x] émotion 猫 don't"
EMPTY = ""

BEGIN, END, LENGTH = 49406, 49407, 77

# fmt: off
TOKENS: dict[str, list[int]] = {
    EMPTY: [],
    CAT: [320, 2368],
    GIRL: [949, 3027, 267, 12066, 267, 272, 1611, 267, 1312, 536, 15061, 267, 21977, 5994, 267, 7067, 1774,
           267, 8859, 267, 2595],
    ODD: [585, 568, 320, 1628, 272, 271, 271, 271, 263, 2653, 281, 272, 269, 273, 264, 314, 343, 316, 3459,
          7860, 163, 234, 360, 847, 713],
}
# fmt: on


def token_ids(prompts: list[str]) -> torch.Tensor:
    """int64 [prompts, 77]: begin, tokens, end, and the end token again as padding (SD 1.5)."""
    rows = [[BEGIN, *TOKENS[prompt]] for prompt in prompts]
    return torch.tensor([row + [END] * (LENGTH - len(row)) for row in rows])

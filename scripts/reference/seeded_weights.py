"""Random weights that Python and TypeScript compute alike, so that no weights are committed.

The value at flat index i of a tensor depends on the tensor's name and on i alone, through 32-bit integer
arithmetic; the step to floating point is exact in float64 and is rounded to float32 once. The same
functions in TypeScript are in `test/support/seeded-weights.ts`; `test/fixtures/reference/seeded-weights.json`
holds checksums that both must give.
"""

import math
import re

import numpy as np

# (name pattern, centre, spread, by fan-in): a value is centre + spread * u with u uniform in [-1, 1); by
# fan-in the spread is also multiplied by sqrt(3 / fan_in), which keeps the variance of activations (He et
# al. 2015, arXiv 1502.01852, for gain 1). Large norms and biases and peaked attention make the output depend
# on every parameter by several times the tolerance of the parity tests. The UNet's small last layer makes up
# for guidance and the first DDIM steps, which amplify rounding errors of what is not a trained denoiser.
RULES: tuple[tuple[re.Pattern[str], float, float, bool], ...] = (
    (re.compile(r"norm[^.]*(\.\d+)?\.weight$"), 1.0, 0.5, False),
    (re.compile(r"\.bias$"), 0.0, 0.375, False),
    (re.compile(r"embedding\.weight$"), 0.0, 0.5, False),
    (re.compile(r"(to_[qk]|[qk]_proj)\.weight$"), 0.0, 2.0, True),
    (re.compile(r"^conv_out\.weight$"), 0.0, 0.25, True),
    (re.compile(r"\.weight$"), 0.0, 1.0, True),
)

GOLDEN_RATIO = 0x9E3779B9


def name_seed(name: str, variant: int = 0) -> int:
    """32-bit FNV-1a hash of the UTF-8 name, moved on for each variant of the model."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return (value + variant * GOLDEN_RATIO) & 0xFFFFFFFF


def _mix(x: np.ndarray) -> np.ndarray:
    """Finaliser of MurmurHash3 (32 bit), a bijection of uint32; changes `x` in place."""
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return x


def seeded_tensor(name: str, shape: tuple[int, ...], variant: int = 0) -> np.ndarray:
    """The tensor `name` of the seeded model: float32 of the given shape."""
    rule = next((rule for rule in RULES if rule[0].search(name)), None)
    if rule is None:
        raise ValueError(
            f"no rule for a tensor named {name!r}; add one to RULES here and in seeded-weights.ts"
        )
    _, centre, spread, by_fan_in = rule
    if by_fan_in:
        spread *= math.sqrt(3 / math.prod(shape[1:]))
    index = np.arange(math.prod(shape), dtype=np.uint32)
    bits = _mix(_mix(index) ^ np.uint32(name_seed(name, variant)))
    uniform = bits.astype(np.float64) / 2**31 - 1
    return (centre + spread * uniform).astype(np.float32).reshape(shape)

"""Recipes: how long every stage trains, and on how much.

`cpu` is made for two cores and about three hours, `gpu` for one large GPU and some minutes, `test` for the
quick test. README.md says what was measured.
"""

from dataclasses import dataclass

from graphs.families import Family, TextConfig, UNetConfig, VaeConfig

from .model import DEMO


@dataclass(frozen=True)
class Stage:
    """One stage. `scenes` of them are drawn; a scene is one picture, or one clip where motion is trained."""

    steps: int
    batch: int
    scenes: int
    learning_rate: float
    warmup: int = 100
    ema: float = 0.999
    log_every: int = 20
    save_every: int = 250
    sheet_every: int = 1000
    bf16: bool = False


@dataclass(frozen=True)
class Recipe:
    """All stages in the order of training."""

    family: Family
    vae: Stage
    still: Stage
    motion: Stage
    personalised: Stage
    lora: Stage
    motion_lora: Stage
    seed: int = 20260
    lora_rank: int = 4
    empty_captions: float = 0.1
    sheet_prompts: int = 10
    guidance: float = 5.0
    sampling_steps: int = 25


TINY = Family(
    name="demo-test",
    text=TextConfig(hidden=32, intermediate=64, layers=3, heads=4),
    vae=VaeConfig(widths=(8, 8, 8, 8), groups=4),
    unet=UNetConfig(
        widths=(8, 16, 16, 16), heads=2, groups=4, text_width=32, motion_heads=2, motion_groups=4
    ),
    sample_size=128,
)


def short(steps: int, batch: int, learning_rate: float) -> Stage:
    """A stage of the quick test."""
    return Stage(
        steps,
        batch,
        2 * batch,
        learning_rate,
        warmup=2,
        ema=0.9,
        log_every=1,
        save_every=3,
        sheet_every=steps,
    )


RECIPES: dict[str, Recipe] = {
    "cpu": Recipe(
        family=DEMO,
        vae=Stage(steps=9000, batch=16, scenes=20000, learning_rate=2e-3, bf16=True),
        still=Stage(steps=6000, batch=48, scenes=40000, learning_rate=2e-3),
        motion=Stage(steps=1500, batch=6, scenes=3000, learning_rate=1e-3),
        personalised=Stage(steps=1000, batch=48, scenes=6000, learning_rate=5e-4),
        lora=Stage(steps=800, batch=48, scenes=6000, learning_rate=2e-3),
        motion_lora=Stage(steps=200, batch=6, scenes=300, learning_rate=1e-3),
    ),
    "gpu": Recipe(
        family=DEMO,
        vae=Stage(steps=6000, batch=64, scenes=60000, learning_rate=2e-3, bf16=True),
        still=Stage(steps=12000, batch=384, scenes=200000, learning_rate=2e-3, bf16=True),
        motion=Stage(steps=6000, batch=24, scenes=16000, learning_rate=1e-3, bf16=True),
        personalised=Stage(steps=1500, batch=256, scenes=30000, learning_rate=5e-4, bf16=True),
        lora=Stage(steps=1500, batch=256, scenes=30000, learning_rate=2e-3, bf16=True),
        motion_lora=Stage(steps=800, batch=24, scenes=3000, learning_rate=1e-3, bf16=True),
    ),
    "test": Recipe(
        family=TINY,
        vae=short(8, 4, 5e-3),
        still=short(8, 8, 5e-3),
        motion=short(6, 2, 5e-3),
        personalised=short(6, 8, 5e-3),
        lora=short(6, 8, 2e-2),
        motion_lora=short(6, 2, 2e-2),
        sheet_prompts=2,
        sampling_steps=2,
    ),
}

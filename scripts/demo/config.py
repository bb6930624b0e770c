"""Recipes: how long every stage trains, and on how much.

`cpu` is made for two cores and about three hours, `gpu` for one large GPU and some minutes, `test` for the
quick test. README.md says what was measured.
"""

from dataclasses import dataclass, fields, replace

from graphs.families import DEMO, Family, TextConfig, UNetConfig, VaeConfig


@dataclass(frozen=True)
class Stage:
    """One stage. `scenes` of them are drawn; a scene is one picture, or one clip where motion is trained
    (`words`, `polish` and `views` take theirs from the clips of later stages).

    `matrix_rate` is Muon's rate for matrices and `learning_rate` AdamW's for the rest; 0: AdamW for all.
    """

    steps: int
    batch: int
    scenes: int
    learning_rate: float
    matrix_rate: float = 0.0
    warmup: int = 100
    ema: float = 0.999
    log_every: int = 20
    save_every: int = 250
    sheet_every: int = 400
    bf16: bool = False


@dataclass(frozen=True)
class Recipe:
    """All stages in the order of training.

    `empty_captions`: share of the scenes whose caption is left out. `cameras`: whose clips the batches of
    `motion` are of, in turn; one that moves is seen through its MotionLoRA, which learns with the module.
    """

    family: Family
    vae: Stage
    still: Stage
    words: Stage
    polish: Stage
    views: Stage
    motion: Stage
    personalised: Stage
    lora: Stage
    motion_lora: Stage
    seed: int = 20260
    lora_rank: int = 8
    motion_lora_rank: int = 8
    personalised_rank: int = 16
    empty_captions: float = 0.1
    cameras: tuple[str, ...] = ("fixed",)
    sheet_prompts: int = 10
    guidance: float = 3.0
    sampling_steps: int = 25


def shortened(recipe: Recipe, share: float) -> Recipe:
    """The recipe with that share of every stage's steps; rates fall in as many."""
    stages = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.type is Stage}
    return replace(
        recipe, **{name: replace(s, steps=max(1, round(s.steps * share))) for name, s in stages.items()}
    )


HALF_MOVING = ("fixed", "zoom-in", "fixed", "pan-left")

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
        matrix_rate=0.02,
        warmup=2,
        ema=0.9,
        log_every=1,
        save_every=3,
        sheet_every=steps,
    )


RECIPES: dict[str, Recipe] = {
    "cpu": Recipe(
        family=DEMO,
        vae=Stage(steps=5000, batch=16, scenes=20000, learning_rate=2e-3, matrix_rate=0.02, bf16=True),
        still=Stage(steps=3600, batch=48, scenes=32000, learning_rate=2e-3, matrix_rate=0.02),
        words=Stage(steps=700, batch=48, scenes=0, learning_rate=1e-3, matrix_rate=0.01, warmup=30),
        polish=Stage(steps=800, batch=48, scenes=0, learning_rate=5e-4, matrix_rate=0.005, warmup=30),
        views=Stage(steps=600, batch=48, scenes=0, learning_rate=5e-4, matrix_rate=0.005, warmup=30),
        motion=Stage(steps=2200, batch=4, scenes=2400, learning_rate=1e-3, matrix_rate=0.015, bf16=True),
        personalised=Stage(
            steps=1600, batch=48, scenes=6000, learning_rate=1e-3, matrix_rate=0.01, bf16=True
        ),
        lora=Stage(steps=1600, batch=48, scenes=6000, learning_rate=1e-3, matrix_rate=0.01, bf16=True),
        motion_lora=Stage(steps=400, batch=4, scenes=500, learning_rate=3e-3, matrix_rate=0.02, warmup=20),
        cameras=HALF_MOVING,
    ),
    "gpu": Recipe(
        family=DEMO,
        vae=Stage(steps=6000, batch=64, scenes=60000, learning_rate=2e-3, matrix_rate=0.02, bf16=True),
        still=Stage(steps=12000, batch=384, scenes=200000, learning_rate=2e-3, matrix_rate=0.02, bf16=True),
        words=Stage(steps=2000, batch=384, scenes=0, learning_rate=1e-3, matrix_rate=0.01, bf16=True),
        polish=Stage(steps=2000, batch=384, scenes=0, learning_rate=5e-4, matrix_rate=0.005, bf16=True),
        views=Stage(steps=2000, batch=384, scenes=0, learning_rate=5e-4, matrix_rate=0.005, bf16=True),
        motion=Stage(
            steps=4000,
            batch=32,
            scenes=12000,
            learning_rate=7e-4,
            matrix_rate=0.01,
            log_every=25,
            bf16=True,
        ),
        personalised=Stage(
            steps=1500, batch=256, scenes=30000, learning_rate=1e-3, matrix_rate=0.01, bf16=True
        ),
        lora=Stage(steps=1500, batch=256, scenes=30000, learning_rate=1e-3, matrix_rate=0.01, bf16=True),
        motion_lora=Stage(
            steps=1200,
            batch=16,
            scenes=3000,
            learning_rate=1e-3,
            matrix_rate=0.008,
            warmup=20,
            log_every=25,
            bf16=True,
        ),
        empty_captions=0.15,
        cameras=HALF_MOVING,
    ),
    "test": Recipe(
        family=TINY,
        vae=short(8, 4, 5e-3),
        still=short(8, 8, 5e-3),
        words=replace(short(6, 8, 1e-3), matrix_rate=0.002),
        polish=replace(short(6, 8, 1e-3), matrix_rate=0.002),
        views=replace(short(6, 8, 1e-3), matrix_rate=0.002),
        motion=short(6, 2, 5e-3),
        personalised=short(6, 8, 2e-2),
        lora=short(6, 8, 2e-2),
        motion_lora=short(6, 2, 2e-2),
        cameras=HALF_MOVING,
        sheet_prompts=2,
        sampling_steps=2,
    ),
}

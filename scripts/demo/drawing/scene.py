"""A scene is everything that one clip shows; it follows from a seed and an index alone."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from .motions import Variation
from .names import BACKGROUNDS, combinations

MORE = {"bouncing": 1, "spinning": 2}
"""How often more training shows the motions that are learned last, as all their frames go another way."""


ANCHOR = 0.06
"""Part of the panorama about its beginning in which the scenery of clips under moving cameras lies. Were it
anywhere, frames that are hidden by noise would have to agree on where; so each follows from its number."""


@dataclass(frozen=True)
class Scene:
    """One clip. `shift` in 0..1 places the scenery; `style` and `camera` are names of drawing/names.py."""

    colour: str
    shape: str
    motion: str
    background: str
    style: str = "normal"
    camera: str = "fixed"
    variation: Variation = Variation()
    shift: float = 0.0


@cache
def pool(held_out: bool) -> tuple[tuple[str, str, str], ...]:
    choices = combinations(held_out)
    return tuple(c for c in choices for _ in range(1 if held_out else 1 + MORE.get(c[2], 0)))


def random_scene(generator: np.random.Generator, held_out: bool = False) -> Scene:
    """A scene of the training set, or one of the combinations that are held out of it."""
    choices = pool(held_out)
    colour, shape, motion = choices[generator.integers(len(choices))]
    background = tuple(BACKGROUNDS)[generator.integers(len(BACKGROUNDS))]
    across, along, size, tilt = generator.uniform(-1, 1, 4)
    variation = Variation(across, along, size, tilt, generator.random())
    return Scene(colour, shape, motion, background, variation=variation, shift=generator.random())


def scene_at(
    seed: int, index: int, style: str = "normal", camera: str = "fixed", held_out: bool = False
) -> tuple[Scene, np.random.Generator]:
    """Scene number `index` of a data set, and the generator to draw its caption with."""
    generator = np.random.default_rng((seed, index))
    scene = replace(random_scene(generator, held_out), style=style, camera=camera)
    if camera != "fixed":
        scene = replace(scene, shift=ANCHOR * (scene.shift - 0.5) % 1)
    return scene, generator

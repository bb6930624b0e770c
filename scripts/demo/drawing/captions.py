"""Captions: a small grammar with varied wording."""

import numpy as np

from .names import BACKGROUNDS, MOTIONS, SHAPES
from .scene import Scene

PATTERNS: tuple[str, ...] = (
    "{article} {colour} {shape} {motion} {place}",
    "{article} {colour} {shape} {motion}, {place}",
    "{place}, {article} {colour} {shape} {motion}",
    "{article} {colour} {shape} {place}, {motion}",
    "{article} {colour} {shape} that is {motion} {place}",
    "{motion}: {article} {colour} {shape} {place}",
)


def article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def canonical_caption(scene: Scene) -> str:
    """The plainest wording, as the evaluation uses it."""
    return PATTERNS[0].format(
        article=article(scene.colour),
        colour=scene.colour,
        shape=scene.shape,
        motion=scene.motion,
        place=BACKGROUNDS[scene.background][0],
    )


def random_caption(scene: Scene, generator: np.random.Generator) -> str:
    """One of the wordings; half of them are the plain one."""

    def choose(words: tuple[str, ...]) -> str:
        return words[generator.integers(len(words))] if generator.random() < 0.5 else words[0]

    pattern = choose(PATTERNS)
    words = {
        "article": article(scene.colour),
        "colour": scene.colour,
        "shape": choose(SHAPES[scene.shape]),
        "motion": choose(MOTIONS[scene.motion]),
        "place": choose(BACKGROUNDS[scene.background]),
    }
    return pattern.format(**words)

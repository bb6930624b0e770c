"""The backgrounds, as colours of points of the world.

Every function takes x [..., 1, w] to the right and y [..., h, 1] downwards, in units of the picture's
height (the fixed camera sees 0..1), and a shift in 0..1 that makes each clip's scenery its own. It returns
sRGB [..., h, w, 3] in 0..1 as float32.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

Array = np.ndarray

STAR_CELLS = 4
"""Cells per picture height; every cell holds one star, most of them faint."""


def rgb(red: float, green: float, blue: float) -> Array:
    return np.array([red, green, blue], dtype=np.float32)


def mix(first: Array, second: Array, amount: Array) -> Array:
    """`first` where amount is 0, `second` where it is 1; amount has no colour axis."""
    return first + (second - first) * amount[..., None]


def step(distance: Array, softness: float) -> Array:
    """0 below zero, 1 above it, soft over that many picture heights."""
    return np.clip(distance * np.float32(1 / softness) + np.float32(0.5), 0, 1)


def plain(top: Array, bottom: Array) -> Callable[[Array, Array, float], Array]:
    def draw(x: Array, y: Array, shift: float) -> Array:
        return mix(top, bottom, np.clip(y + np.zeros_like(x), 0, 1))

    return draw


@cache
def star_table() -> Array:
    """[64, 64, 3]: x and y of the star in its cell, and its size in cells."""
    generator = np.random.default_rng(41)
    table = generator.random((64, 64, 3), dtype=np.float32)
    table[..., :2] = 0.2 + 0.6 * table[..., :2]
    table[..., 2] = 0.045 + 0.06 * table[..., 2] ** 2
    return table


def night_sky(x: Array, y: Array, shift: float) -> Array:
    sky = mix(rgb(0.02, 0.03, 0.13), rgb(0.10, 0.13, 0.34), np.clip(y + np.zeros_like(x), 0, 1))
    cells_x = (x + np.float32(shift)) * np.float32(STAR_CELLS) + 16
    cells_y = (y + np.float32(shift)) * np.float32(STAR_CELLS) + 16
    column, row = np.floor(cells_x), np.floor(cells_y)
    star = star_table()[row.astype(np.int32) % 64, column.astype(np.int32) % 64]
    away = np.sqrt((cells_x - column - star[..., 0]) ** 2 + (cells_y - row - star[..., 1]) ** 2)
    shine = np.clip((star[..., 2] - away) * np.float32(128 / STAR_CELLS / 1.5) + np.float32(0.5), 0, 1)
    return mix(sky, rgb(1.0, 0.98, 0.85), shine)


def landscape(sky: Array, ground: Array, dark: Array, height: float, waves: float, stripes: float):
    """Sky above, ground below a wavy horizon at `height`, with darker stripes on the ground."""

    def draw(x: Array, y: Array, shift: float) -> Array:
        turn = np.float32(2 * np.pi * shift)
        horizon = np.float32(height) + np.float32(waves) * np.sin(np.float32(5.0) * x + turn)
        depth = y - horizon
        ripple = np.sin(np.float32(2 * np.pi * stripes) * depth + np.float32(0.7) * np.sin(9 * x - turn))
        land = mix(ground, dark, np.clip(np.float32(2.0) * ripple - np.float32(0.9), 0, 1))
        return mix(sky, np.float32(1) * land, step(depth, 1.5 / 128))

    return draw


BACKGROUNDS: dict[str, Callable[[Array, Array, float], Array]] = {
    "black": plain(rgb(0.04, 0.04, 0.05), rgb(0.07, 0.07, 0.08)),
    "gray": plain(rgb(0.53, 0.53, 0.54), rgb(0.45, 0.45, 0.46)),
    "beige": plain(rgb(0.91, 0.84, 0.71), rgb(0.85, 0.77, 0.63)),
    "night sky": night_sky,
    "grass": landscape(rgb(0.72, 0.88, 0.98), rgb(0.56, 0.78, 0.36), rgb(0.47, 0.70, 0.30), 0.42, 0.03, 9.0),
    "sea": landscape(rgb(0.82, 0.92, 0.98), rgb(0.22, 0.50, 0.70), rgb(0.40, 0.66, 0.80), 0.38, 0.0, 7.0),
    "desert": landscape(rgb(0.98, 0.90, 0.78), rgb(0.87, 0.68, 0.42), rgb(0.80, 0.60, 0.35), 0.45, 0.06, 5.0),
    "snow": landscape(rgb(0.66, 0.76, 0.86), rgb(0.93, 0.95, 0.98), rgb(0.84, 0.89, 0.95), 0.46, 0.05, 4.0),
}

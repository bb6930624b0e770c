"""The backgrounds, as colours of points of the world.

Every function takes x [..., 1, w] to the right and y [..., h, 1] downwards, in units of the picture's
height (the fixed camera sees 0..1), and a shift in 0..1 that turns the panorama, so that each clip shows its
own part. It returns sRGB [..., h, w, 3] in 0..1 as float32.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

AROUND = 1.25
"""Width of the panorama that every scenery is, in picture heights; it repeats without a seam."""


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


def away_from(x: Array, place: float) -> Array:
    """Distance along x to the nearest repetition of a place of the panorama, signed."""
    return (x - np.float32(place) + np.float32(AROUND / 2)) % np.float32(AROUND) - np.float32(AROUND / 2)


def wave(x: Array, times: int, turn: float) -> Array:
    """Sine that goes round `times` in the panorama, `turn` in 0..1 ahead."""
    return np.sin(np.float32(2 * np.pi * times / AROUND) * x + np.float32(2 * np.pi * turn))


def spot(
    x: Array, y: Array, place: tuple[float, float], radii: tuple[float, float], softness: float
) -> Array:
    """1 inside an ellipse, 0 outside, soft at its edge over that share of its radii."""
    reach = np.sqrt((away_from(x, place[0]) / radii[0]) ** 2 + ((y - place[1]) / radii[1]) ** 2)
    return step(1 - reach, softness)


STARS = (
    (0.06, 0.22, 0.046),
    (0.22, 0.86, 0.038),
    (0.34, 0.40, 0.050),
    (0.50, 0.12, 0.038),
    (0.58, 0.64, 0.046),
    (0.74, 0.88, 0.050),
    (0.80, 0.26, 0.038),
    (0.97, 0.56, 0.046),
    (1.07, 0.14, 0.038),
    (1.14, 0.80, 0.046),
)
"""Place of each star in the panorama, and its radius."""
CLOUDS = (((0.25, 0.66), (0.34, 0.15)), ((0.86, 0.36), (0.30, 0.17)))
"""Places and radii of the night's clouds of light."""


def night_sky(x: Array, y: Array, shift: float) -> Array:
    x = x + np.float32(AROUND * shift)
    picture = mix(rgb(0.02, 0.03, 0.13), rgb(0.10, 0.13, 0.34), np.clip(y + np.zeros_like(x), 0, 1))
    for place, radii in CLOUDS:
        picture = mix(picture, rgb(0.12, 0.16, 0.38), spot(x, y, place, radii, 0.7))
    for column, row, radius in STARS:
        shine = spot(x, y, (column, row), (radius, radius), 1.5 / 128 / radius)
        picture = mix(picture, rgb(1.0, 0.95, 0.70), shine)
    return picture


@dataclass(frozen=True)
class Land:
    """Colours of a landscape, and where its ground ends: `height` without, `waves` with hills.

    `peaks`: place, height and half the width of each mountain (or island) behind the hills, which are `round`
    or pointed. `spots`: place and radii of darker ground.
    """

    sky: Array
    far: Array
    ground: Array
    dark: Array
    height: float
    waves: float
    peaks: tuple[tuple[float, float, float], ...]
    spots: tuple[tuple[float, float, float, float], ...]
    round: bool = False


def landscape(land: Land) -> Callable[[Array, Array, float], Array]:
    """Sky, mountains behind hills, ground with darker spots. All are several latents (8 pixels) wide, so that
    a moving camera changes what the model works on."""

    def draw(x: Array, y: Array, shift: float) -> Array:
        x = x + np.float32(AROUND * shift)
        hills = np.float32(land.height) + np.float32(land.waves) * (
            np.float32(0.65) * wave(x, 1, 0.1) + np.float32(0.35) * wave(x, 2, 0.6)
        )
        range_top = np.full_like(x, 1)
        for place, height, width in land.peaks:
            near = np.clip(1 - np.abs(away_from(x, place)) / np.float32(width), 0, 1)
            rise = np.sqrt(near * (2 - near)) if land.round else near
            range_top = np.minimum(range_top, np.float32(land.height + 0.06) - np.float32(height) * rise)
        ground = land.ground
        for column, row, wide, high in land.spots:
            ground = mix(ground, land.dark, spot(x, y, (column, row), (wide, high), 1.5 / 128 / high))
        picture = mix(land.sky, land.far, step(y - range_top, 1.5 / 128))
        return mix(picture, ground, step(y - hills, 1.5 / 128))

    return draw


BACKGROUNDS: dict[str, Callable[[Array, Array, float], Array]] = {
    "black": plain(rgb(0.04, 0.04, 0.05), rgb(0.07, 0.07, 0.08)),
    "gray": plain(rgb(0.53, 0.53, 0.54), rgb(0.45, 0.45, 0.46)),
    "beige": plain(rgb(0.91, 0.84, 0.71), rgb(0.85, 0.77, 0.63)),
    "night sky": night_sky,
    "grass": landscape(
        Land(
            sky=rgb(0.72, 0.88, 0.98),
            far=rgb(0.47, 0.70, 0.30),
            ground=rgb(0.56, 0.78, 0.36),
            dark=rgb(0.47, 0.70, 0.30),
            height=0.46,
            waves=0.07,
            peaks=((0.30, 0.27, 0.30), (0.90, 0.34, 0.27)),
            spots=((0.14, 0.86, 0.20, 0.08), (0.60, 0.70, 0.17, 0.065), (0.98, 0.90, 0.19, 0.07)),
            round=True,
        )
    ),
    "sea": landscape(
        Land(
            sky=rgb(0.82, 0.92, 0.98),
            far=rgb(0.56, 0.78, 0.36),
            ground=rgb(0.30, 0.58, 0.75),
            dark=rgb(0.48, 0.72, 0.84),
            height=0.42,
            waves=0.0,
            peaks=((0.25, 0.22, 0.20), (0.85, 0.28, 0.28)),
            spots=((0.12, 0.63, 0.19, 0.055), (0.52, 0.85, 0.22, 0.07), (0.96, 0.68, 0.20, 0.06)),
            round=True,
        )
    ),
    "desert": landscape(
        Land(
            sky=rgb(0.98, 0.90, 0.78),
            far=rgb(0.80, 0.60, 0.35),
            ground=rgb(0.87, 0.68, 0.42),
            dark=rgb(0.80, 0.60, 0.35),
            height=0.50,
            waves=0.09,
            peaks=((0.22, 0.36, 0.28), (0.84, 0.40, 0.26)),
            spots=((0.24, 0.88, 0.20, 0.07), (0.66, 0.73, 0.17, 0.06), (1.06, 0.86, 0.19, 0.07)),
        )
    ),
    "snow": landscape(
        Land(
            sky=rgb(0.66, 0.76, 0.86),
            far=rgb(0.54, 0.64, 0.75),
            ground=rgb(0.93, 0.95, 0.98),
            dark=rgb(0.76, 0.83, 0.92),
            height=0.48,
            waves=0.08,
            peaks=((0.12, 0.32, 0.26), (0.68, 0.40, 0.30)),
            spots=((0.30, 0.87, 0.20, 0.07), (0.76, 0.74, 0.18, 0.06), (1.14, 0.90, 0.19, 0.07)),
        )
    ),
}

DARK = frozenset({"black", "night sky"})
"""Backgrounds that crayon draws on dark paper."""

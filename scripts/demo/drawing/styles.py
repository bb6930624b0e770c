"""How shapes and backgrounds are painted.

A painter gets the object's colour [3], its distance field [n, h, w] in pixels (negative inside) and
coordinates that move with the object [n, h, w], and returns colour [n, h, w, 3] and opacity [n, h, w].
A backdrop gets a background [n, h, w, 3], coordinates on the paper in pixels, and whether the scenery is
dark; it returns the background as the style shows it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from .backgrounds import mix
from .palette import INK

Array = np.ndarray

PAPER = np.array([0.97, 0.95, 0.90], dtype=np.float32)
DARK_PAPER = np.array([0.36, 0.35, 0.38], dtype=np.float32)
TEXTURE = 256


@dataclass(frozen=True)
class Style:
    """`margin`: pixels around the shape that its painter may touch."""

    paint: Callable[[Array, Array, Array, Array], tuple[Array, Array]]
    backdrop: Callable[[Array, Array, Array, bool], Array]
    margin: int


@cache
def noise(smoothness: int) -> Array:
    """[256, 256] that repeats without a seam, mean 0 and deviation 1, smooth over that many pixels."""
    spectrum = np.fft.rfft2(np.random.default_rng(7 + smoothness).standard_normal((TEXTURE, TEXTURE)))
    fy, fx = np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE)[None]
    smooth = np.fft.irfft2(spectrum * np.exp(-2 * (np.pi * smoothness) ** 2 * (fx**2 + fy**2)))
    return ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)


def sample(texture: Array, x: Array, y: Array) -> Array:
    """Texture at positions in pixels, nearest neighbour, repeated."""
    return texture[y.astype(np.int32) % TEXTURE, x.astype(np.int32) % TEXTURE]


def cover(distance: Array) -> Array:
    """Share of each pixel inside the shape."""
    return np.clip(np.float32(0.5) - distance, 0, 1)


def paint_normal(colour: Array, distance: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Flat fill that is a little lighter at its top, with a dark outline."""
    light = np.clip(np.float32(0.06) - np.float32(0.005) * y, -0.1, 0.16)
    fill = np.clip(colour + light[..., None] * np.float32(0.8), 0, 1)
    return mix(fill, INK * colour, cover(-distance - np.float32(2.0))), cover(distance)


def paint_neon(colour: Array, distance: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """A bright tube along the edge with a halo around it, and a pane inside that it lights."""
    away = np.abs(distance)
    tube = np.clip(np.float32(2.4) - away, 0, 1)
    halo = np.float32(0.55) * np.exp(-away * np.float32(1 / 4.0))
    core = np.float32(0.45) * np.clip(np.float32(1.2) - away, 0, 1)
    bright = np.clip(np.float32(0.15) + colour, 0, 1)
    glow = mix(bright, np.ones(3, dtype=np.float32), core)
    fade = np.clip((9 - distance) * np.float32(0.25), 0, 1)
    pane = np.float32(0.5) * cover(distance)
    return glow, np.maximum(np.maximum(tube, halo * fade), pane)


def paint_crayon(colour: Array, distance: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Diagonal strokes inside a rough, thick edge."""
    grain = sample(noise(1), x + 128, y + 128)
    wobble = distance + np.float32(0.9) * sample(noise(4), x + 64, y + 200)
    strokes = np.sin((x + y) * np.float32(0.62) + np.float32(0.8) * sample(noise(4), x + 20, y + 90))
    density = np.clip(np.float32(0.72) + np.float32(0.25) * strokes + np.float32(0.10) * grain, 0.3, 1)
    edge = np.clip(np.float32(2.6) - np.abs(wobble + np.float32(1.6)), 0, 1)
    return mix(colour, np.float32(0.72) * colour, edge), cover(wobble) * np.maximum(density, edge)


def backdrop_normal(picture: Array, x: Array, y: Array, dark: bool) -> Array:
    return picture


def backdrop_neon(picture: Array, x: Array, y: Array, dark: bool) -> Array:
    """A dim, bluish echo of the scene."""
    return np.float32(0.13) * picture * np.array([0.9, 0.8, 1.2], dtype=np.float32)


def backdrop_crayon(picture: Array, x: Array, y: Array, dark: bool) -> Array:
    """Light strokes over paper, which is charcoal where the scenery is dark: on white paper black is gray."""
    strokes = np.sin((x - np.float32(0.6) * y) * np.float32(0.38) + np.float32(0.9) * sample(noise(4), x, y))
    density = np.float32(0.70) + np.float32(0.09) * strokes + np.float32(0.02) * sample(noise(1), x, y)
    return mix(DARK_PAPER if dark else PAPER, picture, density)


STYLES: dict[str, Style] = {
    "normal": Style(paint_normal, backdrop_normal, 2),
    "neon": Style(paint_neon, backdrop_neon, 11),
    "crayon": Style(paint_crayon, backdrop_crayon, 5),
}

"""sRGB values of the named colours, 0..1."""

import numpy as np

Array = np.ndarray

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.88, 0.10, 0.12),
    "orange": (0.98, 0.50, 0.05),
    "yellow": (0.99, 0.86, 0.10),
    "green": (0.06, 0.56, 0.18),
    "cyan": (0.10, 0.82, 0.86),
    "blue": (0.11, 0.24, 0.88),
    "purple": (0.50, 0.14, 0.68),
    "pink": (1.00, 0.48, 0.72),
    "white": (0.98, 0.98, 0.98),
}

INK = 0.30
"""Brightness of an outline relative to the fill."""


def colour(name: str) -> Array:
    """[3] float32."""
    return np.asarray(COLOURS[name], dtype=np.float32)

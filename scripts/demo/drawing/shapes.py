"""Signed distances of the shapes, negative inside.

Each function takes x to the right and y downwards in units of the shape's radius, and returns the distance
in the same units. Distances near the edge are exact or nearly so; that is what anti-aliasing and glow need.
The heart follows the construction from two arcs and a square in I. Quilez, "2D distance functions".
"""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def circle(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y) - np.float32(0.92)


def ring(x: Array, y: Array) -> Array:
    return np.abs(np.sqrt(x * x + y * y) - np.float32(0.72)) - np.float32(0.25)


def box(x: Array, y: Array, width: float, height: float) -> Array:
    """Rectangle of half sizes `width` and `height`."""
    dx = np.abs(x) - np.float32(width)
    dy = np.abs(y) - np.float32(height)
    outside = np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2)
    return outside + np.minimum(np.maximum(dx, dy), 0)


def square(x: Array, y: Array) -> Array:
    return box(x, y, 0.80, 0.80)


def cross(x: Array, y: Array) -> Array:
    return np.minimum(box(x, y, 0.98, 0.34), box(x, y, 0.34, 0.98))


def moon(x: Array, y: Array) -> Array:
    outer = np.sqrt((x - np.float32(0.15)) ** 2 + y * y) - np.float32(0.98)
    bite = np.float32(0.80) - np.sqrt((x - np.float32(0.62)) ** 2 + (y + np.float32(0.12)) ** 2)
    return np.maximum(outer, bite)


def pointed(x: Array, y: Array, points: int, inner: float) -> Array:
    """Star of that many points on the unit circle with its inner corners at radius `inner`, one tip up."""
    sector = np.float32(2 * np.pi / points)
    radius = np.sqrt(x * x + y * y)
    angle = np.arctan2(x, -y)
    angle = np.abs(angle - sector * np.round(angle / sector))
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    corner = np.array([inner * np.cos(np.pi / points), inner * np.sin(np.pi / points)])
    edge = corner - np.array([1.0, 0.0])
    normal = (np.array([edge[1], -edge[0]]) / np.hypot(*edge)).astype(np.float32)
    return (along - 1) * normal[0] + across * normal[1]


def triangle(x: Array, y: Array) -> Array:
    return pointed(x, (y - np.float32(0.22)) * np.float32(0.92), 3, 0.5)


def star(x: Array, y: Array) -> Array:
    return pointed(x, y, 5, 0.46)


HEART_SCALE = np.float32(0.62)


def heart(x: Array, y: Array) -> Array:
    x = np.abs(x) * HEART_SCALE
    y = np.float32(0.52) - y * HEART_SCALE
    lobes = np.sqrt((x - np.float32(0.25)) ** 2 + (y - np.float32(0.75)) ** 2) - np.float32(np.sqrt(2) / 4)
    foot = np.maximum(x + y, 0) * np.float32(0.5)
    body = np.sqrt(np.minimum(x * x + (y - 1) ** 2, (x - foot) ** 2 + (y - foot) ** 2)) * np.sign(x - y)
    return np.where(x + y > 1, lobes, body) / HEART_SCALE


SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "heart": heart,
    "moon": moon,
    "cross": cross,
    "ring": ring,
}

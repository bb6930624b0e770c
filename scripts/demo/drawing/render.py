"""Draws the frames of a scene."""

import numpy as np

from . import backgrounds, motions, palette, shapes, styles
from .camera import view
from .motions import FRAMES
from .scene import Scene

Array = np.ndarray

SIZE = 128
REACH = 1.25
"""No part of a shape is further from its centre than this many radii."""


def draw_backdrop(scene: Scene, time: Array) -> Array:
    """[frames or 1, 128, 128, 3] float32 in 0..1; one picture is enough where the camera stands."""
    if scene.camera == "fixed":
        time = time[:1]
    pixels = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    x, y = view(scene.camera, time).to_world(pixels)
    x, y = x[:, None, :].astype(np.float32), y[:, :, None].astype(np.float32)
    picture = backgrounds.BACKGROUNDS[scene.background](x, y, scene.shift)
    # Strokes lie on the paper, wherever the scenery is: a place that shows how they run in every frame.
    dark = scene.background in backgrounds.DARK
    return styles.STYLES[scene.style].backdrop(picture, (x + 1) * SIZE, (y + 1) * SIZE, dark)


def window(centres: Array, width: int) -> Array:
    """First pixel of a window of that width around each centre, kept inside the picture."""
    return np.clip(np.round(centres * SIZE - width / 2), 0, SIZE - width).astype(np.int32)


def draw_frames(scene: Scene, time: Array) -> Array:
    """Frames at the times [n] in 0..15: uint8 [n, 128, 128, 3], RGB."""
    time = np.asarray(time, dtype=np.float32)
    path = motions.MOTIONS[scene.motion](time, scene.variation)
    camera = view(scene.camera, time)
    style = styles.STYLES[scene.style]
    centre_x, centre_y = camera.to_picture(path.x, path.y)
    radius = path.radius * camera.zoom * SIZE
    width = min(SIZE, 2 * int(np.ceil(REACH * radius.max() + style.margin)) + 2)
    first_x, first_y = window(centre_x, width), window(centre_y, width)

    pixels = np.arange(width, dtype=np.float32) + np.float32(0.5)
    dx = (pixels + (first_x - centre_x * SIZE)[:, None])[:, None, :].astype(np.float32)
    dy = (pixels + (first_y - centre_y * SIZE)[:, None])[:, :, None].astype(np.float32)
    cos, sin = (f(path.angle)[:, None, None].astype(np.float32) for f in (np.cos, np.sin))
    squash = path.squash[:, None, None]
    local_x = (cos * dx + sin * dy) / squash
    local_y = (cos * dy - sin * dx) * squash
    size = radius[:, None, None].astype(np.float32)
    distance = shapes.SHAPES[scene.shape](local_x / size, local_y / size) * size

    colour, opacity = style.paint(palette.colour(scene.colour), distance, local_x, local_y)
    backdrop = draw_backdrop(scene, time) * np.float32(255) + np.float32(0.5)
    frames = np.empty((len(time), SIZE, SIZE, 3), dtype=np.uint8)
    frames[:] = backdrop
    for i, (left, top) in enumerate(zip(first_x, first_y)):
        area = np.s_[top : top + width, left : left + width]
        below = backdrop[i % len(backdrop)][area]
        above = colour[i] * np.float32(255) + np.float32(0.5)
        frames[i][area] = below + (above - below) * opacity[i][..., None]
    return frames


def draw_clip(scene: Scene) -> Array:
    """All 16 frames: uint8 [16, 128, 128, 3], RGB."""
    return draw_frames(scene, np.arange(FRAMES))

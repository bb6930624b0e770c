"""Camera moves: where the picture lies in the world, frame by frame."""

from dataclasses import dataclass

import numpy as np

from .motions import FRAMES

Array = np.ndarray

ZOOM = 1.4
"""Magnification at the end of a zoom-in."""
PAN = 0.3
"""Way of a pan in picture widths. Where the camera turns left, the scenery goes right."""


@dataclass(frozen=True)
class View:
    """Left edge of the picture and magnification about its centre, each [frames] float32."""

    left: Array
    zoom: Array

    def to_world(self, position: Array) -> tuple[Array, Array]:
        """Positions [n] in the picture, 0..1, to world x [frames, n] and y [frames, n]."""
        scaled = (position[None] - 0.5) / self.zoom[:, None] + 0.5
        return scaled + self.left[:, None], scaled

    def to_picture(self, x: Array, y: Array) -> tuple[Array, Array]:
        """World positions [frames] to positions in the picture."""
        return (x - self.left - 0.5) * self.zoom + 0.5, (y - 0.5) * self.zoom + 0.5


def view(camera: str, time: Array) -> View:
    """One of names.CAMERAS at the given frames [frames] in 0..15."""
    progress = np.asarray(time, dtype=np.float32) / np.float32(FRAMES - 1)
    zero = np.zeros_like(progress)
    # A pan is centred on the scene, so that a resting object stays in the picture.
    left = np.float32(PAN) * (np.float32(0.5) - progress) if camera == "pan-left" else zero
    zoom = 1 + np.float32(ZOOM - 1) * progress if camera == "zoom-in" else zero + 1
    return View(left, zoom.astype(np.float32))

"""Where the object of a clip is in every frame.

A moving object gets the room of a photographer's frame: it starts further from the side that it heads for,
and leans into its way, so that a single frame already says a little about the direction. The text encoder
and the UNet, which only ever see stills, thereby have a reason to tell the words for motions apart; without
one the motion module, which sees no text itself, could not know what to do.

What turns begins at the same place in every clip, but for a little: the frames of a clip could agree on a
place of their own only where noise hides nearly all of it, and did not (1 of 18 bounced, 2 of 21 went round).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

FRAMES = 16


@dataclass(frozen=True)
class Variation:
    """What differs between clips of the same motion; `across`, `along` and `size` are in -1..1."""

    across: float = 0.0
    along: float = 0.0
    size: float = 0.0
    tilt: float = 0.0
    start: float = 0.0


@dataclass(frozen=True)
class Path:
    """Pose per frame, each [frames] float32: centre and radius in picture heights, angle in radians
    clockwise, and how much wider than high the object is squashed (1 = not at all)."""

    x: Array
    y: Array
    radius: Array
    angle: Array
    squash: Array


def pose(time: Array, variation: Variation, x=0.5, y=0.5, radius=None, angle=0.0, squash=1.0) -> Path:
    """Fills what a motion does not set: size, tilt and squash of the clip."""
    if radius is None:
        radius = 0.20 + 0.02 * variation.size
    values = (x, y, radius, angle + np.deg2rad(8.0) * variation.tilt, squash)
    return Path(*(np.broadcast_to(np.float32(value), time.shape) for value in values))


def travel(time: Array, variation: Variation, origin: float, distance: float) -> Array:
    """Straight way over the clip that begins at `origin`."""
    return origin + 0.05 * variation.along + distance * time / (FRAMES - 1)


START, DISTANCE = 0.22, 0.44
"""Where a straight way begins, from the side behind the object, and how long it is."""
LEAN = np.deg2rad(10.0)
LATE = 0.06
"""Part of a turn that what turns may be ahead."""


def left(time: Array, v: Variation) -> Path:
    return pose(time, v, x=travel(time, v, 1 - START, -DISTANCE), y=0.5 + 0.12 * v.across, angle=-LEAN)


def right(time: Array, v: Variation) -> Path:
    return pose(time, v, x=travel(time, v, START, DISTANCE), y=0.5 + 0.12 * v.across, angle=LEAN)


def up(time: Array, v: Variation) -> Path:
    return pose(time, v, x=0.5 + 0.12 * v.across, y=travel(time, v, 1 - START, -DISTANCE))


def down(time: Array, v: Variation) -> Path:
    return pose(time, v, x=0.5 + 0.12 * v.across, y=travel(time, v, START, DISTANCE))


def bouncing(time: Array, v: Variation) -> Path:
    """Two bounces per clip from the ground up; the object is squashed where it meets it."""
    height = np.abs(np.sin(2 * np.pi * (time / FRAMES + LATE * v.start)))
    squash = 1 + 0.22 * np.clip(1 - height / 0.35, 0, 1)
    return pose(time, v, x=0.5 + 0.12 * v.across, y=0.72 - 0.38 * height, squash=squash)


def spinning(time: Array, v: Variation) -> Path:
    """One turn per clip, clockwise."""
    angle = 2 * np.pi * (time / FRAMES + LATE * v.start)
    x, y = 0.5 + 0.08 * v.across, 0.5 + 0.08 * v.along
    return pose(time, v, x=x, y=y, radius=0.22 + 0.02 * v.size, angle=angle)


def growing(time: Array, v: Variation) -> Path:
    radius = 0.13 + 0.16 * time / (FRAMES - 1) + 0.01 * v.size
    return pose(time, v, x=0.5 + 0.10 * v.across, y=0.5 + 0.10 * v.along, radius=radius)


def shrinking(time: Array, v: Variation) -> Path:
    radius = 0.31 - 0.16 * time / (FRAMES - 1) + 0.01 * v.size
    return pose(time, v, x=0.5 + 0.10 * v.across, y=0.5 + 0.10 * v.along, radius=radius)


def circling(time: Array, v: Variation) -> Path:
    """One round per clip, clockwise from the top."""
    angle = 2 * np.pi * (time / FRAMES + LATE * v.start - 0.25)
    distance = 0.24 + 0.02 * v.along
    x, y = 0.5 + distance * np.cos(angle), 0.5 + distance * np.sin(angle)
    return pose(time, v, x=x, y=y, radius=0.17 + 0.015 * v.size)


def still(time: Array, v: Variation) -> Path:
    return pose(time, v, x=0.5 + 0.12 * v.across, y=0.5 + 0.12 * v.along)


MOTIONS: dict[str, Callable[[Array, Variation], Path]] = {
    "moving left": left,
    "moving right": right,
    "moving up": up,
    "moving down": down,
    "bouncing": bouncing,
    "spinning": spinning,
    "growing": growing,
    "shrinking": shrinking,
    "circling": circling,
    "standing still": still,
}

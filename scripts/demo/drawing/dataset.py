"""Data sets of scenes, drawn in chunks by several processes."""

import multiprocessing
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .captions import random_caption
from .motions import FRAMES
from .names import STYLES
from .render import draw_clip, draw_frames
from .scene import scene_at

WORDINGS = 4
"""Captions per scene; training draws one of them each time."""
CHUNK = 64


@dataclass(frozen=True)
class Source:
    """A data set. `frames` 1: one random frame of each scene; 16: whole clips. Style `all`: in turn."""

    seed: int
    scenes: int
    frames: int = 1
    style: str = "normal"
    camera: str = "fixed"

    @property
    def name(self) -> str:
        return f"{self.style}-{self.camera}-{self.scenes}x{self.frames}-{self.seed}"


def draw(source: Source, index: int) -> tuple[np.ndarray, list[str]]:
    """Frames uint8 [frames, 128, 128, 3] of one scene and its captions."""
    style = STYLES[index % len(STYLES)] if source.style == "all" else source.style
    scene, generator = scene_at(source.seed, index, style, source.camera)
    captions = [random_caption(scene, generator) for _ in range(WORDINGS)]
    if source.frames == FRAMES:
        return draw_clip(scene), captions
    return draw_frames(scene, generator.integers(FRAMES, size=1)), captions


def draw_chunk(source: Source, first: int) -> tuple[np.ndarray, list[str]]:
    """Up to 64 scenes from number `first`: frames [scenes, frames, 128, 128, 3] and all their captions."""
    drawn = [draw(source, i) for i in range(first, min(first + CHUNK, source.scenes))]
    return np.stack([frames for frames, _ in drawn]), [text for _, texts in drawn for text in texts]


def draw_into(folder: Path, source: Source, first: int) -> tuple[Path, list[str]]:
    """The same, with the frames in a file: through pipes one reader is slower than many who draw."""
    frames, captions = draw_chunk(source, first)
    path = folder / f"{first}.npy"
    np.save(path, frames)
    return path, captions


def taken(start: int, drawn: Future) -> tuple[int, np.ndarray, list[str]]:
    """What a worker has drawn, out of its file."""
    path, captions = drawn.result()
    frames = np.load(path)
    path.unlink()
    return start, frames, captions


def draw_all(source: Source, workers: int) -> Iterator[tuple[int, np.ndarray, list[str]]]:
    """(first scene, frames, captions) of all chunks, in order; they do not depend on the workers."""
    starts = range(0, source.scenes, CHUNK)
    if workers <= 1:
        for start in starts:
            yield start, *draw_chunk(source, start)
        return
    # Not forked: the parent runs threads and may hold a GPU.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    with tempfile.TemporaryDirectory() as folder, pool:
        drawn = deque()
        for start in starts:
            drawn.append((start, pool.submit(draw_into, Path(folder), source, start)))
            # Drawing shall not run far ahead of encoding and fill the memory.
            if len(drawn) == 3 * workers:
                yield taken(*drawn.popleft())
        while drawn:
            yield taken(*drawn.popleft())

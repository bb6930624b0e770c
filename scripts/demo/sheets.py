"""Sample sheets: pictures side by side in one PNG."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .files import write_whole


def to_bytes(pictures: Tensor) -> np.ndarray:
    """[n, 3, h, w] in -1..1 to uint8 [n, h, w, 3]."""
    scaled = (pictures.float() * 127.5 + 128).clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()


def write_sheet(path: Path, pictures: np.ndarray, columns: int) -> None:
    """Pictures uint8 [n, h, w, 3], row by row; what is left of the last row stays black."""
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    grid = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
    grid[:count] = pictures
    grid = grid.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = Image.fromarray(grid.reshape(rows * height, columns * width, channels))
    write_whole(path, lambda beside: sheet.save(beside, format="PNG"))

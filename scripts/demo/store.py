"""Training data on disk: drawn pictures, or their latents with captions as token ids."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .drawing.dataset import CHUNK, WORDINGS, Source, draw_all
from .drawing.render import SIZE
from .files import write_whole
from .model import Vae
from .together import rank, wait
from .tokens import LENGTH, token_ids
from .training import multiplies_bfloat16


@dataclass(frozen=True)
class LatentStore:
    """latents [scenes, frames, 4, h, w] float16 and ids [scenes, wordings, 77] int32, on the device."""

    latents: Tensor
    ids: Tensor

    @staticmethod
    def together(stores: "Sequence[LatentStore]") -> "LatentStore":
        """The scenes of all of them."""
        return LatentStore(torch.cat([s.latents for s in stores]), torch.cat([s.ids for s in stores]))

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latents [count, 4, frames, h, w] float32 and token ids [count, 77] of random scenes."""
        device = self.latents.device
        place = torch.randint(0, len(self.latents), (count,), generator=generator, device=device)
        wording = torch.randint(0, WORDINGS, (count,), generator=generator, device=device)
        return self.latents[place].transpose(1, 2).float(), self.ids[place, wording].long()


def pictures(source: Source, folder: Path, workers: int) -> np.ndarray:
    """Drawn pictures, uint8 [scenes, 128, 128, 3], memory-mapped; drawn now if the folder has them not."""
    path = folder / f"pictures-{source.name}.npy"

    def write(beside: Path) -> None:
        shape = (source.scenes, SIZE, SIZE, 3)
        array = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
        for start, frames, _ in draw_all(source, workers):
            array[start : start + len(frames)] = frames[:, 0]
        array.flush()

    if not path.exists() and not rank():
        write_whole(path, write)
    wait()
    return np.load(path, mmap_mode="r")


def fingerprint(vae: Vae) -> str:
    """Tells one VAE's latents from another's."""
    digest = hashlib.sha256()
    for tensor in vae.state_dict().values():
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def to_unit(frames: np.ndarray, device: torch.device) -> Tensor:
    """uint8 [n, h, w, 3] to float32 [n, 3, h, w] in -1..1, channels last in memory."""
    return torch.from_numpy(np.array(frames)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def encode(vae: Vae, frames: np.ndarray, device: torch.device) -> np.ndarray:
    """Frames [scenes, frames, h, w, 3] to latents [scenes, frames, 4, h / 8, w / 8] float16."""
    flat = frames.reshape(-1, *frames.shape[2:])
    # What stays in a core's cache is encoded nearly twice as fast: four pictures of 1 MB per layer.
    count = 4 if device.type == "cpu" else CHUNK
    with torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device)):
        parts = [vae.latents(to_unit(flat[i : i + count], device)) for i in range(0, len(flat), count)]
    latents = torch.cat(parts).half().cpu().numpy()
    return latents.reshape(*frames.shape[:2], *latents.shape[1:])


def latent_store(source: Source, vae: Vae, folder: Path, device: torch.device, workers: int) -> LatentStore:
    """Draws and encodes the data set, or takes it from the folder when the same VAE has encoded it."""
    path = folder / f"latents-{source.name}-{fingerprint(vae)}.npz"

    def write(beside: Path) -> None:
        latents, ids = [], []
        for _, frames, captions in draw_all(source, workers):
            latents.append(encode(vae, frames, device))
            ids.append(token_ids(captions).view(-1, WORDINGS, LENGTH).int().numpy())
        with beside.open("wb") as file:
            np.savez(file, latents=np.concatenate(latents), ids=np.concatenate(ids))

    if not path.exists() and not rank():
        write_whole(path, write)
    wait()
    with np.load(path) as arrays:
        return LatentStore(*(torch.from_numpy(arrays[key]).to(device) for key in ("latents", "ids")))

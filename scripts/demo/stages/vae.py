"""First stage: the autoencoder, on pictures of all styles.

It begins on random crops, which hold the same colours and edges as whole pictures at a quarter of the cost,
and ends on whole pictures, since its norms and its attention take statistics over all they see.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import Stage
from ..drawing.dataset import Source
from ..model import Vae
from ..sheets import to_bytes, write_sheet
from ..store import pictures, to_unit
from ..training import Run, log, train
from ..weights import load_weights, save_weights, weights_path

VAE_START = "vae-start"
"""Stage folder with an earlier autoencoder whose decoder alone is trained on: latents stay what they were."""
CROPS = ((0.9, 64), (1.0, 128))
"""Up to which share of the steps, crops of how many pixels; a stage's batch counts crops of 64."""
SQUARE_WEIGHT = 2.0
EDGE_WEIGHT = 0.5
KL_WEIGHT = 1e-4
TOLERANCE = 0.05
"""Noise that the decoder learns to bear, as a share of the latents' deviation: no UNet is exact."""


def differences(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def vae_loss(vae: Vae, x: Tensor, generator: torch.Generator) -> Tensor:
    """Squared and absolute error of colours, absolute error of their differences between neighbours (edges
    stay sharp), and a weak pull of the latents towards a normal distribution (arXiv 1312.6114).

    x [n, 3, h, w] in -1..1.
    """
    mean, log_variance = vae.encoder(x).float().chunk(2, dim=1)
    log_variance = log_variance.clamp(-20, 10)
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    spread = (log_variance.exp() + (TOLERANCE * mean.detach().std()) ** 2).sqrt()
    seen = vae.decoder(mean + spread * noise).float()
    edges = sum(F.l1_loss(a, b) for a, b in zip(differences(seen), differences(x)))
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    colours = F.l1_loss(seen, x) + SQUARE_WEIGHT * F.mse_loss(seen, x)
    return colours + EDGE_WEIGHT * edges + KL_WEIGHT * divergence


@torch.no_grad()
def normalise_latents(vae: Vae, x: Tensor) -> None:
    """Makes every latent channel of pictures x zero on average with deviation 1 after `scaling_factor`.

    Only the two 1x1 convolutions around the latents change; decoded pictures stay the same.
    """
    means = vae.encoder(x).chunk(2, dim=1)[0]
    centre, spread = means.mean((0, 2, 3)), means.std((0, 2, 3))
    factor = 1 / (spread * vae.scaling_factor)
    channels = len(centre)
    into, out = vae.encoder.quant_conv, vae.decoder.post_quant_conv
    into.weight[:channels] *= factor[:, None, None, None]
    into.bias[:channels] = (into.bias[:channels] - centre) * factor
    into.bias[channels:] += 2 * factor.log()
    out.bias += out.weight[:, :, 0, 0] @ centre
    out.weight /= factor[None, :, None, None]


@torch.no_grad()
def quality(vae: Vae, x: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of decoded means."""
    seen = vae.pictures(vae.latents(x)).clamp(-1, 1)
    return float(10 * torch.log10(4 / F.mse_loss(seen, x)))


def crop_side(stage: Stage, step: int) -> int:
    """Side in pixels of what a step looks at."""
    return next(side for share, side in CROPS if step < share * stage.steps)


def crop(frames: np.ndarray, side: int, generator: torch.Generator) -> np.ndarray:
    """A random square of each frame. [n, h, w, 3] to [n, side, side, 3]."""
    places = torch.randint(0, frames.shape[1] - side + 1, (len(frames), 2), generator=generator).numpy()
    return np.stack([frame[y : y + side, x : x + side] for frame, (y, x) in zip(frames, places)])


def train_vae(run: Run) -> None:
    stage, seed = run.recipe.vae, run.recipe.seed
    drawn = pictures(Source(seed, stage.scenes, style="all"), run.data, run.workers)
    unseen = pictures(Source(seed + 1, min(96, stage.scenes), style="all"), run.data, run.workers)
    held = to_unit(unseen, run.device)
    torch.manual_seed(seed)
    vae = Vae(run.recipe.family)
    start = weights_path(run.folder, VAE_START)
    if start.exists():
        load_weights(start, vae)
        vae.encoder.requires_grad_(False)
    vae.to(run.device, memory_format=torch.channels_last)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        host = torch.Generator().manual_seed(seed + step)
        side = crop_side(stage, step)
        count = max(1, stage.batch * 64**2 // side**2)
        places = torch.randint(0, len(drawn), (count,), generator=host).sort()[0].numpy()
        frames = crop(drawn[places], side, host)
        return vae_loss(vae, to_unit(frames, run.device), generator)

    def sheet(path: Path) -> None:
        with torch.no_grad():
            seen = vae.pictures(vae.latents(held[:24]))
        log(run, "vae", {"sheet": path.name, "psnr": round(quality(vae, held), 2)})
        rows = [torch.cat([held[i : i + 8], seen[i : i + 8]]) for i in range(0, 24, 8)]
        write_sheet(path, to_bytes(torch.cat(rows)), 8)

    if train(run, "vae", stage, vae, loss, sheet):
        if not start.exists():
            normalise_latents(vae, held)
        save_weights(run.folder, "vae", vae)


def trained_vae(run: Run) -> Vae:
    """The result of this stage, frozen."""
    vae = Vae(run.recipe.family)
    load_weights(weights_path(run.folder, "vae"), vae)
    return vae.to(run.device, memory_format=torch.channels_last).eval().requires_grad_(False)

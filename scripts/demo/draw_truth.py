"""Draws clips whose contents are known, to prove the judge of the evaluation on (scripts/eval-demo).

python scripts/demo/draw_truth.py FOLDER [--clips 300] [--style neon] [--camera zoom-in] [--vae build/demo]
    writes `frames.rgb` (uint8 [clips, 16, 128, 128, 3]) and `truth.json`, which check-judge.ts reads;
    with --vae as the trained autoencoder gives them back, which is the best that the demo model can do.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.config import RECIPES  # noqa: E402
from demo.drawing.names import CAMERAS, STYLES  # noqa: E402
from demo.drawing.render import draw_clip  # noqa: E402
from demo.drawing.scene import Scene, scene_at  # noqa: E402
from demo.model import Vae  # noqa: E402
from demo.sheets import to_bytes  # noqa: E402
from demo.store import to_unit  # noqa: E402
from demo.weights import load_weights, weights_path  # noqa: E402

SEED = 990
NAMES = ("colour", "shape", "motion", "background", "style", "camera")


def truth(scene: Scene) -> dict[str, str]:
    return {name: getattr(scene, name) for name in NAMES}


@torch.no_grad()
def round_trip(vae: Vae, frames: np.ndarray) -> np.ndarray:
    """The frames as they come out of the autoencoder, uint8 [n, 128, 128, 3]."""
    with torch.autocast("cpu", torch.bfloat16):
        return to_bytes(vae.pictures(vae.latents(to_unit(frames, torch.device("cpu")))))


def write_clips(folder: Path, count: int, style: str, camera: str, trained: Path | None) -> None:
    vae = None
    if trained is not None:
        vae = Vae(RECIPES["cpu"].family).eval()
        load_weights(weights_path(trained, "vae"), vae)
    folder.mkdir(parents=True, exist_ok=True)
    scenes = [scene_at(SEED, i, style, camera)[0] for i in range(count)]
    with (folder / "frames.rgb").open("wb") as file:
        for scene in scenes:
            frames = draw_clip(scene)
            file.write((frames if vae is None else round_trip(vae, frames)).tobytes())
    (folder / "truth.json").write_text(json.dumps([truth(scene) for scene in scenes]), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--style", choices=STYLES, default="normal")
    parser.add_argument("--camera", choices=CAMERAS, default="fixed")
    parser.add_argument("--vae", type=Path)
    arguments = parser.parse_args()
    write_clips(arguments.folder, arguments.clips, arguments.style, arguments.camera, arguments.vae)

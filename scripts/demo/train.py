"""Trains the demo model. README.md beside this file has the recipe and what was measured.

Usage: python scripts/demo/train.py [STAGE ...] [--recipe cpu|gpu|test] [--out FOLDER] [--export FOLDER] …
Without stages all are run in their order. A stage that was stopped goes on from its last checkpoint; one
that is finished is not run again.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.config import RECIPES, shortened  # noqa: E402
from demo.export import export  # noqa: E402
from demo.stages.lora import train_lora  # noqa: E402
from demo.stages.motion import CAMERA_STARTS, train_motion, train_motion_lora  # noqa: E402
from demo.stages.still import train_personalised, train_still  # noqa: E402
from demo.stages.vae import train_vae  # noqa: E402
from demo.stages.views import train_views  # noqa: E402
from demo.stages.words import train_polish, train_words  # noqa: E402
from demo.together import run_together, wait  # noqa: E402
from demo.training import Run  # noqa: E402
from demo.weights import weights_path  # noqa: E402

STAGES = {
    "vae": train_vae,
    "still": train_still,
    "words": train_words,
    "polish": train_polish,
    "views": train_views,
    "motion": train_motion,
    "personalised": train_personalised,
    "lora": train_lora,
    "zoom-in": train_motion_lora("zoom-in"),
    "pan-left": train_motion_lora("pan-left"),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Trains the demo model.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; default: all")
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="cpu")
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="checkpoints, logs, sheets")
    parser.add_argument("--export", type=Path, help="write the finished model's files into this folder")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for torch and for drawing")
    parser.add_argument("--processes", type=int, default=1, help="that train together, each on its own batch")
    parser.add_argument("--cameras", help="of motion in turn, such as fixed,zoom-in,pan-left")
    parser.add_argument("--limit", type=int, default=0, help="stop every stage after that many steps")
    parser.add_argument("--share", type=float, default=1.0, help="of every stage's steps that are taken")
    parser.add_argument("--seconds", type=float, default=0, help="train every stage for that long instead")
    parser.add_argument("--no-graphs", action="store_true", help="no CUDA graphs")
    options = parser.parse_args()
    if options.processes > 1 and options.device != "cpu":
        parser.error("--processes is for --device cpu.")
    if not options.share > 0:
        parser.error(f"--share is a number above 0, not {options.share}.")
    if options.cameras is not None:
        options.cameras = tuple(options.cameras.split(","))
        if strange := set(options.cameras) - {"fixed", *CAMERA_STARTS}:
            choices = ", ".join(["fixed", *CAMERA_STARTS])
            parser.error(f"no camera is called {min(strange)!r}; choose from {choices}.")
    unknown = [stage for stage in options.stages if stage not in STAGES]
    if unknown:
        parser.error(f"no stage is called {unknown[0]!r}; choose from {', '.join(STAGES)}")
    return options


def train_stages(options: argparse.Namespace) -> None:
    """In each of the processes that train together."""
    torch.set_num_threads(max(1, options.threads // options.processes))
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    recipe = shortened(RECIPES[options.recipe], options.share)
    run = Run(
        recipe if options.cameras is None else replace(recipe, cameras=options.cameras),
        options.out,
        torch.device(options.device),
        options.threads,
        options.limit,
        options.seconds,
        not options.no_graphs,
    )
    for stage in options.stages or STAGES:
        finished = weights_path(run.folder, stage).exists()
        wait()
        if not finished:
            print(f"stage {stage}", file=sys.stderr)
            STAGES[stage](run)
        wait()


def main() -> None:
    options = arguments()
    run_together(options.processes, train_stages, options)
    if options.export is not None:
        for name, size in export(options.out, options.export).items():
            print(f"{name}\t{size}")


if __name__ == "__main__":
    main()

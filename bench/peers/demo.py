"""The demo model's clip by diffusers, from the same files to a GIF.

Usage: python bench/peers/demo.py JOB.json, which `bench/demo.ts` writes.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts" / name) for name in ("reference", "full-check")]

import diffusers  # noqa: E402
import torch  # noqa: E402
from diffusers import DPMSolverMultistepScheduler  # noqa: E402
from diffusers.utils import export_to_gif  # noqa: E402
from diffusers_pipeline import load_pipeline, write_configs  # noqa: E402


def use_scheduler(pipeline, name: str) -> None:
    """The scheduler of configs/demo.yaml in place of the DDIM that the pipeline was loaded with."""
    if name == "dpm++_2m":
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
            pipeline.scheduler.config, algorithm_type="dpmsolver++", solver_order=2
        )
    elif name != "ddim":
        raise ValueError(f"Expected ddim or dpm++_2m as scheduler of the demo model, got {name}.")


def main() -> None:
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    with tempfile.TemporaryDirectory() as folder:
        write_configs(Path(folder), job["family"])
        pipeline = load_pipeline(job, Path(folder))
    use_scheduler(pipeline, job["scheduler"])
    output = pipeline(
        prompt=job["prompt"],
        num_frames=job["frames"],
        width=job["size"],
        height=job["size"],
        num_inference_steps=job["steps"],
        guidance_scale=job["guidanceScale"],
        generator=torch.Generator().manual_seed(int(job["seed"])),
    )
    export_to_gif(output.frames[0], job["gif"], fps=job["fps"])


if __name__ == "__main__":
    main()

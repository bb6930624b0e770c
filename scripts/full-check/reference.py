"""One turn of diffusers. Usage: python scripts/full-check/reference.py JOB.json

`job.ts` says what a job and an answer are.
"""

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from diffusers_pipeline import load_pipeline, write_configs  # noqa: E402
from meter import measure, peak_bytes, wait_for_quiet  # noqa: E402
from seeded_weights import seeded_tensor  # noqa: E402

BATCH = 2
TEXT_SHAPE = (BATCH, 77, 768)
TIMESTEP = 481


def save(job: dict[str, Any], name: str, value: torch.Tensor | np.ndarray) -> None:
    array = value.float().numpy() if isinstance(value, torch.Tensor) else value
    (Path(job["out"]) / f"{name}.f32").write_bytes(np.ascontiguousarray(array, "<f4").tobytes())


def unit_variance(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(seeded_tensor(name, (int(np.prod(shape)),))).view(shape)


def call_unet(pipeline: Any, job: dict[str, Any]) -> list[dict[str, float]]:
    """Timed calls of the UNet alone, as the pipeline calls it: with the text once per frame."""
    side, frames, dtype = job["size"] // 8, job["frames"], pipeline.unet.dtype
    latents = unit_variance("latents.weight", (BATCH, 4, frames, side, side)).to(dtype)
    text = unit_variance("text.weight", TEXT_SHAPE).to(dtype).repeat_interleave(frames, 0)
    samples = []
    for _ in range(job["calls"]):
        wait_for_quiet(job["patience"])
        output, sample = measure(lambda: pipeline.unet(latents, TIMESTEP, text).sample)
        samples.append(sample)
        save(job, "unet", output)
    return samples


def noise(job: dict[str, Any]) -> torch.Tensor:
    """What diffusers draws in float32. In bfloat16 it would draw other numbers."""
    side = job["size"] // 8
    generator = torch.Generator().manual_seed(int(job["seed"]))
    return torch.randn((1, 4, job["frames"], side, side), generator=generator)


def make_clip(pipeline: Any, job: dict[str, Any]) -> dict[str, Any]:
    marks: list[float] = []
    states: list[torch.Tensor] = []

    def after_step(_pipeline: Any, _step: int, _timestep: int, state: dict[str, Any]) -> dict[str, Any]:
        marks.append(time.perf_counter())
        states.append(state["latents"])
        return state

    decoded: list[float] = []
    decode = pipeline.decode_latents

    def timed_decode(*positional: Any, **named: Any) -> torch.Tensor:
        start = time.perf_counter()
        pictures = decode(*positional, **named)
        decoded.append(time.perf_counter() - start)
        return pictures

    pipeline.decode_latents = timed_decode
    latents = noise(job).to(pipeline.unet.dtype)
    wait_for_quiet(job["patience"])
    output, sample = measure(
        lambda: pipeline(
            prompt=job["prompt"],
            negative_prompt=job["negativePrompt"],
            num_frames=job["frames"],
            width=job["size"],
            height=job["size"],
            num_inference_steps=job["steps"],
            guidance_scale=job["guidanceScale"],
            latents=latents,
            output_type="np",
            callback_on_step_end=after_step,
        )
    )
    save(job, "latents", states[-1])
    save(job, "pictures", output.frames)
    return {"clip": sample, "laterSteps": np.diff(marks).tolist(), "decode": decoded[0]}


def token_ids(pipeline: Any, job: dict[str, Any]) -> list[int]:
    texts = [job["prompt"], job["negativePrompt"]]
    ids = pipeline.tokenizer(texts, padding="max_length", max_length=77, truncation=True).input_ids
    return [token for row in ids for token in row]


def turn(job: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(job["threads"])
    with tempfile.TemporaryDirectory() as folder:
        write_configs(Path(folder))
        before = peak_bytes()
        wait_for_quiet(job["patience"])
        pipeline, load = measure(lambda: load_pipeline(job, Path(folder)))
    loaded = peak_bytes()
    networks = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    unet = call_unet(pipeline, job)
    clip = make_clip(pipeline, job)
    return {
        "versions": {
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "python": sys.version.split()[0],
        },
        "threads": torch.get_num_threads(),
        "tokens": token_ids(pipeline, job),
        "weights": sum(tensor.nbytes for network in networks for tensor in network.parameters()),
        "memory": {"before": before, "loaded": loaded, "end": peak_bytes()},
        "load": load,
        "unet": unet,
        **clip,
    }


def main() -> None:
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
    job = json.loads(Path(sys.argv[1]).read_text())
    answer = turn(job)
    (Path(job["out"]) / "turn.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main()

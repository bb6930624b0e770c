"""One process of diffusers. Usage: python bench/peers/turn.py JOB.json

`bench/job.ts` says what a job and an answer are. A fresh turn makes one clip after loading, nothing before.
"""

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts" / name) for name in ("reference", "full-check")]

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from compiled import compile_networks  # noqa: E402
from diffusers_pipeline import load_pipeline, write_configs  # noqa: E402
from meter import measure, peak_bytes, wait_for_quiet  # noqa: E402

TIMESTEP = 481
UNGUIDED_STEPS = 4
Job = dict[str, Any]
Values = dict[str, list[dict[str, float]]]


def save(job: Job, name: str, value: torch.Tensor | np.ndarray) -> None:
    array = value.float().cpu().numpy() if isinstance(value, torch.Tensor) else value
    (Path(job["out"]) / f"{name}.f32").write_bytes(np.ascontiguousarray(array, "<f4").tobytes())


def read(job: Job, name: str) -> torch.Tensor:
    return torch.from_numpy(np.fromfile(Path(job["inputs"]) / f"{name}.f32", "<f4"))


def synchronize(job: Job) -> None:
    if job["device"] == "cuda":
        torch.cuda.synchronize()


def timed(job: Job, work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Waits for a quiet machine, then measures; the device has finished before the clock stops."""

    def whole() -> Any:
        value = work()
        synchronize(job)
        return value

    wait_for_quiet(job["patience"])
    value, sample = measure(whole)
    return value, {"value": sample["seconds"], "foreign": sample["foreign"]}


def call_unet(pipeline: Any, job: Job, values: Values) -> None:
    """Calls of the UNet alone, as the pipeline calls it: with the text once per frame."""
    unet, frames = pipeline.unet, job["frames"]
    flat = read(job, "latents")
    channels = pipeline.vae.config.latent_channels
    side = round((flat.numel() / (2 * channels * frames)) ** 0.5)
    place = {"device": job["device"], "dtype": pipeline.text_encoder.dtype}
    latents = flat.view(2, channels, frames, side, side).to(**place)
    width = pipeline.text_encoder.config.hidden_size
    text = read(job, "text").view(2, -1, width).to(**place).repeat_interleave(frames, 0)
    # A tensor, as from a scheduler: a number would be compiled a second time.
    timestep = torch.tensor(TIMESTEP, device=job["device"])
    values["unet"] = []
    for call in range(job["calls"] + 1):
        output, sample = timed(job, lambda: unet(latents, timestep, text).sample)
        if call > 0:
            values["unet"].append(sample)
        if job["keep"]:
            save(job, "unet", output)


def noise(job: Job) -> torch.Tensor:
    """What diffusers draws in float32, a clip at a time. In bfloat16 it would draw other numbers."""
    side = job["size"] // job["latentScale"]
    shape = (1, 4, job["frames"], side, side)
    seeds = range(int(job["seed"]), int(job["seed"]) + job["batch"])
    return torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def make_clip(pipeline: Any, job: Job, **changes: Any) -> dict[str, Any]:
    """A clip or a batch of them, and the moments (seconds since 1970) at which each step was done."""
    marks: list[float] = []
    begun: list[float] = []
    states: list[torch.Tensor] = []
    hook = pipeline.unet.register_forward_pre_hook(lambda *_: begun.append(time.time()))

    def after_step(_pipeline: Any, _step: int, _timestep: int, state: dict[str, Any]) -> dict[str, Any]:
        synchronize(job)
        marks.append(time.time())
        states[:] = [state["latents"]]
        return state

    latents = noise(job).to(job["device"], pipeline.text_encoder.dtype)
    options = {
        "num_inference_steps": job["steps"],
        "guidance_scale": job["guidanceScale"],
        **changes,
    }
    output, sample = timed(
        job,
        lambda: pipeline(
            prompt=[job["prompt"]] * job["batch"],
            negative_prompt=[job["negativePrompt"]] * job["batch"],
            num_frames=job["frames"],
            width=job["size"],
            height=job["size"],
            latents=latents,
            output_type="np",
            callback_on_step_end=after_step,
            **options,
        ),
    )
    hook.remove()
    return {
        "begun": begun[0],
        "ended": time.time(),
        "marks": marks,
        "sample": sample,
        "latents": states[-1],
        "pictures": output.frames,
    }


def later_steps(made: dict[str, Any]) -> list[dict[str, float]]:
    foreign = made["sample"]["foreign"]
    return [{"value": step, "foreign": foreign} for step in np.diff(made["marks"]).tolist()]


def clip(pipeline: Any, job: Job, values: Values) -> dict[str, float]:
    """Returns when the first step began and was done."""
    if not job["fresh"]:
        make_clip(pipeline, job, num_inference_steps=1)
    made = make_clip(pipeline, job)
    values["step"] = later_steps(made)
    values["decode"] = [{"value": made["ended"] - made["marks"][-1], "foreign": made["sample"]["foreign"]}]
    values["clip"] = [made["sample"]]
    # All frames come at once.
    values["firstFrame"] = [made["sample"]]
    if job["keep"]:
        save(job, "latents", made["latents"])
        save(job, "pictures", made["pictures"])
    return {"begun": made["begun"], "done": made["marks"][0]}


def unguided(pipeline: Any, job: Job, values: Values) -> None:
    made = make_clip(pipeline, job, guidance_scale=1.0, num_inference_steps=UNGUIDED_STEPS)
    values["unguidedStep"] = later_steps(made)


def change_lora(pipeline: Any, file: str, first: bool) -> None:
    """Merged into the weights, so that sampling costs what it costs without."""
    if not first:
        pipeline.unfuse_lora(components=["unet"])
        pipeline.unload_lora_weights()
    pipeline.load_lora_weights(file)
    pipeline.fuse_lora(components=["unet"])


def lora(pipeline: Any, job: Job, values: Values) -> None:
    """Compiled networks keep their frozen weights: there is no change without compiling again."""
    if job["mode"] == "compile":
        return
    values["lora"] = []
    for call in range(job["calls"] + 1):
        file = job["loras"][call % 2]
        _, sample = timed(job, lambda: change_lora(pipeline, file, call == 0))
        if call > 0:
            values["lora"].append(sample)


TASKS = {"unet": call_unet, "clip": clip, "unguided": unguided, "lora": lora}


def turn(job: Job) -> dict[str, Any]:
    torch.set_num_threads(job["threads"])
    values: Values = {}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_configs(Path(folder), job["family"])
        pipeline = load_pipeline(job, Path(folder)).to(job["device"])
    values["load"] = [{"value": time.perf_counter() - start}]
    networks = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    weights = sum(tensor.nbytes for network in networks for tensor in network.parameters())
    if job["mode"] == "compile":
        compile_networks(pipeline, job["device"])
    first_step = None
    for task in job["tasks"]:
        mark = TASKS[task](pipeline, job, values)
        first_step = first_step or mark
    values["hostPeak"] = [{"value": peak_bytes()}]
    answer = {
        "versions": {
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "python": sys.version.split()[0],
        },
        "threads": torch.get_num_threads(),
        "dtype": job["dtype"],
        "weights": weights,
        "firstStep": first_step,
        "values": values,
    }
    if job["device"] == "cuda":
        values["devicePeak"] = [{"value": torch.cuda.max_memory_reserved()}]
        answer["versions"]["cuda"] = torch.version.cuda
        answer["accelerator"] = torch.cuda.get_device_name()
    used = os.times()
    return {**answer, "cpu": used.user + used.system}


def main() -> None:
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
    job = json.loads(Path(sys.argv[1]).read_text())
    (Path(job["out"]) / "answer.json").write_text(json.dumps(turn(job)))


if __name__ == "__main__":
    main()

"""The loop that all stages share: optimiser, averaged weights, checkpoints, log, sample sheets.

Everything random in a step follows from (seed, stage, step), so that a run that was stopped and resumed
gives the same weights as one that was not.
"""

import contextlib
import json
import math
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .attention import attention_for_training
from .config import Recipe, Stage
from .files import write_whole
from .muon import Muon


@dataclass(frozen=True)
class Run:
    """One training run: what is trained, in which folder, on which device.

    `limit` stops every stage after that many steps without changing its schedule; 0: no limit.
    """

    recipe: Recipe
    folder: Path
    device: torch.device
    workers: int = 1
    limit: int = 0

    @property
    def data(self) -> Path:
        return self.folder / "data"


class Average:
    """Exponential average of the trained parameters, with less memory of the first steps."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.values = {name: p.detach().clone() for name, p in self.trained.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        keep = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), list(self.trained.values()), 1 - keep)

    @contextlib.contextmanager
    def applied(self):
        """The averages stand in the module for as long as the block runs."""
        before = {name: p.detach().clone() for name, p in self.trained.items()}
        self.copy_in(self.values)
        try:
            yield
        finally:
            self.copy_in(before)

    @torch.no_grad()
    def copy_in(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.trained.items():
            parameter.copy_(values[name])


def rate(stage: Stage, step: int) -> float:
    """Share of the learning rate: linear warm-up, then half a cosine down to a fiftieth."""
    if step < stage.warmup:
        return (step + 1) / stage.warmup
    progress = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


ENDS = ("conv_in.", "conv_out.", "quant_conv.", "embedding.")
"""Parts of names of weights that are no maps between features: inputs, outputs, tables."""


class Optimizer:
    """Muon for the matrices inside a network, AdamW for all else."""

    def __init__(self, stage: Stage, trained: dict[str, Tensor]) -> None:
        # A list: the order of a set differs between processes, and a checkpoint would not fit.
        inside = [
            name
            for name, p in trained.items()
            if stage.matrix_rate and p.ndim > 1 and not any(end in name for end in ENDS)
        ]
        rest = [p for name, p in trained.items() if name not in inside]
        self.parts: list[tuple[torch.optim.Optimizer, float]] = []
        if rest:
            adam = torch.optim.AdamW(
                rest, stage.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3, foreach=True
            )
            self.parts.append((adam, stage.learning_rate))
        if inside:
            muon = Muon((trained[name] for name in inside), stage.matrix_rate)
            self.parts.append((muon, stage.matrix_rate))

    def step(self, share: float) -> None:
        """One step at `share` of the learning rates."""
        for part, full in self.parts:
            for group in part.param_groups:
                group["lr"] = full * share
            part.step()

    def state_dict(self) -> list[dict]:
        return [part.state_dict() for part, _ in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for (part, _), state in zip(self.parts, states):
            part.load_state_dict(state)


def step_generator(run: Run, name: str, step: int) -> torch.Generator:
    """The random numbers of one step."""
    seed = zlib.crc32(f"{run.recipe.seed}/{name}/{step}".encode())
    return torch.Generator(run.device).manual_seed(seed)


def log(run: Run, name: str, record: dict[str, float | int | str]) -> None:
    """Appends one line to the stage's log.jsonl."""
    path = run.folder / name / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


class Pace:
    """Collects losses and writes one line of the log now and then."""

    def __init__(self, run: Run, name: str, first: int) -> None:
        self.run, self.name = run, name
        self.restart(first)

    def restart(self, step: int) -> None:
        self.began, self.since, self.total = time.perf_counter(), step, 0.0

    def write(self, done: int) -> None:
        steps = done - self.since
        seconds = time.perf_counter() - self.began
        record = {"loss": round(float(self.total) / steps, 6), "steps_per_second": round(steps / seconds, 3)}
        log(self.run, self.name, {"step": done} | record)
        self.restart(done)


def save(checkpoint: Path, step: int, average: Average, optimizer: Optimizer) -> None:
    state = {
        "step": step,
        "parameters": average.trained,
        "average": average.values,
        "optimizer": optimizer.state_dict(),
    }
    write_whole(checkpoint, lambda path: torch.save(state, path))


def restore(checkpoint: Path, average: Average, optimizer: Optimizer, device: torch.device) -> int:
    """Takes up a checkpoint if there is one; returns the number of steps done."""
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, map_location=device)
    average.copy_in(state["parameters"])
    for key, value in average.values.items():
        value.copy_(state["average"][key])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def train(
    run: Run,
    name: str,
    stage: Stage,
    module: nn.Module,
    loss: Callable[[int, torch.Generator], Tensor],
    sheet: Callable[[Path], None],
) -> bool:
    """Trains the parameters of `module` that want gradients; leaves their averages in it.

    `loss` gets the step and its random numbers; `sheet` draws samples into a PNG with averaged weights.
    Checkpoints and sheets go to the folder of the stage. True when all steps of the stage are done.
    """
    folder = run.folder / name
    average = Average(module, stage.ema)
    trained = list(average.trained.values())
    optimizer = Optimizer(stage, average.trained)
    first = restore(folder / "checkpoint.pt", average, optimizer, run.device)
    last = min(stage.steps, run.limit) if run.limit else stage.steps
    pace = Pace(run, name, first)
    for step in range(first, last):
        autocast = torch.autocast(run.device.type, torch.bfloat16, enabled=stage.bf16)
        with autocast, attention_for_training(run.device, stage.bf16):
            value = loss(step, step_generator(run, name, step))
        module.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step(rate(stage, step))
        average.update(step)
        pace.total += value.detach()
        done = step + 1
        if done % stage.log_every == 0 or done == last:
            pace.write(done)
        if done % stage.save_every == 0 or done == last:
            save(folder / "checkpoint.pt", done, average, optimizer)
        if done % stage.sheet_every == 0 or done == last:
            with average.applied():
                sheet(folder / f"sheet-{done:06d}.png")
    average.copy_in(average.values)
    return last == stage.steps

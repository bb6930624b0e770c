"""The loop that all stages share: optimiser, averaged weights, checkpoints, log, sample sheets.

Everything random in a step follows from (seed, stage, step), so that a run that was stopped and resumed
gives the same weights as one that was not.
"""

import contextlib
import json
import math
import sys
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
from .replay import Objective, replay
from .together import agree, rank, share


@dataclass(frozen=True)
class Run:
    """One training run: what is trained, in which folder, on which device.

    `limit` stops every stage after that many steps without changing its schedule; 0: no limit. With `seconds`
    a stage takes that long, however many steps that are, and its schedule follows the clock. `graphs`: on a
    GPU, steps are replayed as CUDA graphs where that works.
    """

    recipe: Recipe
    folder: Path
    device: torch.device
    workers: int = 1
    limit: int = 0
    seconds: float = 0.0
    graphs: bool = True

    @property
    def data(self) -> Path:
        return self.folder / "data"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; without them a processor is faster in float32."""
    return device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()


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


def rate(stage: Stage, step: int, passed: float | None = None) -> float:
    """Share of the learning rate: linear warm-up, then half a cosine down to a fiftieth.

    `passed`: share of the time that has passed, where the clock counts and not the steps.
    """
    warm = min(1.0, (step + 1) / stage.warmup)
    if passed is None and step < stage.warmup:
        return warm
    progress = (step - stage.warmup) / max(1, stage.steps - stage.warmup) if passed is None else passed
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


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
    """The random numbers of one step, other ones in every process."""
    key = f"{run.recipe.seed}/{name}/{step}" + (f"/{rank()}" if rank() else "")
    seed = zlib.crc32(key.encode())
    return torch.Generator(run.device).manual_seed(seed)


def log(run: Run, name: str, record: dict[str, float | int | str]) -> None:
    """Appends one line to the stage's log.jsonl."""
    if rank():
        return
    path = run.folder / name / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


class Clock:
    """Time that a stage has trained, in this process and before; None where only steps count.

    It stands still during a step, and processes that train together have one time.
    """

    def __init__(self, seconds: float, spent: float) -> None:
        self.seconds, self.spent, self.began = seconds, spent, time.perf_counter() - spent

    @property
    def now(self) -> float:
        return time.perf_counter() - self.began

    @property
    def passed(self) -> float | None:
        return self.spent / self.seconds if self.seconds else None

    @property
    def over(self) -> bool:
        return bool(self.seconds) and self.spent >= self.seconds


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
        loss = float(self.total) / steps
        if not math.isfinite(loss):
            raise SystemExit(f"{self.name}: the loss is {loss} at step {done}.")
        record = {"loss": round(loss, 6), "steps_per_second": round(steps / seconds, 3)}
        log(self.run, self.name, {"step": done} | record)
        self.restart(done)


def save(checkpoint: Path, step: int, spent: float, average: Average, optimizer: Optimizer) -> None:
    state = {
        "step": step,
        "seconds": spent,
        "parameters": average.trained,
        "average": average.values,
        "optimizer": optimizer.state_dict(),
    }
    write_whole(checkpoint, lambda path: torch.save(state, path))


def restore(
    checkpoint: Path, average: Average, optimizer: Optimizer, device: torch.device
) -> tuple[int, float]:
    """Takes up a checkpoint if there is one; returns the number of steps done and the seconds they took."""
    if not checkpoint.exists():
        return 0, 0.0
    state = torch.load(checkpoint, map_location=device)
    average.copy_in(state["parameters"])
    for key, value in average.values.items():
        value.copy_(state["average"][key])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state.get("seconds", 0.0)


def gradients(
    run: Run, name: str, stage: Stage, module: nn.Module, loss: Callable[[int, torch.Generator], Tensor]
) -> Callable[[int], Tensor]:
    """What does a step but for the change of weights: leaves gradients in `module`, returns the loss."""
    bf16 = stage.bf16 and multiplies_bfloat16(run.device)

    def backward(value_of: Callable[[], Tensor]) -> Tensor:
        with torch.autocast(run.device.type, torch.bfloat16, bf16), attention_for_training(run.device, bf16):
            value = value_of()
        module.zero_grad(set_to_none=True)
        value.backward()
        return value.detach()

    def usual(step: int) -> Tensor:
        return backward(lambda: loss(step, step_generator(run, name, step)))

    if not (run.graphs and run.device.type == "cuda" and isinstance(loss, Objective)):
        return usual
    trained = [p for p in module.parameters() if p.requires_grad]
    inputs = loss.draw(0, step_generator(run, name, 0))
    graph = replay(lambda *inputs: backward(lambda: loss.value(*inputs)), inputs, trained)
    if isinstance(graph, str):
        log(run, name, {"no_graph": graph[:300]})
        return usual
    return lambda step: graph(loss.draw(step, step_generator(run, name, step)))


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
    Checkpoints and sheets go to the folder of the stage. True when all steps of the stage are done, or its
    time is over; in the first process alone, where several train together, as that one writes the result.
    """
    folder = run.folder / name
    share([p for p in module.parameters() if p.requires_grad])
    average = Average(module, stage.ema)
    trained = list(average.trained.values())
    optimizer = Optimizer(stage, average.trained)
    first, spent = restore(folder / "checkpoint.pt", average, optimizer, run.device)
    last = run.limit or sys.maxsize
    if not run.seconds:
        last = min(stage.steps, last)
    clock, pace = Clock(run.seconds, spent), Pace(run, name, first)
    gradient = gradients(run, name, stage, module, loss)
    done, ended = first, first >= last or clock.over
    while not ended:
        value, clock.spent = agree(trained, gradient(done), clock.now)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step(rate(stage, done, clock.passed))
        average.update(done)
        pace.total += value
        done += 1
        ended = done >= last or clock.over
        if done % stage.log_every == 0 or ended:
            pace.write(done)
        if rank():
            continue
        if done % stage.save_every == 0 or ended:
            save(folder / "checkpoint.pt", done, clock.spent, average, optimizer)
        # A sheet takes seconds, which a stage with few of them does better without.
        if ended or (done % stage.sheet_every == 0 and not run.seconds):
            with average.applied():
                sheet(folder / f"sheet-{done:06d}.png")
    average.copy_in(average.values)
    return not rank() and (clock.over if run.seconds else done == stage.steps)

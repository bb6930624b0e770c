"""A training step's forward and backward pass as one CUDA graph.

The networks are so small that a GPU runs their thousands of kernels as fast as these can be started.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WARM_UP = 3
TOLERANCE = 0.05
"""By how much loss and length of the gradient of a replay may differ from those of a usual step."""


@dataclass(frozen=True)
class Objective:
    """A loss in two parts: what a step draws at random, and what is always computed from it the same way."""

    draw: Callable[[int, torch.Generator], tuple[Tensor, ...]]
    value: Callable[..., Tensor]

    def __call__(self, step: int, generator: torch.Generator) -> Tensor:
        return self.value(*self.draw(step, generator))


def length(parameters: Sequence[Tensor]) -> float:
    """Of the gradient."""
    return float(torch.stack([p.grad.float().norm() for p in parameters if p.grad is not None]).norm())


def near(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * abs(other)


class Replay:
    """Calls `backward`, which leaves gradients in the parameters and returns the loss, as a graph."""

    def __init__(
        self, backward: Callable[..., Tensor], inputs: Sequence[Tensor], parameters: Sequence[Tensor]
    ) -> None:
        self.inputs = [x.clone() for x in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                loss = float(backward(*self.inputs))
            size = length(parameters)
        torch.cuda.current_stream().wait_stream(stream)
        # The graph then gets gradients of its own, which every replay overwrites.
        for p in parameters:
            p.grad = None
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = backward(*self.inputs)
        found = float(self(inputs)), length(parameters)
        if not (near(found[0], loss) and near(found[1], size)):
            raise RuntimeError(f"a replay gave {found}, a usual step {(loss, size)}")

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        self.graph.replay()
        return self.loss


def replay(
    backward: Callable[..., Tensor], inputs: Sequence[Tensor], parameters: Sequence[Tensor]
) -> Replay | str:
    """The graph, or why there is none: whatever the reason, training can go on without."""
    try:
        return Replay(backward, inputs, parameters)
    except Exception as error:
        for p in parameters:
            p.grad = None
        return f"{type(error).__name__}: {error}"

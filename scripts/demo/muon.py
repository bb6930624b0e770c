"""Muon: momentum whose matrices are made orthogonal before each step (K. Jordan, "Muon", 2024).

For these small networks it replaces most of the steps that Adam would need; README.md has the figures.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""The quintic iteration that the method's author tuned; it drives all singular values to about 1."""
ITERATIONS = 5


def orthogonal(x: Tensor) -> Tensor:
    """The nearest matrices with singular values of about 1. [n, rows, columns] to the same shape."""
    first, third, fifth = COEFFICIENTS
    tall = x.size(1) > x.size(2)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = first * x + (third * square + fifth * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """For weights of linear layers and convolutions; a convolution counts as outputs x everything else.

    `lr` is the length of a step as a share of an orthogonal matrix. Matrices of one shape go together.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients = [p.grad for p in weights]
            means = [self.mean_of(p) for p in weights]
            torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
            ahead = torch._foreach_lerp(gradients, means, group["momentum"])
            shapes: dict[tuple[int, int], list[int]] = {}
            for i, p in enumerate(weights):
                shapes.setdefault((p.size(0), p.numel() // p.size(0)), []).append(i)
            for (rows, columns), places in shapes.items():
                stack = torch.stack([ahead[i].reshape(rows, columns) for i in places])
                length = group["lr"] * max(1.0, rows / columns) ** 0.5
                changes = [u.view(weights[i].shape) for i, u in zip(places, orthogonal(stack))]
                torch._foreach_add_([weights[i] for i in places], changes, alpha=-length)

    def mean_of(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(p, memory_format=torch.contiguous_format)
        return state["mean"]

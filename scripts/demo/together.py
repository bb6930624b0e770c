"""Processes that train one network: each has its own batch, and all go on from the mean of their gradients.

On a CPU two processes of one thread each do in a second what takes one of two threads a third longer, because
threads wait for each other after every one of thousands of small operations (README.md).
"""

import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import Tensor

PATIENCE = timedelta(hours=3)
"""The others wait that long, for instance while the first one draws."""


def rank() -> int:
    """Number of this process; the first one alone writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def wait() -> None:
    """Until all processes are here."""
    if dist.is_initialized():
        dist.barrier()


def share(parameters: Sequence[Tensor]) -> None:
    """Gives all processes the first one's values, which may have begun at random."""
    if dist.is_initialized():
        for p in parameters:
            dist.broadcast(p.data, 0)


def agree(parameters: Sequence[Tensor], *numbers: float | Tensor) -> Sequence[float | Tensor]:
    """Puts the mean of all processes into the parameters' gradients; returns the means of the numbers."""
    if not dist.is_initialized():
        return numbers
    # One process may have used parameters that another has not.
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    gradients = [p.grad for p in parameters]
    told = torch.tensor([float(number) for number in numbers])
    flat = torch.cat([*(g.flatten() for g in gradients), told]) / dist.get_world_size()
    dist.all_reduce(flat)
    *means, told = flat.split([*(g.numel() for g in gradients), len(numbers)])
    for gradient, mean in zip(gradients, means):
        gradient.copy_(mean.view_as(gradient))
    return told.tolist()


def member(number: int, count: int, meeting: str, work: Callable[..., None], arguments: tuple) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=number, world_size=count, timeout=PATIENCE
    )
    work(*arguments)
    dist.barrier()
    dist.destroy_process_group()


def run_together(count: int, work: Callable[..., None], *arguments: object) -> None:
    """Calls `work` in that many processes at once; one process is this one."""
    if count == 1:
        work(*arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        processes.spawn(member, (count, f"{folder}/meeting", work, arguments), nprocs=count)

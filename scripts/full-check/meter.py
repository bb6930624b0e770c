"""Time and memory of this process, and the CPU that others took meanwhile; the same as `meter.ts`."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

QUIET = 0.05


def _machine_seconds() -> float:
    """CPU seconds that the whole machine was busy or stolen from since it started."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measure(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Result of `work`, and its sample (`Sample` of `meter.ts`)."""
    machine, own, wall = _machine_seconds(), os.times(), time.perf_counter()
    value = work()
    seconds = time.perf_counter() - wall
    used = os.times()
    system = used.system - own.system
    cpu = used.user - own.user + system
    others = max(0.0, _machine_seconds() - machine - cpu)
    foreign = min(1.0, others / (seconds * os.cpu_count()))
    return value, {"seconds": seconds, "cpu": cpu, "system": system, "foreign": foreign}


def wait_for_quiet(patience: float) -> None:
    """Waits until others leave the CPU for a second, at most `patience` seconds."""
    end = time.perf_counter() + patience
    while time.perf_counter() < end:
        _, sample = measure(lambda: time.sleep(1))
        if sample["foreign"] < QUIET:
            return


def peak_bytes() -> int:
    """High-water mark of this process's resident memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

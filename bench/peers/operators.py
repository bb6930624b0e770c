"""What PyTorch's own operators take at the shapes of 16 frames of 512x512 with guidance: the floor of a plan.

Usage: python bench/peers/operators.py [--device cuda] [--scale 1]

`--scale 8` divides the pixels, to try the script without a GPU. Prints one line of JSON for each measurement.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

IMAGES = 32


def timed(device: str, name: str, work: Callable[[], Any], tera: float = 0, giga: float = 0) -> None:
    try:
        for _ in range(3):
            work()
        if device == "cpu":
            begun = time.perf_counter()
            work()
            ms = (time.perf_counter() - begun) * 1e3
        else:
            calls = 10
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            for _ in range(calls):
                work()
            end.record()
            torch.cuda.synchronize()
            ms = start.elapsed_time(end) / calls
    except Exception as error:  # an operator that a build lacks is a result too
        print(json.dumps({"name": name, "error": str(error)[:160]}), flush=True)
        return
    line = {"name": name, "ms": round(ms, 4)}
    if tera:
        line["tflops"] = round(tera / ms * 1e3, 1)
    if giga:
        line["gbs"] = round(giga / ms * 1e3, 1)
    print(json.dumps(line), flush=True)


def attention(device: str, dtype: torch.dtype, scale: int) -> None:
    for pixels, width in ((4096, 40), (1024, 80), (256, 160), (64, 160)):
        tokens = pixels // scale
        qkv = torch.randn(IMAGES, tokens, 3, 8, width, device=device, dtype=dtype)
        q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
        tera = 4 * IMAGES * 8 * tokens * tokens * width / 1e12
        for backend in (
            SDPBackend.CUDNN_ATTENTION,
            SDPBackend.FLASH_ATTENTION,
            SDPBackend.EFFICIENT_ATTENTION,
        ):

            def work(
                b: SDPBackend = backend, q: torch.Tensor = q, k: torch.Tensor = k, v: torch.Tensor = v
            ) -> Any:
                with sdpa_kernel(b):
                    return F.scaled_dot_product_attention(q, k, v)

            timed(device, f"self {tokens}x{width} {backend.name}", work, tera)
        text = torch.randn(2, 77, 2, 8, width, device=device, dtype=dtype)
        wide = qkv[:, :, 0].reshape(2, -1, 8, width).transpose(1, 2)
        keys, values = (text[:, :, i].transpose(1, 2) for i in range(2))
        tera = 4 * 2 * 8 * wide.size(2) * 77 * width / 1e12
        for backend in (
            SDPBackend.CUDNN_ATTENTION,
            SDPBackend.FLASH_ATTENTION,
            SDPBackend.EFFICIENT_ATTENTION,
        ):

            def cross(
                b: SDPBackend = backend,
                q: torch.Tensor = wide,
                k: torch.Tensor = keys,
                v: torch.Tensor = values,
            ) -> Any:
                with sdpa_kernel(b):
                    return F.scaled_dot_product_attention(q, k, v)

            timed(device, f"cross {wide.size(2)}x77x{width} {backend.name}", cross, tera)


def products(device: str, dtype: torch.dtype, scale: int) -> None:
    for pixels, width in ((4096, 320), (1024, 640), (256, 1280), (64, 1280)):
        rows = IMAGES * pixels // scale
        x = torch.randn(rows, width, device=device, dtype=dtype)
        residual = torch.randn_like(x)
        for inner in (width, 3 * width, 8 * width):
            weight = torch.randn(inner, width, device=device, dtype=dtype)
            bias = torch.randn(inner, device=device, dtype=dtype)
            tera = 2 * rows * width * inner / 1e12
            timed(device, f"linear {rows}x{width}x{inner}", lambda w=weight, x=x: F.linear(x, w), tera)
            timed(
                device,
                f"linear+bias {rows}x{width}x{inner}",
                lambda w=weight, x=x, b=bias: F.linear(x, w, b),
                tera,
            )
            if inner == width:
                timed(
                    device,
                    f"linear+residual {rows}x{width}x{inner}",
                    lambda w=weight, x=x, r=residual: torch.addmm(r, x, w.t()),
                    tera,
                )
        wide = torch.randn(rows, 4 * width, device=device, dtype=dtype)
        back = torch.randn(width, 4 * width, device=device, dtype=dtype)
        tera = 2 * rows * 4 * width * width / 1e12
        timed(device, f"linear {rows}x{4 * width}x{width}", lambda w=back, x=wide: F.linear(x, w), tera)
        timed(
            device,
            f"linear+residual {rows}x{4 * width}x{width}",
            lambda w=back, x=wide, r=residual: torch.addmm(r, x, w.t()),
            tera,
        )


def convolutions(device: str, dtype: torch.dtype, scale: int) -> None:
    unet = (
        (320, 320, 64), (640, 320, 64), (960, 320, 64), (320, 640, 32), (640, 640, 32), (960, 640, 32),
        (1280, 640, 32), (1920, 640, 32), (640, 1280, 16), (1280, 1280, 16), (1920, 1280, 16),
        (2560, 1280, 16), (1280, 1280, 8), (2560, 1280, 8), (640, 640, 64), (1280, 1280, 32),
    )  # fmt: skip
    vae = (
        (512, 512, 64), (512, 512, 128), (512, 512, 256), (512, 256, 256), (256, 256, 256),
        (256, 256, 512), (256, 128, 512), (128, 128, 512),
    )  # fmt: skip
    for images, shapes in ((IMAGES, unet), (4, vae)):
        for inputs, outputs, side in shapes:
            edge = max(4, int(side / scale**0.5))
            x = torch.randn(images, inputs, edge, edge, device=device, dtype=dtype)
            weight = torch.randn(outputs, inputs, 3, 3, device=device, dtype=dtype)
            tera = 2 * images * edge * edge * inputs * outputs * 9 / 1e12
            for benchmark in (False, True):
                torch.backends.cudnn.benchmark = benchmark
                y, w = (t.to(memory_format=torch.channels_last) for t in (x, weight))
                name = f"conv {images}x{inputs}x{outputs}x{edge} NHWC{' benchmark' if benchmark else ''}"
                timed(device, name, lambda y=y, w=w: F.conv2d(y, w, padding=1), tera)
            timed(device, f"conv {images}x{inputs}x{outputs}x{edge} NCHW benchmark",
                  lambda x=x, w=weight: F.conv2d(x, w, padding=1), tera)  # fmt: skip


def memory(device: str, scale: int) -> None:
    size = 2**31 // scale
    source = torch.randint(255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timed(device, "copy on the device", lambda: target.copy_(source), giga=2 * size / 1e9)
    square = 8192 // scale
    a, b = (torch.randn(square, square, device=device, dtype=torch.bfloat16) for _ in range(2))
    timed(device, f"product {square}", lambda: a @ b, 2 * square**3 / 1e12)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=int, default=1)
    flags = parser.parse_args()
    dtype = torch.float16 if flags.device == "cuda" else torch.float32
    with torch.inference_mode():
        memory(flags.device, flags.scale)
        for part in (attention, products, convolutions):
            part(flags.device, dtype, flags.scale)


main()

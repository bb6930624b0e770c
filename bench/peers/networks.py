"""Times diffusers' networks alone, with random weights: the peer of native/bench/network_bench.cc.

Usage: python bench/peers/networks.py [--device cuda] [--size 512] [--frames 16] [--rows 2] [--calls 5]
           [--modes eager,channels-last,compile,max-autotune] [--only unet,vae]

Prints one line of JSON for each measurement.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel

TOKENS = 77


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    for name, value in {"size": 512, "frames": 16, "rows": 2, "calls": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--modes", default="eager")
    parser.add_argument("--only", default="unet,vae")
    return parser.parse_args()


def timed(name: str, device: str, calls: int, work: Callable[[], Any]) -> None:
    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    begun = time.perf_counter()
    work()
    wait()
    first = time.perf_counter() - begun
    work()
    wait()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    whole, queued = [], []
    for _ in range(calls):
        begun = time.perf_counter()
        work()
        queued.append(time.perf_counter() - begun)
        wait()
        whole.append(time.perf_counter() - begun)
    whole.sort()
    queued.sort()
    line = {
        "name": name,
        "ms": round(whole[calls // 2] * 1e3, 3),
        "min": round(whole[0] * 1e3, 3),
        "queue": round(queued[calls // 2] * 1e3, 3),
        "first": round(first, 2),
    }
    if device == "cuda":
        line["peakGB"] = round(torch.cuda.max_memory_allocated() / 1e9, 3)
    print(json.dumps(line), flush=True)


def unet_of(place: dict[str, Any]) -> UNetMotionModel:
    with torch.device(place["device"]):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        motion = UNetMotionModel.from_unet2d(unet, MotionAdapter(use_motion_mid_block=True))
    return motion.to(place["dtype"]).eval()


def vae_of(place: dict[str, Any]) -> AutoencoderKL:
    with torch.device(place["device"]):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
    return vae.to(place["dtype"]).eval()


def prepared(network: torch.nn.Module, mode: str) -> torch.nn.Module:
    if mode == "eager":
        return network
    network = network.to(memory_format=torch.channels_last)
    if mode == "channels-last":
        return network
    kind = "max-autotune" if mode == "max-autotune" else "default"
    return torch.compile(network, mode=kind, fullgraph=False)


@torch.inference_mode()
def main() -> None:
    flags = options()
    place = {"device": flags.device, "dtype": torch.float16 if flags.device == "cuda" else torch.float32}
    side = flags.size // 8
    of = f"{flags.rows}x{flags.frames}x{flags.size}"
    for mode in flags.modes.split(","):
        if "unet" in flags.only:
            unet = prepared(unet_of(place), mode)
            latents = torch.randn(flags.rows, 4, flags.frames, side, side, **place)
            text = torch.randn(flags.rows, TOKENS, 768, **place).repeat_interleave(flags.frames, 0)
            time_step = torch.tensor(481, device=flags.device)
            timed(
                f"diffusers {mode} unet {of}",
                flags.device,
                flags.calls,
                lambda u=unet, x=latents, c=text, t=time_step: u(x, t, c).sample,
            )
            del unet
        if "vae" in flags.only:
            vae = prepared(vae_of(place), mode)
            frames = torch.randn(flags.frames, 4, side, side, **place)
            timed(
                f"diffusers {mode} vae {flags.frames}x{flags.size}",
                flags.device,
                3,
                lambda v=vae, x=frames: v.decode(x).sample,
            )
            del vae


if __name__ == "__main__":
    main()

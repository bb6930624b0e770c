"""Clips by diffusers' AnimateDiffPipeline in one warm process, random weights: the peer of bench/clips.ts.

Usage: python bench/peers/clips.py [--device cuda] [--frames 16] [--calls 3] [--clips 512:25:7.5,256:25:7.5]

The text comes as embeddings, so diffusers does not pay for its text encoder. Prints one line of JSON for each
clip: seconds from the call to frames in an array on the host.
"""

import argparse
import json
import statistics
import time

import torch
from diffusers import AnimateDiffPipeline, DDIMScheduler
from networks import TOKENS, unet_of, vae_of


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--clips", default="512:25:7.5,256:25:7.5", help="size:steps:guidance,...")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    place = {"device": chosen.device, "dtype": torch.float16 if chosen.device == "cuda" else torch.float32}
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False, steps_offset=1
    )
    pipeline = AnimateDiffPipeline(vae_of(place), None, None, unet_of(place), None, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    texts = [torch.randn(1, TOKENS, 768, **place) for _ in range(2)]
    for clip in chosen.clips.split(","):
        size, steps, guidance = (float(part) for part in clip.split(":"))
        taken = []
        for _ in range(chosen.calls + 1):
            begun = time.perf_counter()
            frames = pipeline(
                prompt_embeds=texts[0],
                negative_prompt_embeds=texts[1],
                num_frames=chosen.frames,
                width=int(size),
                height=int(size),
                num_inference_steps=int(steps),
                guidance_scale=guidance,
                output_type="np",
            ).frames
            taken.append(time.perf_counter() - begun)
        line = {
            "name": f"diffusers clip {int(size)} {int(steps)} steps guidance {guidance:g}",
            "seconds": round(statistics.median(taken[1:]), 3),
            "cold": round(taken[0], 3),
            "shape": list(frames.shape),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    with torch.inference_mode():
        main()

"""`torch.compile` at its best: frozen weights on the CPU, tuned channels-last kernels on CUDA."""

from typing import Any

import torch


def compile_networks(pipeline: Any, device: str) -> None:
    """The UNet and the decoder of the VAE, where a clip spends its time, are compiled at their first call."""
    if device == "cpu":
        import torch._inductor.config as inductor

        inductor.freezing = True
        options: dict[str, Any] = {"dynamic": False}
    else:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
        options = {"mode": "max-autotune", "dynamic": False}
    # Each shape for itself, as it runs fastest. In place: the pipeline reads attributes of the networks.
    pipeline.unet.compile(**options)
    pipeline.vae.decoder.compile(**options)

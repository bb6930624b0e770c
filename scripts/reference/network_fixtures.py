"""Fixtures of the single networks: text encoder, UNet in every topology, VAE, and the noise generator."""

import copy
from typing import Any

import torch
from fixture_file import max_abs_error, write_fixture
from original_norms import use_original_norms
from prompts import CAT, EMPTY, GIRL, ODD, token_ids
from seeded_model import seeded_motion_unet, seeded_text_encoder, seeded_unet, seeded_vae

# Seeds of published configurations; the first two need all 64 bits.
SEEDS = (10788741199826055526, 18339859844376517918, 1572448948722921032, 1007)


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def encode_text(encoder: torch.nn.Module, ids: torch.Tensor, clip_skip: int = 0) -> torch.Tensor:
    """float [prompts, 77, hidden] after the final LayerNorm; `clip_skip` leaves out the last layers."""
    if clip_skip == 0:
        return encoder(ids).last_hidden_state
    states = encoder(ids, output_hidden_states=True).hidden_states
    norm = getattr(encoder, "text_model", encoder).final_layer_norm
    return norm(states[-1 - clip_skip])


def text_fixture(family: dict[str, Any]) -> None:
    prompts = [CAT, GIRL, ODD, EMPTY]
    encoder = seeded_text_encoder(family)
    ids = token_ids(prompts)
    output = encode_text(encoder, ids)
    write_fixture(
        "text-encoder",
        {"ids": ids, "last_hidden_state": output, "clip_skip_1": encode_text(encoder, ids, 1)},
        {
            "prompts": prompts,
            "float32Error": max_abs_error(output, encode_text(copy.deepcopy(encoder).double(), ids)),
        },
    )


def unet_fixture(family: dict[str, Any]) -> None:
    """Outputs `<motion>.<compat>.<height>x<width>` for 5 frames, `none.<frames>.<height>x<width>` for each
    frame on its own."""
    timestep = 481
    text = encode_text(seeded_text_encoder(family), token_ids([GIRL, EMPTY]))
    tensors = {"encoder_hidden_states": text}
    errors = {}
    for size in ((8, 8), (10, 6)):
        label = f"{size[0]}x{size[1]}"
        latents = noise((2, 4, 5, *size), 10 * size[0] + size[1])
        tensors[f"latents.{label}"] = latents
        unet = seeded_unet(family)
        for frames in (1, 3):
            each = [
                unet(latents[:, :, frame], timestep, encoder_hidden_states=text).sample
                for frame in range(frames)
            ]
            tensors[f"none.{frames}.{label}"] = torch.stack(each, dim=2)
        for motion in ("v1", "v2", "v3"):
            for compat in ("original", "diffusers"):
                name = f"{motion}.{compat}.{label}"
                unet = seeded_motion_unet(family, motion)
                if compat == "original":
                    use_original_norms(unet, motion)
                per_frame = text.repeat_interleave(latents.shape[2], 0)
                output = unet(latents, timestep, per_frame).sample
                exact = copy.deepcopy(unet).double()(latents.double(), timestep, per_frame.double()).sample
                tensors[name] = output
                errors[name] = max_abs_error(output, exact)
    write_fixture("unet", tensors, {"timestep": timestep, "float32Error": errors})


def vae_fixture(family: dict[str, Any]) -> None:
    """`latents` are divided by the scaling factor already; `image` is in [-1, 1]."""
    vae = seeded_vae(family)
    latents = noise((2, 4, 6, 8), 68) / vae.config.scaling_factor
    image = noise((1, 3, 48, 64), 4864).clamp(-1, 1)
    decoded = vae.decode(latents).sample
    moments = vae.encode(image).latent_dist
    exact = copy.deepcopy(vae).double()
    write_fixture(
        "vae",
        {
            "latents": latents,
            "decoded": decoded,
            "image": image,
            "mean": moments.mean,
            "logvar": moments.logvar,
        },
        {
            "scalingFactor": vae.config.scaling_factor,
            "float32Error": {
                "decoded": max_abs_error(decoded, exact.decode(latents.double()).sample),
                "mean": max_abs_error(moments.mean, exact.encode(image.double()).latent_dist.mean),
            },
        },
    )


def noise_fixture() -> None:
    """`<seed>.start`: first 4 values of [1, 4, 16, 32, 32]; `<seed>.clip`: [1, 4, 5, 8, 8]; `<seed>.next`:
    the draw that follows from the same generator; `<seed>.tail`: a count that is no multiple of 16."""
    tensors = {}
    for seed in SEEDS:
        tensors[f"{seed}.start"] = noise((1, 4, 16, 32, 32), seed).flatten()[:4]
        tensors[f"{seed}.tail"] = noise((1, 4, 1, 5, 7), seed)
        generator = torch.Generator().manual_seed(seed)
        tensors[f"{seed}.clip"] = torch.randn((1, 4, 5, 8, 8), generator=generator)
        tensors[f"{seed}.next"] = torch.randn((1, 4, 5, 8, 8), generator=generator)
    write_fixture("noise", tensors, {"seeds": [str(seed) for seed in SEEDS]})

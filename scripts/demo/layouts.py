"""Names under which the published kinds of files keep their tensors.

LDM: CompVis' single-file checkpoint; kohya: LoRAs of kohya-ss/sd-scripts; original: guoyww/AnimateDiff.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

UNET_PLACES: Rules = (
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
    (r"^down_blocks\.(\d)\.downsamplers\.0\.conv\.", lambda m: f"input_blocks.{3 * int(m[1]) + 3}.0.op."),
    (
        r"^down_blocks\.(\d)\.(resnets|attentions)\.(\d)\.",
        lambda m: f"input_blocks.{3 * int(m[1]) + int(m[3]) + 1}.{int(m[2] == 'attentions')}.",
    ),
    # The upsampler comes after the attention, which the lowest level does not have.
    (
        r"^up_blocks\.(\d)\.upsamplers\.0\.conv\.",
        lambda m: f"output_blocks.{3 * int(m[1]) + 2}.{1 if m[1] == '0' else 2}.conv.",
    ),
    (
        r"^up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.",
        lambda m: f"output_blocks.{3 * int(m[1]) + int(m[3])}.{int(m[2] == 'attentions')}.",
    ),
)

RESNET = r"^((?:input_blocks|output_blocks)\.\d+\.0|middle_block\.[02])\."
UNET_PARTS: Rules = (
    (RESNET + r"norm1\.", r"\1.in_layers.0."),
    (RESNET + r"conv1\.", r"\1.in_layers.2."),
    (RESNET + r"time_emb_proj\.", r"\1.emb_layers.1."),
    (RESNET + r"norm2\.", r"\1.out_layers.0."),
    (RESNET + r"conv2\.", r"\1.out_layers.3."),
    (RESNET + r"conv_shortcut\.", r"\1.skip_connection."),
)

VAE_PLACES: Rules = (
    (r"^(en|de)coder\.conv_norm_out\.", r"\1coder.norm_out."),
    (r"^encoder\.down_blocks\.(\d)\.resnets\.(\d)\.", r"encoder.down.\1.block.\2."),
    (r"^encoder\.down_blocks\.(\d)\.downsamplers\.0\.", r"encoder.down.\1.downsample."),
    # LDM counts the decoder's levels from the picture, diffusers from the latents.
    (
        r"^decoder\.up_blocks\.(\d)\.resnets\.(\d)\.",
        lambda m: f"decoder.up.{3 - int(m[1])}.block.{m[2]}.",
    ),
    (r"^decoder\.up_blocks\.(\d)\.upsamplers\.0\.", lambda m: f"decoder.up.{3 - int(m[1])}.upsample."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
)

VAE_PARTS: Rules = (
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".proj_out."),
)


def rename(name: str, *tables: Rules) -> str:
    """Applies the first rule of each table that matches."""
    for rules in tables:
        for pattern, replacement in rules:
            name, count = re.subn(pattern, replacement, name, count=1)
            if count:
                break
    return name


def ldm_unet(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"model.diffusion_model.{rename(name, UNET_PLACES, UNET_PARTS)}": tensor
        for name, tensor in tensors.items()
    }


def ldm_vae(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """LDM's attention is made of 1x1 convolutions."""
    return {
        f"first_stage_model.{rename(name, VAE_PLACES, VAE_PARTS)}": tensor[:, :, None, None]
        if ".attentions." in name and tensor.dim() == 2
        else tensor
        for name, tensor in tensors.items()
    }


def ldm_text(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"cond_stage_model.transformer.{name}": tensor for name, tensor in tensors.items()}


def layers(tensors: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """(down, up) by layer, from `<layer>.down` and `<layer>.up`."""
    names = [name.removesuffix(".down") for name in tensors if name.endswith(".down")]
    return {name: (tensors[f"{name}.down"], tensors[f"{name}.up"]) for name in names}


def kohya_lora(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """alpha equals the rank, so that a strength of 1 gives what was trained. proj_in and proj_out are 1x1
    convolutions."""
    out: dict[str, Tensor] = {}
    for layer, (down, up) in layers(tensors).items():
        key = "lora_unet_" + layer.replace(".", "_")
        tail = (1, 1) if layer.endswith((".proj_in", ".proj_out")) else ()
        out[f"{key}.lora_down.weight"] = down.reshape(*down.shape, *tail)
        out[f"{key}.lora_up.weight"] = up.reshape(*up.shape, *tail)
        out[f"{key}.alpha"] = torch.tensor(float(len(down)))
    return out


def motion_lora(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for layer, (down, up) in layers(tensors).items():
        block, projection = re.fullmatch(r"(.+)\.(to_[qkv]|to_out)(?:\.0)?", layer).groups()
        out[f"{block}.processor.{projection}_lora.down.weight"] = down
        out[f"{block}.processor.{projection}_lora.up.weight"] = up
    return out

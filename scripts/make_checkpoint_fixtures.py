"""Writes test/fixtures/weights: checkpoints as torch really saves them, and key lists of real models.

The checkpoints are tiny; `expected.json` holds the bytes of every tensor, so that the tests can check that
the places which the TypeScript reader finds are right. The key lists come from diffusers' own classes on the
meta device. Nothing is downloaded.

    python scripts/make_checkpoint_fixtures.py
"""

import io
import json
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy
import torch
from diffusers import AutoencoderKL, MotionAdapter
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

FOLDER = Path(__file__).resolve().parent.parent / "test" / "fixtures" / "weights"

WITH_MODULES = ("module", "embedding")

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]


def numbers(*shape, dtype=torch.float32, start=1):
    count = int(numpy.prod(shape))
    return (torch.arange(start, start + count) % 100).reshape(shape).to(dtype)


def every_layout():
    """Tensors of every dtype and every way in which a tensor can lie in a storage."""
    big = numbers(4, 6)
    tensors = OrderedDict(
        (f"dtype.{str(dtype).removeprefix('torch.')}", numbers(2, 3, dtype=dtype)) for dtype in DTYPES
    )
    tensors["transposed"] = numbers(2, 3).t()
    tensors["slice"] = big[1:3, 2:5]
    tensors["row"] = big[2]
    tensors["expanded"] = numbers(3, 1).expand(3, 4)
    tensors["tied"] = tensors["dtype.float32"]
    tensors["scalar"] = torch.tensor(7.5)
    tensors["empty"] = torch.empty(0, 3)
    tensors["parameter"] = nn.Parameter(numbers(2, 2))
    tensors["channels_last"] = numbers(1, 2, 3, 3).contiguous(memory_format=torch.channels_last)
    return tensors


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        with torch.no_grad():
            for index, parameter in enumerate(self.parameters()):
                parameter.copy_(numbers(*parameter.shape, start=index))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.inner(x))


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(numbers(2, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


class RunsOnLoad(nn.Module):
    """TorchScript calls `__setstate__` while it loads: torch itself cannot open an archive of this."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(numbers(2, 2))
        self.inner = Scale()

    @torch.jit.export
    def __getstate__(self):
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        self.weight = state[0]
        self.training = state[1]
        self.inner = self.inner
        raise RuntimeError("code of the archive ran")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


class HidesCode(nn.Module):
    """An ordinary network around RunsOnLoad."""

    def __init__(self):
        super().__init__()
        self.unet = Scale()
        self.trap = RunsOnLoad()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.trap(self.unet(x))


def configuration_object():
    """An object of a class that no reader knows, as the omegaconf config in the first v3_sd15_mm.ckpt."""
    module = types.ModuleType("omegaconf.dictconfig")
    cls = type("DictConfig", (), {"__module__": "omegaconf.dictconfig"})
    module.DictConfig = cls
    sys.modules.setdefault("omegaconf", types.ModuleType("omegaconf"))
    sys.modules["omegaconf.dictconfig"] = module
    config = cls()
    config.content = {"unet_additional_kwargs": {"use_motion_module": True}, "seed": 42}
    config.parent = config
    return config


def checkpoints():
    """Name -> (object to save, tensors that the reader should find)."""
    layouts = every_layout()
    pair = OrderedDict(a=numbers(2, 2), b=numbers(3, dtype=torch.float16))
    tiny = Tiny()
    optimizer = torch.optim.AdamW(tiny.parameters())
    tiny(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    lightning = {
        "epoch": 3,
        "global_step": 123456789012,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": tiny.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "callbacks": {
            "ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "best": numpy.float64(0.25)}
        },
    }
    embedding = {
        "string_to_token": {"*": 265},
        "string_to_param": nn.ParameterDict({"*": nn.Parameter(numbers(2, 768))}),
        "name": "easynegative",
        "step": 500,
        "sd_checkpoint": None,
    }
    wrapped = {"animatediff_config": configuration_object(), "global_step": 5, "state_dict": pair}
    return {
        "layouts": (layouts, layouts),
        "lightning": (lightning, tiny.state_dict()),
        "config-object": (wrapped, pair),
        "nested": ({"unet": pair, "optimizer": {"x": numbers(2)}}, {f"unet.{k}": v for k, v in pair.items()}),
        "averaged": ({"model": pair, "ema": {k: v + 1 for k, v in pair.items()}, "epoch": 1}, pair),
        "proto-key": ({"__proto__": numbers(2), "constructor": numbers(3), "polluted": "yes"}, None),
        "embedding": (embedding, {"string_to_param.*": embedding["string_to_param"]["*"]}),
        "module": (tiny, tiny.state_dict()),
    }


def element_bytes(tensor):
    contiguous = tensor.detach().contiguous()
    return contiguous.reshape(-1).view(torch.uint8).numpy().tobytes().hex() if contiguous.numel() else ""


def describe(tensors):
    return {
        name: {"dtype": str(tensor.dtype), "shape": list(tensor.shape), "bytes": element_bytes(tensor)}
        for name, tensor in tensors.items()
    }


def write_checkpoints():
    expected = {}
    for name, (content, tensors) in checkpoints().items():
        if tensors is None:
            tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
        expected[name] = describe(tensors)
        torch.save(content, FOLDER / f"{name}.zip.pt")
        # The legacy format adds the source code of module classes with its path: not for this repository.
        if name not in WITH_MODULES:
            torch.save(content, FOLDER / f"{name}.legacy.pt", _use_new_zipfile_serialization=False)
    for protocol in (3, 4, 5):
        content, _ = checkpoints()["lightning"]
        torch.save(content, FOLDER / f"lightning.protocol{protocol}.pt", pickle_protocol=protocol)
    write_scripted("scripted", Scale())
    write_scripted("runs-on-load", HidesCode(), {"animatediff.json": json.dumps(DESCRIPTION)})
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


# As `bake` writes it, so that nothing but the networks themselves is wrong.
DESCRIPTION = {
    "format": 1,
    "family": "tiny",
    "dtype": "float32",
    "sources": {"base": "base.safetensors"},
    "software": "animatediff-native 0.1.0",
}


def write_scripted(name, module, extra_files=None):
    """A TorchScript archive without its debug records, which name the files of this machine."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer, _extra_files=extra_files)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(FOLDER / f"{name}.pt", "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))


def write_keys(name, module):
    lines = [f"{key}\t{'x'.join(map(str, tensor.shape))}" for key, tensor in module.state_dict().items()]
    (FOLDER / f"{name}.tsv").write_text("\n".join(lines) + "\n")


def write_key_lists():
    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=[128, 256, 512, 512],
            layers_per_block=2,
            latent_channels=4,
        )
        text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
        adapter = MotionAdapter(use_motion_mid_block=True, motion_max_seq_length=32)
        write_keys("vae_diffusers", vae)
        write_keys("clip_transformers", text)
        write_keys("motion_adapter_v2", adapter)


if __name__ == "__main__":
    torch.manual_seed(0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_checkpoints()
    write_key_lists()

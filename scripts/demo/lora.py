"""Low-rank updates of frozen layers (LoRA, arXiv 2106.09685) as parametrisations of their weights."""

import re
from pathlib import Path

import torch
from graphs.unet import UNet
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

SPATIAL = re.compile(
    r"\.attentions\.\d+\.(proj_in|proj_out|transformer_blocks\.0\.(attn[12]\.to_[qkv]|attn[12]\.to_out\.0"
    r"|ff\.net\.0\.proj|ff\.net\.2))$"
)
TEXT = re.compile(r"\.attn2\.to_[kv]$")
MOTION = re.compile(r"\.motion_modules\.\d+\..*\.attention_blocks\.\d+\.(to_[qkv]|to_out\.0)$")

SUFFIX = ".parametrizations.weight.0"


class LowRank(nn.Module):
    """weight + up @ down, for a linear layer or a 1x1 convolution. `up` begins with zeros."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape[:2]
        down = torch.randn(rank, inputs, generator=generator) / rank
        self.down = nn.Parameter(down.to(weight.device))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def matching(unet: UNet, pattern: re.Pattern[str]) -> list[str]:
    return [name for name, _ in unet.named_modules() if pattern.search(name)]


def spatial_targets(unet: UNet) -> list[str]:
    """Layers of the spatial transformers that kohya's trainer adapts."""
    return matching(unet, SPATIAL)


def lora_targets(unet: UNet) -> list[str]:
    """The same but for keys and values of the text: README.md has what changing them does to motion."""
    return [name for name in spatial_targets(unet) if not TEXT.search(name)]


def motion_targets(unet: UNet) -> list[str]:
    """Projections of the temporal attentions, which MotionLoRAs adapt."""
    return matching(unet, MOTION)


def adapt(unet: UNet, targets: list[str], rank: int, seed: int) -> None:
    """Puts a trainable low-rank update on the weight of each target."""
    generator = torch.Generator().manual_seed(seed)
    for name in targets:
        layer = unet.get_submodule(name)
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank, generator))


class GatedUpdates(nn.Module):
    """Several low-rank updates of one network, each of which counts in some calls only."""

    def __init__(
        self, network: nn.Module, targets: list[str], names: list[str], rank: int, seed: int
    ) -> None:
        super().__init__()
        self.targets = targets
        self.updates = nn.ModuleDict()
        for name in names:
            generator = torch.Generator().manual_seed(seed)
            weights = [network.get_submodule(target).weight for target in targets]
            self.updates[name] = nn.ModuleList([LowRank(weight, rank, generator) for weight in weights])

    def weights(self, network: nn.Module, gates: Tensor) -> dict[str, Tensor]:
        """`<layer>.weight` of every target plus its updates times `gates` [names], as
        `torch.func.functional_call` takes them."""
        found: dict[str, Tensor] = {}
        pairs = list(zip(gates, self.updates.values()))
        if gates.device.type == "cpu":
            pairs = [(gate, update) for gate, update in pairs if gate]
        for i, target in enumerate(self.targets):
            changes = [gate * (u[i].up @ u[i].down) for gate, u in pairs]
            found[f"{target}.weight"] = network.get_submodule(target).weight + sum(changes)
        return found

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The factors of one update under the names that `adapted` uses."""
        named = zip(self.targets, self.updates[name])
        return {f"{n}.{side}": getattr(layer, side) for n, layer in named for side in ("down", "up")}

    @torch.no_grad()
    def begin(self, name: str, path: Path) -> None:
        """With the factors of a file, if there is one."""
        if path.exists():
            file = load_file(path)
            for key, tensor in self.tensors(name).items():
                tensor.copy_(file[key])


def factors(update: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(down [rank, inputs], up [outputs, rank]) whose product is nearest to the update [outputs, inputs]."""
    left, sizes, right = torch.linalg.svd(update, full_matrices=False)
    half = sizes[:rank].sqrt()
    down, up = update.new_zeros(rank, update.size(1)), update.new_zeros(update.size(0), rank)
    down[: len(half)] = half[:, None] * right[:rank]
    up[:, : len(half)] = left[:, :rank] * half
    return down, up


@torch.no_grad()
def begin(unet: UNet, path: Path) -> None:
    """The updates begin with those of a file that names them as `adapted` does, if there is such a file."""
    if path.exists():
        for name, tensor in load_file(path).items():
            layer, part = name.rsplit(".", 1)
            getattr(unet.get_submodule(f"{layer}{SUFFIX}"), part).copy_(tensor)


def merge(unet: UNet) -> None:
    """Makes the updates part of the weights: the network has its usual parameters again."""
    for name in [name for name, module in unet.named_modules() if parametrize.is_parametrized(module)]:
        parametrize.remove_parametrizations(unet.get_submodule(name), "weight", leave_parametrized=True)


def adapted(unet: UNet) -> dict[str, Tensor]:
    """`<layer>.down` [rank, inputs] and `<layer>.up` [outputs, rank] of every adapted layer."""
    found: dict[str, Tensor] = {}
    for name, module in unet.named_modules():
        if isinstance(module, LowRank):
            layer = name.removesuffix(SUFFIX)
            found |= {f"{layer}.down": module.down, f"{layer}.up": module.up}
    return found

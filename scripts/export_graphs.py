"""Writes the weight-free TorchScript archives and native/graphs/manifest.json.

Usage: python scripts/export_graphs.py [--out native/graphs] [--check]
With --check nothing is written: the exit code is 1 when an archive differs from its source.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from graphs.families import FAMILIES, Family  # noqa: E402
from graphs.text import TextEncoder  # noqa: E402
from graphs.unet import UNet  # noqa: E402
from graphs.vae import VaeDecoder, VaeEncoder  # noqa: E402

GRAPHS = {
    "text_encoder": lambda family: TextEncoder(family.text),
    "vae_encoder": lambda family: VaeEncoder(family.vae),
    "vae_decoder": lambda family: VaeDecoder(family.vae),
    "unet": lambda family: UNet(family.unet, motion=False, motion_mid=False),
    "unet_motion": lambda family: UNet(family.unet, motion=True, motion_mid=False),
    "unet_motion_mid": lambda family: UNet(family.unet, motion=True, motion_mid=True),
}


def script(family: Family, key: str) -> torch.jit.ScriptModule:
    """The network on the meta device, in evaluation mode, as TorchScript."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(GRAPHS[key](family).eval().requires_grad_(False))


def save(module: torch.jit.ScriptModule, path: Path) -> None:
    """Saves without the debug records, which hold paths and line numbers of the exporting machine."""
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / path.name
        module.save(str(full))
        reader = torch._C.PyTorchFileReader(str(full))
        writer = torch._C.PyTorchFileWriter(str(path))
        for record in reader.get_all_records():
            if record.endswith(".debug_pkl") or record in ("version", "byteorder", ".data/serialization_id"):
                continue
            data = reader.get_record(record)
            writer.write_record(record, data, len(data))
        writer.write_end_of_file()


def parameters(module: torch.jit.ScriptModule) -> dict[str, list[int]]:
    """Every parameter and buffer with its shape."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {name: list(tensor.shape) for name, tensor in tensors}


def source_hash() -> str:
    """SHA-256 over this script and the network definitions; a test compares it without needing torch."""
    scripts = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in [scripts / "export_graphs.py", *sorted((scripts / "graphs").glob("*.py"))]:
        digest.update(path.relative_to(scripts).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def describe(family: Family, graphs: dict[str, dict]) -> dict:
    """The family's entry in the manifest."""
    return {
        "name": family.name,
        "config": {
            "vaeScaleFactor": 2 ** (len(family.vae.widths) - 1),
            "vaeScalingFactor": family.vae.scaling_factor,
            "latentChannels": family.vae.latent_channels,
            "textLength": family.text.length,
            "vocabSize": family.text.vocab_size,
            "sampleSize": family.sample_size,
        },
        "graphs": graphs,
    }


def export(out: Path) -> None:
    """Writes every archive and the manifest into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    families = []
    for family in FAMILIES:
        graphs = {}
        for key in GRAPHS:
            module = script(family, key)
            name = f"{family.name}-{key}"
            save(module, out / f"{name}.pt")
            sha256 = hashlib.sha256((out / f"{name}.pt").read_bytes()).hexdigest()
            graphs[key] = {"name": name, "sha256": sha256, "parameters": parameters(module)}
        families.append(describe(family, graphs))
    version = torch.__version__.split("+")[0]
    manifest = {"format": 1, "torch": version, "sources": source_hash(), "families": families}
    (out / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")) + "\n")


def records(path: Path) -> dict[str, bytes]:
    """Code, constants and structure of an archive, without what changes from one save to the next."""
    reader = torch._C.PyTorchFileReader(str(path))
    return {
        name: reader.get_record(name) for name in reader.get_all_records() if not name.startswith(".data/")
    }


def drifted(out: Path) -> list[str]:
    """Names of the files in `out` that differ from what their sources give."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        export(fresh)
        stale = [p.name for p in sorted(fresh.glob("*.pt")) if not (out / p.name).exists()]
        present = [p for p in sorted(fresh.glob("*.pt")) if p.name not in stale]
        stale += [p.name for p in present if records(p) != records(out / p.name)]
        if json.loads((fresh / "manifest.json").read_text()) != json.loads(
            (out / "manifest.json").read_text()
        ):
            stale.append("manifest.json")
        return stale


def main() -> int:
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The compiler writes a module's constants in the order of a hash set.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parent.parent / "native" / "graphs"
    )
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        export(arguments.out)
        return 0
    stale = drifted(arguments.out)
    for name in stale:
        print(f"{name} differs from its source; run: python scripts/export_graphs.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""One turn of diffusers for check-loading.mjs. Usage: python scripts/full-check/load_reference.py JOB.json

The LoRAs are loaded and active, as layers beside the weights. `fuse` is what merging them takes, as ours are.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))

import diffusers  # noqa: E402
import peft  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from diffusers_pipeline import load_pipeline, write_configs  # noqa: E402
from meter import measure, peak_bytes, wait_for_quiet  # noqa: E402


def load(job: dict[str, Any], configs: Path) -> Any:
    pipeline = load_pipeline(job, configs)
    names = [f"lora_{index}" for index in range(len(job["loras"]))]
    for name, lora in zip(names, job["loras"], strict=True):
        pipeline.load_lora_weights(lora["path"], adapter_name=name)
    pipeline.set_adapters(names, [lora["scale"] for lora in job["loras"]])
    return pipeline


def turn(job: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(job["threads"])
    with tempfile.TemporaryDirectory() as folder:
        write_configs(Path(folder))
        before = peak_bytes()
        wait_for_quiet(job["patience"])
        pipeline, sample = measure(lambda: load(job, Path(folder)))
    loaded = peak_bytes()
    networks = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    weights = sum(tensor.nbytes for network in networks for tensor in network.parameters())
    _, fuse = measure(pipeline.fuse_lora)
    return {
        "versions": {
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
            "python": sys.version.split()[0],
        },
        "weights": weights,
        "memory": {"before": before, "loaded": loaded, "changed": peak_bytes()},
        "load": sample,
        "fuse": fuse,
    }


def main() -> None:
    warnings.filterwarnings("ignore")
    diffusers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
    job = json.loads(Path(sys.argv[1]).read_text())
    (Path(job["out"]) / "turn.json").write_text(json.dumps(turn(job)))


if __name__ == "__main__":
    main()

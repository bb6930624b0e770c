"""Writes the held-out combinations for the evaluation: python scripts/demo/write_held_out.py [FILE]

drawing/names.py is loaded on its own, so that this runs without numpy.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

NAMES = Path(__file__).parent / "drawing" / "names.py"
TARGET = Path(__file__).parents[1] / "eval-demo" / "held-out.json"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def held_out() -> str:
    """JSON: a list of [colour, shape, motion], one per line."""
    lines = [f"  {json.dumps(list(combination))}" for combination in load(NAMES).combinations(held_out=True)]
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_text(held_out(), encoding="utf-8")

"""A style made stronger or weaker is its update times a factor."""

import sys
import tempfile
import unittest
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.export import FILES  # noqa: E402
from demo.strength import strengthen  # noqa: E402


class StrengthTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.models = Path(folder.name)
        torch.manual_seed(1)

    def write(self, kind: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        save_file(tensors, self.models / FILES[kind])
        return tensors

    def read(self, kind: str) -> dict[str, torch.Tensor]:
        return load_file(self.models / FILES[kind])

    def test_moves_a_personalised_model_from_its_base(self) -> None:
        base = self.write("base", {"unet.a": torch.randn(4, 3).half(), "vae.b": torch.randn(2).half()})
        style = self.write("personalised", {"unet.a": torch.randn(4, 3).half()})
        strengthen(self.models, "personalised", 0.75)
        changed = self.read("personalised")
        self.assertEqual(list(changed), ["unet.a"])
        expected = 0.25 * base["unet.a"].float() + 0.75 * style["unet.a"].float()
        torch.testing.assert_close(changed["unet.a"], expected.half())

    def test_scales_one_factor_of_a_lora(self) -> None:
        names = ("x.lora_down.weight", "x.lora_up.weight", "x.alpha")
        given = self.write("lora", {name: torch.randn(4, 3).half() for name in names})
        strengthen(self.models, "lora", 1.5)
        changed = self.read("lora")
        for name, factor in zip(names, (1, 1.5, 1), strict=True):
            torch.testing.assert_close(changed[name], (given[name].float() * factor).half())

    def test_refuses_what_float16_cannot_hold_and_keeps_the_file(self) -> None:
        given = self.write("lora", {"x.lora_up.weight": torch.full((2, 2), 6e4).half()})
        with self.assertRaises(SystemExit):
            strengthen(self.models, "lora", 2)
        torch.testing.assert_close(self.read("lora")["x.lora_up.weight"], given["x.lora_up.weight"])


if __name__ == "__main__":
    unittest.main()

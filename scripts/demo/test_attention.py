"""Attention for training is the fused one."""

import sys
import unittest
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.attention import attention_for_training, written_out  # noqa: E402

CPU = torch.device("cpu")


class AttentionTest(unittest.TestCase):
    def tensors(self, queries: int, keys: int) -> list[torch.Tensor]:
        torch.manual_seed(1)
        return [torch.randn(3, 2, n, 8, requires_grad=True) for n in (queries, keys, keys)]

    def test_values_and_gradients_are_those_of_the_fused_one(self) -> None:
        for queries, keys in ((16, 16), (5, 77)):
            inputs = self.tensors(queries, keys)
            expected, actual = F.scaled_dot_product_attention(*inputs), written_out(*inputs)
            torch.testing.assert_close(actual, expected)
            given = torch.randn_like(expected)
            torch.testing.assert_close(
                torch.autograd.grad(actual, inputs, given), torch.autograd.grad(expected, inputs, given)
            )

    def test_takes_its_place_in_bfloat16_on_the_cpu_alone(self) -> None:
        fused = F.scaled_dot_product_attention
        with attention_for_training(CPU, bf16=False):
            self.assertIs(F.scaled_dot_product_attention, fused)
        with attention_for_training(CPU, bf16=True):
            self.assertIsNot(F.scaled_dot_product_attention, fused)
            inputs = self.tensors(7, 7)
            torch.testing.assert_close(
                F.scaled_dot_product_attention(*inputs, is_causal=True), fused(*inputs, is_causal=True)
            )
        self.assertIs(F.scaled_dot_product_attention, fused)

    def test_takes_its_place_on_a_gpu_where_sequences_are_short(self) -> None:
        fused = F.scaled_dot_product_attention
        for queries, keys in ((16, 16), (64, 64), (16, 77)):
            inputs = self.tensors(queries, keys)
            with mock.patch.object(F, "scaled_dot_product_attention", wraps=fused) as calls:
                with attention_for_training(torch.device("cuda"), bf16=True):
                    actual = F.scaled_dot_product_attention(*inputs)
                self.assertEqual(calls.called, max(queries, keys) > 32)
            torch.testing.assert_close(actual, fused(*inputs))


if __name__ == "__main__":
    unittest.main()

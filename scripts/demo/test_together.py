"""Quick test of processes that train together."""

import json
import tempfile
import unittest
from pathlib import Path

import torch

from demo.together import agree, rank, run_together, share


def work(folder: str) -> None:
    """Each process has its own gradient and its own numbers; writes what all agreed on."""
    seen, unseen = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))
    seen.grad = torch.tensor([1.0, 3.0]) * (1 + rank())
    begun = torch.full((2,), float(rank()))
    share([begun])
    numbers = agree([seen, unseen], 10.0 * rank(), torch.tensor(2.0))
    Path(folder, f"{rank()}.json").write_text(
        json.dumps([*seen.grad.tolist(), *map(float, numbers), *begun.tolist()])
    )


class Together(unittest.TestCase):
    def test_begin_alike_and_go_on_from_the_mean_of_all_gradients(self) -> None:
        for count, expected in ((1, [1, 3, 0, 2, 0, 0]), (2, [1.5, 4.5, 5, 2, 0, 0])):
            with tempfile.TemporaryDirectory() as folder:
                run_together(count, work, folder)
                written = [json.loads(path.read_text()) for path in Path(folder).iterdir()]
            self.assertEqual(written, [expected] * count)


if __name__ == "__main__":
    unittest.main()

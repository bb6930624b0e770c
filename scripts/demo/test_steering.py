"""Quick test of what tells the UNet how the camera stands."""

import unittest

import torch

from demo.config import RECIPES
from demo.drawing.backgrounds import AROUND
from demo.drawing.camera import PAN
from demo.drawing.dataset import Source
from demo.model import Denoiser
from demo.stages.steering import STATE, Steering, camera_states


class SteeringOfTheUNet(unittest.TestCase):
    def test_knows_the_camera_of_every_frame(self) -> None:
        zoom, pan = (camera_states(Source(3, 2, 16, camera=camera)) for camera in ("zoom-in", "pan-left"))
        self.assertEqual(zoom.shape, (2, 16, STATE))
        torch.testing.assert_close(zoom[0, :, 5], torch.arange(16) / 15)
        torch.testing.assert_close(pan[0, :, 4], 1 - 2 * torch.arange(16) / 15)
        # The panorama turns about its anchor.
        angle = torch.atan2(pan[0, :, 0], pan[0, :, 1])
        self.assertAlmostEqual(float(angle[0] - angle[-1]), 2 * torch.pi * PAN / AROUND, places=4)
        self.assertLess(float((angle[0] + angle[-1]).abs()), 2 * torch.pi * 0.06)

    def test_reaches_the_output_only_while_a_state_is_given(self) -> None:
        model = Denoiser(RECIPES["test"].family, motion=False)
        steering = Steering(model.unet)
        for steer in steering.maps:
            torch.nn.init.ones_(steer.weight)
        inputs = torch.randn(2, 4, 1, 4, 4), torch.tensor([500, 500]), torch.randn(2, 77, 32)
        with torch.no_grad():
            plain = model(*inputs)
            steering.state = torch.tensor([[0.0] * STATE, [1.0] * STATE])
            steered = model(*inputs)
        self.assertTrue(torch.equal(plain[0], steered[0]))
        self.assertGreater(float((plain[1] - steered[1]).abs().max()), 1e-3)


if __name__ == "__main__":
    unittest.main()

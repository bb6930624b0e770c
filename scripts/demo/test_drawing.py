"""Tests of what is drawn: clips, cameras, held-out combinations, captions.

Usage: python -m unittest demo.test_drawing, from scripts
"""

import unittest

import numpy as np

from demo.drawing.camera import PAN, ZOOM
from demo.drawing.captions import canonical_caption, random_caption
from demo.drawing.dataset import Source, draw_all
from demo.drawing.names import COLOURS, MOTIONS, SHAPES, combinations, is_held_out
from demo.drawing.render import SIZE, draw_clip
from demo.drawing.scene import Scene, scene_at
from demo.tokens import token_ids


def silhouette(frames: np.ndarray) -> np.ndarray:
    """Where a red object is on a black background: bool [n, 128, 128]."""
    return frames[..., 0] > 110


def centres(mask: np.ndarray) -> np.ndarray:
    """Mean x and y of each silhouette in picture heights, [n, 2]."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    area = mask.sum((1, 2))
    return np.stack([(mask * x).sum((1, 2)) / area, (mask * y).sum((1, 2)) / area], axis=1)


def clip_of(motion: str, shape: str = "star", camera: str = "fixed") -> np.ndarray:
    return draw_clip(Scene("red", shape, motion, "black", camera=camera))


class Drawing(unittest.TestCase):
    def test_moves_the_object_as_its_caption_says(self) -> None:
        ways = {
            "moving left": (-0.44, 0),
            "moving right": (0.44, 0),
            "moving up": (0, -0.44),
            "moving down": (0, 0.44),
            "standing still": (0, 0),
        }
        for motion, way in ways.items():
            place = centres(silhouette(clip_of(motion)))
            np.testing.assert_allclose(place[-1] - place[0], way, atol=0.01, err_msg=motion)

    def test_changes_the_size_only_where_the_caption_says(self) -> None:
        growth = {}
        for motion in ("growing", "shrinking", "moving left", "standing still"):
            area = silhouette(clip_of(motion)).sum((1, 2))
            growth[motion] = area[-1] / area[0]
        self.assertGreater(growth["growing"], 5)
        self.assertLess(growth["shrinking"], 1 / 4)
        self.assertAlmostEqual(growth["moving left"], 1, delta=0.03)
        self.assertEqual(growth["standing still"], 1)

    def test_spins_and_circles_once_per_clip(self) -> None:
        circling = centres(silhouette(clip_of("circling"))) - 0.5
        angle = np.unwrap(np.arctan2(circling[:, 1], circling[:, 0]))
        self.assertAlmostEqual(angle[-1] - angle[0], 2 * np.pi * 15 / 16, delta=0.05)
        spinning = silhouette(clip_of("spinning", "square"))
        self.assertLess(np.abs(centres(spinning) - 0.5).max(), 0.01)
        self.assertGreater(np.mean(spinning[0] != spinning[2]), 0.02)
        self.assertLess(np.mean(spinning[0] != spinning[4]), 0.005, "a quarter turn of a square")

    def test_moves_the_camera(self) -> None:
        area = silhouette(clip_of("standing still", "circle", "zoom-in")).sum((1, 2))
        self.assertAlmostEqual(area[-1] / area[0], ZOOM**2, delta=0.3)
        place = centres(silhouette(clip_of("standing still", "circle", "pan-left")))
        np.testing.assert_allclose(place[-1] - place[0], (PAN, 0), atol=0.01)

    def test_draws_edges_without_steps(self) -> None:
        red = clip_of("standing still", "circle")[0, :, :, 0].astype(int)
        self.assertGreater(len(np.unique(red)), 20)
        filled = (silhouette(clip_of("standing still", "square"))[0]).sum() / SIZE**2
        self.assertAlmostEqual(filled, (2 * 0.8 * 0.2 - 4 / SIZE) ** 2, delta=0.006)

    def test_gives_the_same_data_for_any_number_of_workers(self) -> None:
        source = Source(seed=3, scenes=70, style="all")
        for one, other in zip(draw_all(source, 1), draw_all(source, 2), strict=True):
            np.testing.assert_array_equal(one[1], other[1])
            self.assertEqual(one[2], other[2])

    def test_keeps_the_held_out_combinations_out_of_training_but_no_pair_of_words(self) -> None:
        for i in range(500):
            scene, _ = scene_at(1, i)
            self.assertFalse(is_held_out(scene.colour, scene.shape, scene.motion))
            scene, _ = scene_at(1, i, held_out=True)
            self.assertTrue(is_held_out(scene.colour, scene.shape, scene.motion))
        seen = combinations(held_out=False)
        self.assertEqual(len({(c, s) for c, s, _ in seen}), len(COLOURS) * len(SHAPES))
        self.assertEqual(len({(c, m) for c, _, m in seen}), len(COLOURS) * len(MOTIONS))


class Captions(unittest.TestCase):
    def test_name_the_colour_of_the_scene_and_vary_the_rest(self) -> None:
        scene, generator = scene_at(1, 1)
        captions = {random_caption(scene, generator) for _ in range(100)}
        self.assertGreater(len(captions), 10)
        self.assertTrue(all(scene.colour in caption for caption in captions))
        orange = Scene("orange", "star", "moving left", "sea")
        self.assertEqual(canonical_caption(orange), "an orange star moving left over the sea")

    def test_are_tokenised_as_clip_does(self) -> None:
        ids = token_ids(["a cat", ""])
        self.assertEqual(ids[0, :5].tolist(), [49406, 320, 2368, 49407, 49407])
        self.assertEqual(ids[1].tolist(), [49406] + 76 * [49407])

"""Clips of a moving camera show scenery that begins at the same place."""

import sys
import unittest
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.drawing.motions import LATE  # noqa: E402
from demo.drawing.scene import SCENERY, in_scenery, scene_at  # noqa: E402


class SceneryTest(unittest.TestCase):
    def test_begins_at_the_same_place_but_for_a_little(self) -> None:
        scenes = [in_scenery(scene_at(1, i, camera="zoom-in")[0]) for i in range(200)]
        self.assertLessEqual(max(scene.shift for scene in scenes), LATE)
        self.assertGreater(len({scene.shift for scene in scenes}), 190)
        plain = sum(scene.background not in SCENERY for scene in scenes)
        self.assertTrue(0 < plain < 30, plain)
        self.assertEqual({scene.background for scene in scenes} & set(SCENERY), set(SCENERY))

    def test_changes_nothing_else(self) -> None:
        scene, _ = scene_at(1, 5, camera="pan-left")
        moved = in_scenery(scene)
        self.assertEqual(replace(moved, background=scene.background, shift=scene.shift), scene)


if __name__ == "__main__":
    unittest.main()

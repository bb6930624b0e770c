"""Draws the clips that the judge of the evaluation is tested with: python scripts/demo/draw_fixture.py

They go to test/fixtures/demo-clips as lossless animated WebP, with what they show in `truth.json`.
"""

import json
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.drawing.render import draw_clip  # noqa: E402
from demo.drawing.scene import Scene, scene_at  # noqa: E402

SEED = 991
FOLDER = Path(__file__).parents[2] / "test" / "fixtures" / "demo-clips"
CLIPS = {
    ("normal", "fixed"): 10,
    ("neon", "fixed"): 4,
    ("crayon", "fixed"): 4,
    ("normal", "zoom-in"): 2,
    ("normal", "pan-left"): 2,
}
SCENERY = ("night sky", "grass", "sea", "desert", "snow")
"""Where a move of the camera can be seen."""
NAMES = ("colour", "shape", "motion", "background", "style", "camera")


def truth(scene: Scene) -> dict[str, str]:
    return {name: getattr(scene, name) for name in NAMES}


def choose_scenes() -> list[Scene]:
    """Scenes in which everything that the judge can name occurs."""
    scenes = []
    for (style, camera), count in CLIPS.items():
        drawn = [scene_at(SEED, i, style, camera)[0] for i in range(400)]
        wanted = [scene for scene in drawn if camera == "fixed" or scene.background in SCENERY]
        seen: set[str] = set()
        for _ in range(count):
            # The scene that adds most to what this style has shown.
            best = max(wanted, key=lambda scene: len(set(truth(scene).values()) - seen))
            seen |= set(truth(best).values())
            scenes.append(best)
    return scenes


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    entries = []
    for i, scene in enumerate(choose_scenes()):
        first, *others = (Image.fromarray(frame) for frame in draw_clip(scene))
        name = f"{i:02}.webp"
        options = {"lossless": True, "quality": 40, "method": 2, "exact": True}
        first.save(FOLDER / name, save_all=True, append_images=others, duration=125, **options)
        entries.append({"file": name} | truth(scene))
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
    (FOLDER / "truth.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What a clip can show: the words of the data set, and the combinations that training never sees.

The first word of each list is the name that the evaluation uses; the others only vary the captions.
"""

from itertools import product

SHAPES: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "ball", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "moon": ("moon", "crescent"),
    "cross": ("cross", "plus sign"),
    "ring": ("ring", "hoop"),
}

COLOURS: tuple[str, ...] = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white")

BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "black": ("on a black background", "on black", "black background"),
    "gray": ("on a gray background", "on gray", "gray background"),
    "beige": ("on a beige background", "on beige", "beige background"),
    "night sky": ("in the night sky", "in a starry night sky", "night sky with stars"),
    "grass": ("over the grass", "on green grass", "grass in the background"),
    "sea": ("over the sea", "at the sea", "sea in the background"),
    "desert": ("in the desert", "over the sand of a desert", "desert in the background"),
    "snow": ("in the snow", "over a field of snow", "snow in the background"),
}

MOTIONS: dict[str, tuple[str, ...]] = {
    "moving left": ("moving left", "moving to the left", "sliding left", "going left"),
    "moving right": ("moving right", "moving to the right", "sliding right", "going right"),
    "moving up": ("moving up", "rising", "going up", "floating up"),
    "moving down": ("moving down", "falling", "going down", "sinking down"),
    "bouncing": ("bouncing", "bouncing up and down", "jumping"),
    "spinning": ("spinning", "spinning around", "rotating", "turning around"),
    "growing": ("growing", "getting bigger", "growing larger"),
    "shrinking": ("shrinking", "getting smaller", "becoming smaller"),
    "circling": ("circling", "moving in a circle", "orbiting", "going round in circles"),
    "standing still": ("standing still", "not moving", "resting"),
}

STYLES: tuple[str, ...] = ("normal", "neon", "crayon")
CAMERAS: tuple[str, ...] = ("fixed", "zoom-in", "pan-left")

ROUND_SHAPES = frozenset({"circle", "ring"})
"""Shapes that look the same at every angle; nobody could tell that they spin."""

HELD_OUT_MODULUS = 11


def is_drawable(shape: str, motion: str) -> bool:
    """Whether the motion of this shape can be seen."""
    return not (motion == "spinning" and shape in ROUND_SHAPES)


def is_held_out(colour: str, shape: str, motion: str) -> bool:
    """Whether this combination is kept for the evaluation: one in eleven.

    The rule is linear in the three places, so that every pair of two words still occurs in training.
    """
    place = (
        COLOURS.index(colour) + 3 * list(SHAPES).index(shape) + 5 * list(MOTIONS).index(motion)
    ) % HELD_OUT_MODULUS
    return place == 0


def combinations(held_out: bool) -> list[tuple[str, str, str]]:
    """All (colour, shape, motion) of the training set, or those that are held out of it."""
    return [
        (colour, shape, motion)
        for colour, shape, motion in product(COLOURS, SHAPES, MOTIONS)
        if is_drawable(shape, motion) and is_held_out(colour, shape, motion) == held_out
    ]

"""Writes the words of the captions for TypeScript: python scripts/demo/write_vocabulary.py [FILE]

The constants are read from the sources without importing them, so that this runs without numpy.
"""

import ast
import re
import sys
from pathlib import Path

DRAWING = Path(__file__).parent / "drawing"
TARGET = Path(__file__).parents[2] / "lib" / "demo" / "vocabulary.ts"

HEADER = """\
/**
 * The words of the demo model's captions. Written by scripts/demo/write_vocabulary.py; do not edit.
 * The first wording of each list is the plainest.
 */
"""


def constants(source: Path) -> dict[str, object]:
    """The module's assignments of literals."""
    values: dict[str, object] = {}
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            values[node.target.id] = ast.literal_eval(node.value)
    return values


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def array(words: list[str] | tuple[str, ...]) -> str:
    return f"[{', '.join(map(quoted, words))}]"


def table(name: str, summary: str, entries: dict[str, tuple[str, ...]]) -> str:
    """An object of the wordings by name, laid out as biome does it."""
    lines = [f"\n/** {summary} */", f"export const {name}: Readonly<Record<string, readonly string[]>> = {{"]
    for key, words in entries.items():
        property_name = key if key.isidentifier() else quoted(key)
        lines.append(f"  {property_name}: {array(words)},")
    return "\n".join([*lines, "};", ""])


def words_between(patterns: tuple[str, ...]) -> list[str]:
    """What the patterns say besides the words that are filled in, with the articles."""
    texts = (re.sub(r"\{\w+\}", " ", pattern) for pattern in patterns)
    return sorted({word for text in texts for word in re.findall(r"[a-z]+", text)} | {"a", "an"})


def vocabulary() -> str:
    """The TypeScript module."""
    names = constants(DRAWING / "names.py")
    patterns = constants(DRAWING / "captions.py")["PATTERNS"]
    return "".join(
        [
            HEADER,
            table("SHAPES", "Wordings of each shape.", names["SHAPES"]),
            table("COLOURS", "The colours, each with its only wording.", {c: (c,) for c in names["COLOURS"]}),
            table("MOTIONS", "Wordings of each motion.", names["MOTIONS"]),
            table("BACKGROUNDS", "Wordings of each background.", names["BACKGROUNDS"]),
            "\n/** Words that hold a caption together. */\n",
            f"export const JOINING_WORDS: readonly string[] = {array(words_between(patterns))};\n",
        ]
    )


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(vocabulary(), encoding="utf-8")

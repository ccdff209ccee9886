"""The image files that a file, a folder or a pattern names."""

import glob
from collections.abc import Sequence
from pathlib import Path

from cnnexp.data.image_file import format_of, image_extensions
from cnnexp.errors import CnnexpError


def find_images(images: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return image files, each once: files as they were named, folders and patterns sorted by path.

    Of a folder, at any depth, and of a pattern, those count that are images by extension or content and
    whose name doesn't begin with a dot. A file that is named itself counts whatever it is called.

    Args:
        images: a file, a folder, a pattern such as ``photos/**/*.jpg``, or several of them.

    Raises:
        CnnexpError: where one of them names no image.
    """
    found: dict[Path, None] = {}
    extensions = image_extensions()
    for entry in [images] if isinstance(images, (str, Path)) else images:
        path = Path(entry).expanduser()
        if path.is_file():
            found[path] = None
            continue
        if path.is_dir():
            inside = sorted(path.rglob("*"))
        else:
            inside = sorted(map(Path, glob.glob(str(path), recursive=True)))
        matched = [
            file
            for file in inside
            if not file.name.startswith(".")
            and file.is_file()
            and (file.suffix.lower() in extensions or format_of(file))
        ]
        if not matched:
            what = "has no images" if path.is_dir() else "matches no images" if inside else "is not there"
            raise CnnexpError(
                f"{entry} {what}; give an image file, a folder of them, or a quoted pattern: 'photos/*.jpg'"
            )
        found |= dict.fromkeys(matched)
    if not found:
        raise CnnexpError("no images were named; give an image file, a folder of them, or a quoted pattern")
    return list(found)

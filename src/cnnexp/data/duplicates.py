"""Byte-identical images in two parts, or in two classes, of a data set."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from cnnexp.errors import CnnexpError

Labelled = tuple[str, int, str]
"""An image's digest, its class and what it is called."""


def find_duplicates(parts: Mapping[str, Sequence[Labelled]]) -> tuple[str, dict[str, set[str]]]:
    """Return what to say of images that are in two parts or classes, and which are to leave which part.

    An image is to stay in the test if it is there, else in the validation; one that has two classes is to leave
    both training and validation.

    Args:
        parts: of train, val and test, each image.

    Returns:
        A sentence, "" where there is nothing to say, and of train and val the digests that are to leave it.
    """
    where: dict[str, dict[str, str]] = defaultdict(dict)
    classes: dict[str, dict[int, str]] = defaultdict(dict)
    for part, images in parts.items():
        for digest, label, name in images:
            where[digest].setdefault(part, name)
            classes[digest].setdefault(label, name)
    twice = {digest: list(names.values()) for digest, names in where.items() if len(names) > 1}
    unsure = {digest: list(names.values()) for digest, names in classes.items() if len(names) > 1}
    leave = {
        "train": {digest for digest in (*twice, *unsure) if "train" in where[digest]},
        "val": {
            digest for digest in where if "val" in where[digest] and (digest in unsure or "test" in where[digest])
        },
    }
    # what is in train and val alone stays in val
    told = [_told(twice, "two parts"), _told(unsure, "two classes")]
    return " and ".join(one for one in told if one), leave


def refuse(told: str) -> CnnexpError:
    """Return the error for identical images."""
    return CnnexpError(f"{told}; remove them, or type data.duplicates=drop to leave them out of training")


def _told(found: Mapping[str, Sequence[str]], where: str) -> str:
    if not found:
        return ""
    first = next(iter(found.values()))
    many = f"{len(found)} images are" if len(found) > 1 else "1 image is"
    return f"{many} in {where}, byte for byte ({first[0]} = {first[1]})"

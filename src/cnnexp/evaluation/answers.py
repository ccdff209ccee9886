"""Which validation images a run answered rightly: what networks are compared by, image by image."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnexp.errors import CnnexpError
from cnnexp.runs import read_json

FILE = "val_answers.json"
KEY = "answers"
"""Of a checkpoint: the same, of the weights in it."""
_KEYS = {"images", "count", "right"}


@dataclass(frozen=True)
class Answers:
    """What a network answered on its validation images.

    Args:
        images: a hash of the images and their labels, in order; only answers on the same can be compared.
        right: bool, shape (images,): whether each was answered rightly.
    """

    images: str
    right: np.ndarray

    def agrees(self, accuracy: float | None) -> bool:
        """Return whether the share of right answers is this accuracy, which another network's hardly is."""
        return accuracy is not None and abs(float(self.right.mean()) - accuracy) < 1e-6

    def packed(self) -> dict[str, Any]:
        """Return this as plain values: ``images``, ``count``, and ``right``, eight images a byte in Base64."""
        right = base64.b64encode(np.packbits(self.right).tobytes()).decode()
        return {"images": self.images, "count": len(self.right), "right": right}

    def text(self) -> str:
        """Return this as the content of a run's file, about 2 KB for 12,000 images."""
        return f"{json.dumps(self.packed())}\n"


def unpacked(content: Mapping[str, Any]) -> Answers:
    """Return what ``packed`` was of; raises CnnexpError for anything else, whoever wrote it."""
    images, count, right = (content.get(key) for key in ("images", "count", "right"))
    wrong = None
    if content.keys() != _KEYS:
        wrong = f"it has not {', '.join(sorted(_KEYS))} and nothing else"
    elif not (isinstance(images, str) and re.fullmatch(r"[0-9a-f]{1,128}", images)):
        wrong = "images is no hash"
    elif isinstance(count, bool) or not isinstance(count, int) or count < 1:
        wrong = "count is no number of images"
    elif not isinstance(right, str):
        wrong = "right is no text"
    if wrong is not None:
        raise CnnexpError(f"{FILE} is malformed: {wrong}")
    try:
        kept = np.frombuffer(base64.b64decode(str(right), validate=True), dtype=np.uint8)
    except (binascii.Error, ValueError):
        raise CnnexpError(f"{FILE} is malformed: right isn't Base64") from None
    if len(kept) != -(-int(count or 0) // 8):  # before a number of somebody's takes any memory
        raise CnnexpError(f"{FILE} is malformed: right isn't of {count} images")
    bits = np.unpackbits(kept).astype(bool)
    if bits[count:].any():
        raise CnnexpError(f"{FILE} is malformed: right is of more than {count} images")
    return Answers(str(images), bits[:count])


def read_answers(folder: Path) -> Answers | None:
    """Return what a run's folder says of its validation images; None where it says nothing, as older ones do.

    Raises:
        CnnexpError: for a malformed file.
    """
    content = read_json(folder / FILE)
    return None if content is None else unpacked(content)

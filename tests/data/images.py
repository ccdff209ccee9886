"""Images in memory, and folders of them."""

import itertools
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cnnexp.data.image_folder import list_images

CLASSES = ("cat", "dog", "owl")


def random_images(count: int, channels: int = 3, side: int = 8, last: bool = False) -> Tensor:
    """Images that are all different, channels last in memory or first."""
    generator = torch.Generator().manual_seed(count)
    if last:
        shape = (count, side, side, channels)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)


def images(folder: Path, count: int = 3, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        seed = abs(hash((str(folder), number))) % 2**32
        pixels = np.random.default_rng(seed).integers(0, 256, (5, 5), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def part(folder: Path, count: int = 3, classes: tuple[str, ...] = CLASSES) -> None:
    for name in classes:
        images(folder / name, count)


def counted(root: Path, **options: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes, and the number of images of each part that is there."""
    found = list_images(root, **options)  # type: ignore[arg-type]
    ends = (0, found.val_from, found.test_from, len(found.files))
    return found.class_names, dict(
        zip(("train", "val", "test"), (b - a for a, b in itertools.pairwise(ends)), strict=True)
    )

"""A data set as one uint8 tensor of images, its labels and its class names."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnexp.data import download
from cnnexp.data.image_cache import load_images
from cnnexp.data.image_folder import Listing, OnCorrupt, list_images
from cnnexp.data.split import hold_out_test
from cnnexp.data.statistics import value_counts
from cnnexp.errors import CnnexpError

DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "image_folder")
SHAPES = {
    "digits": ((1, 28, 28), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
}
"""(channels, height, width) and number of classes of what is always the same: known without reading it."""


@dataclass(frozen=True)
class Source:
    """A data set in memory (or memory-mapped).

    Args:
        train_images: uint8, shape (N, channels, height, width), channels last in memory or not.
        train_labels: int64, shape (N,).
        test_images: uint8, shape (M, channels, height, width).
        test_labels: int64, shape (M,).
        class_names: the name of label 0, 1, …
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]

    def train_counts(self, indices: Tensor) -> Tensor:
        """Return how often each value occurs in the chosen training images: int64, (channels, 256)."""
        left_out = torch.ones(len(self.train_labels), dtype=torch.bool)
        left_out[indices] = False
        rest = left_out.nonzero().flatten()
        if len(rest) > len(indices):
            return value_counts(self.train_images, indices)
        return self._all_train_counts - value_counts(self.train_images, rest)

    @cached_property
    def _all_train_counts(self) -> Tensor:
        # kept for the next job of a sweep, whose split may be another
        return value_counts(self.train_images)


def load_source(
    dataset: str,
    root: str | Path = "data",
    image_size: int = 32,
    on_corrupt: OnCorrupt = "error",
    num_workers: int = 0,
    mirrors: Sequence[str] | None = None,
) -> Source:
    """Return a data set, read once a process: a sweep's jobs share it, so don't write into its tensors.

    Args:
        dataset: one of ``DATASETS``.
        root: folder of the data; digits needs none.
        image_size: side of an image folder's images in pixels; the others have their own size.
        on_corrupt: what an image folder does about a file that can't be read.
        num_workers: threads that decode an image folder; 0 is one a core.
        mirrors: base URLs to try first where a data set is downloaded.

    Raises:
        CnnexpError: when the data isn't there, or isn't what it should be.
    """
    if dataset not in DATASETS:
        raise CnnexpError(f"there is no data set {dataset!r}; there are {', '.join(DATASETS)}")
    if dataset == "digits":
        return _digits()
    folder = Path(root).expanduser().absolute()
    if os.path.isfile(folder):
        raise CnnexpError(f"data.root={folder} is a file; give the folder that the data lies in")
    if dataset == "image_folder":
        return _image_folder(list_images(folder), image_size, on_corrupt, num_workers)
    return _downloaded(dataset, folder, tuple(mirrors or ()))


@lru_cache(maxsize=1)
def _digits() -> Source:
    from sklearn.datasets import load_digits

    data = load_digits()
    small = torch.from_numpy(data.images).float().mul_(255 / 16).unsqueeze(1)
    images = F.interpolate(small, (28, 28), mode="bilinear").round_().to(torch.uint8)
    names = tuple(str(name) for name in data.target_names)
    return _held_out(images, torch.from_numpy(data.target).long(), names)


# few, because each holds a data set; the listing in the key is what notices that a folder has changed
@lru_cache(maxsize=4)
def _image_folder(listing: Listing, image_size: int, on_corrupt: OnCorrupt, num_workers: int) -> Source:
    images, kept = load_images(listing, image_size, on_corrupt, num_workers)
    labels = torch.tensor(listing.labels)[kept]
    boundary = int((kept < listing.test_from).sum())
    for part in (labels[:boundary], labels[boundary:]):
        counts = torch.bincount(part, minlength=len(listing.class_names)).tolist()
        if 0 in counts:
            name = listing.class_names[counts.index(0)]
            raise CnnexpError(f"{listing.root}: no image of class {name} that trains or tests can be read")
    return Source(images[:boundary], labels[:boundary], images[boundary:], labels[boundary:], listing.class_names)


@lru_cache(maxsize=4)
def _downloaded(dataset: str, root: Path, mirrors: tuple[str, ...]) -> Source:
    train, test = download.load(dataset, root, mirrors)
    images, labels = zip(*(_tensors(part) for part in (train, test)), strict=True)
    # torchvision calls MNIST's classes "0 - zero" and so on
    names = tuple(name.split(" - ")[0] for name in train.classes)
    return Source(images[0], labels[0], images[1], labels[1], names)


def _tensors(part: download.Part) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W), as a view of what was read, and labels."""
    data = torch.as_tensor(part.data)
    images = data.unsqueeze(1) if data.dim() == 3 else data.permute(0, 3, 1, 2)
    return images, torch.as_tensor(part.targets, dtype=torch.int64)


def _held_out(images: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Source:
    train, test = hold_out_test(labels, class_names)
    return Source(images[train], labels[train], images[test], labels[test], class_names)

"""What a data set is here: one function from a folder to ``Images``, whoever wrote it."""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from cnnexp.data.statistics import value_counts
from cnnexp.errors import CnnexpError

DataSet: TypeAlias = Callable[..., "Images"]
KnownShape: TypeAlias = tuple[tuple[int, int, int], int]
"""(channels, height, width) of an image, and the number of classes."""
_Function = TypeVar("_Function", bound=Callable[..., Any])

SHIPPED = {
    "digits": "cnnexp.data.digits",
    **dict.fromkeys(
        ("mnist", "fashion_mnist", "cifar10", "cifar100", "torchvision"), "cnnexp.data.torchvision_sets"
    ),
    **dict.fromkeys(("image_folder", "csv"), "cnnexp.data.image_files"),
    "arrays": "cnnexp.data.arrays",
}
"""The functions that come with cnnexp, by the names that ``ImageDataModule`` knows them by, and where they are."""


@dataclass(frozen=True)
class Images:
    """A data set in memory, or memory-mapped; what a data set function returns.

    Images are uint8, of shape (N, channels, height, width) with 1 or 3 channels, channels last in memory or not;
    labels are int64 of shape (N,), each the place of its class in ``class_names``. Without a test part a
    stratified fifth of the training part, always the same, is held out for it. Without a validation part one is
    drawn from the training part by ``data.val_size``.

    Of image files, ``files`` has of train, val and test each file's path and the digest of its bytes; a split that
    is drawn from them is recorded with the run. ``levels`` is what images of more than 8 bits were scaled from.

    Raises:
        CnnexpError: where images or labels aren't that.
    """

    train_images: Tensor
    train_labels: Tensor
    class_names: Sequence[str]
    test_images: Tensor | None = None
    test_labels: Tensor | None = None
    val_images: Tensor | None = None
    val_labels: Tensor | None = None
    files: Mapping[str, Sequence[tuple[str, str]]] | None = None
    levels: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        shape = None
        for part in ("train", "val", "test"):
            images, labels = (getattr(self, f"{part}_{what}") for what in ("images", "labels"))
            if images is None and labels is None and part != "train":
                continue
            if images is None or labels is None:
                raise CnnexpError(f"the data set's {part} part needs images and labels, and has one of them")
            _check(part, images, labels, len(self.class_names))
            if shape is not None and images.shape[1:] != shape:
                raise CnnexpError(f"the data set's {part} images are {_times(images)}, its training images differ")
            shape = images.shape[1:]

    def part(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the images and labels of a part that is there: train, val or test."""
        return getattr(self, f"{name}_images"), getattr(self, f"{name}_labels")

    @cached_property
    def digests(self) -> dict[str, list[str]]:
        """Of train, val and test, a digest of each image: of its file's bytes, or else of its own."""
        if self.files is not None:
            return {part: [digest for _, digest in files] for part, files in self.files.items()}
        return {part: list(_digests(getattr(self, f"{part}_images"))) for part in ("train", "val", "test")}

    def fingerprint(self) -> str:
        """Return a hash of all images, labels and class names, whatever order the images are in."""
        whole = blake2b(json.dumps(list(self.class_names)).encode(), digest_size=16)
        for part, digests in self.digests.items():
            labels = getattr(self, f"{part}_labels")
            labels = [] if labels is None else labels.tolist()
            whole.update(part.encode())
            for digest, label in sorted(zip(digests, labels, strict=True)):
                whole.update(f"{digest} {label}\n".encode())
        return whole.hexdigest()

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


def known_shape(image_shape: tuple[int, int, int], classes: int) -> Callable[[_Function], _Function]:
    """Say beforehand what a data set function's images are: a network is then tried before they are read.

    Args:
        image_shape: (channels, height, width).
        classes: number of classes.
    """

    def carry(function: _Function) -> _Function:
        function.known_shape = (image_shape, classes)  # type: ignore[attr-defined]
        return function

    return carry


def find(dataset: str | DataSet) -> DataSet:
    """Return a data set function, by its name where it comes with cnnexp; raises CnnexpError for another name."""
    if not isinstance(dataset, str):
        return dataset
    if dataset not in SHIPPED:
        raise CnnexpError(f"there is no data set {dataset!r}; there are {', '.join(SHIPPED)}")
    return getattr(import_module(SHIPPED[dataset]), dataset)


def name_of(dataset: str | DataSet) -> str:
    """Return what a data set is called."""
    if isinstance(dataset, partial):
        dataset = dataset.func
    return dataset if isinstance(dataset, str) else getattr(dataset, "__name__", type(dataset).__name__)


def load(dataset: str | DataSet, root: str | Path = "data", **options: Any) -> Images:
    """Return a data set; those that come with cnnexp are read once a process, so don't write into their tensors.

    Args:
        dataset: the function, or a name in ``SHIPPED``.
        root: the folder, or the file, of the data.
        options: further arguments of the function.

    Raises:
        CnnexpError: when the data isn't there or isn't what it should be, or an option isn't the function's.
    """
    function = find(dataset)
    parameters = inspect.signature(function).parameters
    unknown = sorted(set(options) - set(parameters))
    if unknown and not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        takes = ", ".join(name for name in parameters if name != "root") or "nothing more"
        raise CnnexpError(f"{name_of(dataset)} takes no {unknown[0]}; beside root it takes {takes}")
    images = function(str(Path(root).expanduser().absolute()), **options)
    if not isinstance(images, Images):
        raise CnnexpError(f"{name_of(dataset)} returned a {type(images).__name__}, not a cnnexp.Images")
    return images


def _check(part: str, images: Tensor, labels: Tensor, classes: int) -> None:
    what = f"the data set's {part} images"
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        kind = str(images.dtype) if isinstance(images, Tensor) else type(images).__name__
        raise CnnexpError(f"{what} must be a torch tensor of uint8, 0 to 255; they are {kind}")
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise CnnexpError(f"{what} must be (N, 1 or 3 channels, height, width); they are {_times(images)}")
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        kind = f"{labels.dtype}, {_times(labels)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise CnnexpError(
            f"the {part} labels must be int64, one for each of {len(images)} images; they are {kind}"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise CnnexpError(
            f"the {part} labels must lie in 0 to {classes - 1}, as there are {classes} class names; "
            f"they lie in {int(labels.min())} to {int(labels.max())}"
        )


def _digests(images: Tensor | None) -> Iterator[str]:
    """Yield a digest of each image's bytes, in the order that they lie in memory."""
    if images is None:
        return
    stored = images if images.is_contiguous() else images.permute(0, 2, 3, 1)
    for some in stored.split(1024):
        for row in some.contiguous().flatten(1).numpy():
            yield blake2b(row, digest_size=16).hexdigest()


def _times(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape))

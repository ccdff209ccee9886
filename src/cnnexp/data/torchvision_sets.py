"""The classification data sets that torchvision knows."""

import difflib
import inspect
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnnexp.data import download
from cnnexp.data.arrays import as_images
from cnnexp.data.fetch import putting_into
from cnnexp.data.image_file import fitted, is_grey
from cnnexp.data.image_files import Side, Threads, folder, of_listing
from cnnexp.data.image_folder import OnCorrupt, list_files
from cnnexp.data.sets import Images, known_shape
from cnnexp.errors import CnnexpError, first_line

log = logging.getLogger(__name__)

OTHERS = (
    "Caltech101", "Caltech256", "Country211", "DTD", "EuroSAT", "FER2013", "FGVCAircraft", "Flowers102", "Food101",
    "GTSRB", "ImageNet", "Imagenette", "LFWPeople", "OxfordIIITPet", "RenderedSST2", "SEMEION", "StanfordCars",
    "SUN397",
)  # fmt: skip
"""Classification sets beside ``download.VERIFIED``; torchvision's other classes have no one label an image."""
_SPLITS = {"train": ("train", "trainval"), "val": ("val", "valid"), "test": ("test",)}
"""What torchvision's classes call each part."""
_FAILURES = (RuntimeError, OSError, ValueError)
"""What torchvision's classes raise where data are missing, or can't be had."""


@known_shape((1, 28, 28), 10)
def mnist(root: str, mirrors: list[str] | None = None) -> Images:
    """Return MNIST, downloaded into ``root`` where it is missing; ``mirrors``: base URLs to try first."""
    return _verified("mnist", folder(root), tuple(mirrors or ()))


@known_shape((1, 28, 28), 10)
def fashion_mnist(root: str, mirrors: list[str] | None = None) -> Images:
    """Return Fashion-MNIST, downloaded into ``root`` where it is missing; ``mirrors``: base URLs to try first."""
    return _verified("fashion_mnist", folder(root), tuple(mirrors or ()))


@known_shape((3, 32, 32), 10)
def cifar10(root: str, mirrors: list[str] | None = None) -> Images:
    """Return CIFAR-10, downloaded into ``root`` where it is missing; ``mirrors``: base URLs to try first."""
    return _verified("cifar10", folder(root), tuple(mirrors or ()))


@known_shape((3, 32, 32), 100)
def cifar100(root: str, mirrors: list[str] | None = None) -> Images:
    """Return CIFAR-100, downloaded into ``root`` where it is missing; ``mirrors``: base URLs to try first."""
    return _verified("cifar100", folder(root), tuple(mirrors or ()))


def torchvision(
    root: str,
    name: str,
    split: str | None = None,
    image_size: Side = 32,
    on_corrupt: OnCorrupt = "error",
    num_workers: Threads = 0,
    mirrors: list[str] | None = None,
) -> Images:
    """Return a classification data set by the name of torchvision's class, downloaded where it is missing.

    A validation part that comes with it is the validation part; classes without any image are left out. EMNIST's
    images, which lie on their side in its files, are turned upright.

    Args:
        root: folder that holds, or gets, torchvision's own layout.
        name: the class, such as KMNIST, SVHN or Flowers102.
        split: which of EMNIST's data sets: byclass, bymerge, balanced, letters, digits or mnist.
        image_size: side that photographs are resized and cropped to, in pixels; sets whose images all have one
            size keep it.
        on_corrupt: what to do about a photograph that can't be read.
        num_workers: threads that decode photographs; 0 is one a core.
        mirrors: base URLs to try first, for the sets in ``cnnexp.data.download.VERIFIED``.

    Raises:
        CnnexpError: for a name that isn't one of these, and when the data isn't there and can't be had.
    """
    known = (*download.VERIFIED, *OTHERS)
    if name not in known:
        near = difflib.get_close_matches(name.lower(), [one.lower() for one in known], n=3, cutoff=0.5)
        hint = [one for one in known if one.lower() in near] or known
        raise CnnexpError(
            f"data.name={name}: torchvision has no such classification set; "
            f"{'did you mean' if near else 'there are'} {', '.join(hint)}{'?' if near else ''}"
        )
    from torchvision import datasets

    splits = datasets.EMNIST.splits if name == "EMNIST" else ()
    if (split is not None or splits) and split not in splits:
        wanted = f"one of {', '.join(splits)}" if splits else "nothing: only EMNIST has several data sets"
        raise CnnexpError(f"data.split={split}: {name} takes {wanted}")
    if name in download.VERIFIED:
        return _verified(name, folder(root), tuple(mirrors or ()), split)
    return _own(name, folder(root), image_size, on_corrupt, num_workers)


# few, because each holds a data set
@lru_cache(maxsize=4)
def _verified(dataset: str, root: Path, mirrors: tuple[str, ...], split: str | None = None) -> Images:
    parts = download.load(dataset, root, mirrors, split)
    train, test = (as_images(part.data, dataset) for part in parts)
    if split is not None:
        train, test = train.transpose(2, 3), test.transpose(2, 3)
    labels, names = _classes([torch.as_tensor(part.targets, dtype=torch.int64) for part in parts], parts)
    return Images(train, labels[0], names, test, labels[1])


@lru_cache(maxsize=4)
def _own(name: str, root: Path, image_size: int, on_corrupt: OnCorrupt, num_workers: int) -> Images:
    """Return a data set that torchvision's class downloads and reads itself."""
    parts = _there_or_downloaded(name, root)
    read: dict[str, tuple[Any, Tensor]] = {
        part: _listed(one) or _decoded(one, image_size) for part, one in parts.items()
    }
    every, names = _classes([labels for _, labels in read.values()], parts.values())
    found = {part: (images, labels) for (part, (images, _)), labels in zip(read.items(), every, strict=True)}
    if isinstance(found["train"][0], list):
        files = {
            part: list(zip((os.path.relpath(path, root) for path in paths), labels.tolist(), strict=True))
            for part, (paths, labels) in found.items()
        }
        return of_listing(list_files(root, files, names, on_corrupt), image_size, on_corrupt, num_workers)
    channels = 1 if all(is_grey(images) for images, _ in found.values()) else 3
    tensors = {part: (as_images(images[..., :channels], name), labels) for part, (images, labels) in found.items()}
    nothing = (None, None)
    return Images(*tensors["train"], names, *tensors.get("test", nothing), *tensors.get("val", nothing))


def _there_or_downloaded(name: str, root: Path) -> dict[str, Any]:
    """Return torchvision's data sets, of each part that there is; downloaded whole, or not at all."""
    try:
        return _parts(name, root, False)
    except _FAILURES as error:
        missing = error
    from torchvision import datasets

    if "download" not in inspect.signature(getattr(datasets, name)).parameters:
        raise CnnexpError(f"{name} is not in {root}, and torchvision can't download it: {first_line(missing)}")
    temporary = root / f".{name}.part"
    try:
        with putting_into(root, root / f".{name}.lock"):
            with suppress(*_FAILURES):
                return _parts(name, root, False)  # another process had it downloaded meanwhile
            log.info("getting %s into %s", name, root)
            try:
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir()
                _parts(name, temporary, True)
                for entry in temporary.iterdir():
                    if (root / entry.name).exists():
                        raise CnnexpError(
                            f"{root / entry.name} is there, but isn't all of {name}; remove it and run again"
                        )
                    entry.rename(root / entry.name)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return _parts(name, root, False)
    except _FAILURES as error:
        raise CnnexpError(
            f"{name} is not in {root} and could not be downloaded ({first_line(error)}).\n"
            "Place it there as torchvision lays it out, or say where it lies with data.root=FOLDER; "
            "data=digits needs no download."
        ) from error


def _parts(name: str, root: Path, get: bool) -> dict[str, Any]:
    from torchvision import datasets

    cls = getattr(datasets, name)
    parameters = inspect.signature(cls).parameters
    options: dict[str, Any] = {"download": get} if "download" in parameters else {}
    if "split" not in parameters:
        return {"train": cls(str(root), **options)}
    found = {}
    for part, theirs in _SPLITS.items():
        for split in theirs:
            try:
                found[part] = cls(str(root), split=split, **options)
                break
            except ValueError as error:
                if "for argument split" not in str(error):
                    raise
    return found


def _listed(dataset: Any) -> tuple[list[str], Tensor] | None:
    """Return the images' paths and labels where torchvision's object keeps a list of them, else None."""
    pairs = getattr(dataset, "samples", None) or getattr(dataset, "_samples", None)
    for files, labels in (("_image_files", "_labels"), ("_images", "_labels"), ("data", "targets")):
        if not pairs and isinstance(getattr(dataset, files, None), list):
            pairs = list(zip(getattr(dataset, files), getattr(dataset, labels), strict=True))
    if not pairs or not isinstance(pairs[0][0], (str, Path)):
        return None
    return [str(path) for path, _ in pairs], torch.tensor([int(label) for _, label in pairs])


def _decoded(dataset: Any, side: int) -> tuple[np.ndarray, Tensor]:
    """Return the images (N, side, side, 3) and labels of a data set that opens each image itself."""
    images = np.empty((len(dataset), side, side, 3), np.uint8)
    labels = torch.empty(len(dataset), dtype=torch.int64)
    for number in range(len(dataset)):
        image, label = dataset[number]
        images[number], labels[number] = fitted(image, side, side), int(label)
    return images, labels


def _classes(labels: Sequence[Tensor], parts: Iterable[Any]) -> tuple[list[Tensor], tuple[str, ...]]:
    """Return labels and the classes' names, without the classes that have no image, as EMNIST's first letter.

    Args:
        labels: of each part, as torchvision numbers them.
        parts: what may have the names as ``classes``; they are numbers where none does.
    """
    there = torch.bincount(torch.cat(list(labels))) > 0
    names = [str(number) for number in range(len(there))]
    for part in parts:
        theirs = [one[0] if isinstance(one, tuple) else str(one) for one in getattr(part, "classes", None) or ()]
        if len(theirs) >= len(there):
            names = [name.split(" - ")[0] for name in theirs]  # MNIST's are called "0 - zero" and so on
            break
    kept = tuple(name for name, one in zip(names, there.tolist(), strict=False) if one)
    return [(there.cumsum(0) - 1)[each] for each in labels], kept

"""The classification data sets that torchvision knows."""

import difflib
import inspect
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from cnnexp.data import download
from cnnexp.data.arrays import as_images
from cnnexp.data.image_file import fitted
from cnnexp.data.image_files import Side, Threads, folder, list_files, of_listing
from cnnexp.data.image_folder import OnCorrupt
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
_Split = Mapping[str, Any]


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
    train, test = download.load(dataset, root, mirrors, split)
    images, labels = [], []
    for part in (train, test):
        read = as_images(part.data, dataset)
        images.append(read.transpose(2, 3) if split is not None else read)
        labels.append(torch.as_tensor(part.targets, dtype=torch.int64))
    labels, names = _without_empty(labels, _names([train], labels))
    return Images(images[0], labels[0], names, images[1], labels[1])


@lru_cache(maxsize=4)
def _own(name: str, root: Path, image_size: int, on_corrupt: OnCorrupt, num_workers: int) -> Images:
    """Return a data set that torchvision's class downloads and reads itself."""
    parts = _there_or_downloaded(name, root)
    listed = {part: _listed(one) for part, one in parts.items()}
    if all(samples is not None for samples in listed.values()):
        every = [torch.tensor([label for _, label in samples or ()]) for samples in listed.values()]
        every, names = _without_empty(every, _names(parts.values(), every))
        files = {
            part: [
                (os.path.relpath(path, root), label) for (path, _), label in zip(samples or (), new, strict=True)
            ]
            for (part, samples), new in zip(listed.items(), (labels.tolist() for labels in every), strict=True)
        }
        return of_listing(list_files(root, files, names), image_size, on_corrupt, num_workers)
    decoded = {part: _decoded(one, image_size) for part, one in parts.items()}
    grey = all(bool((images[..., :1] == images).all()) for images, _ in decoded.values())
    every, names = _without_empty(
        [labels for _, labels in decoded.values()],
        _names(parts.values(), [labels for _, labels in decoded.values()]),
    )
    tensors = {
        part: (as_images(images[..., :1] if grey else images, name), labels)
        for (part, (images, _)), labels in zip(decoded.items(), every, strict=True)
    }
    nothing = (None, None)
    return Images(*tensors["train"], names, *tensors.get("test", nothing), *tensors.get("val", nothing))


def _there_or_downloaded(name: str, root: Path) -> dict[str, Any]:
    """Return torchvision's data sets, of each part that there is; downloaded whole, or not at all."""
    try:
        return _parts(name, root, False)
    except (RuntimeError, OSError, ValueError) as error:
        missing = error
    from torchvision import datasets

    if "download" not in inspect.signature(getattr(datasets, name)).parameters:
        raise CnnexpError(f"{name} is not in {root}, and torchvision can't download it: {first_line(missing)}")
    temporary = root / f".{name}.part"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            try:
                return _parts(name, root, False)  # another process had it downloaded meanwhile
            except (RuntimeError, OSError, ValueError):
                pass
            log.info("getting %s into %s", name, root)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            _parts(name, temporary, True)
            for entry in temporary.iterdir():
                if (root / entry.name).exists():
                    raise CnnexpError(
                        f"{root / entry.name} is there, but isn't all of {name}; remove it and run again"
                    )
                entry.rename(root / entry.name)
        return _parts(name, root, False)
    except (RuntimeError, OSError, URLError, ValueError) as error:
        raise CnnexpError(
            f"{name} is not in {root} and could not be downloaded ({first_line(error)}).\n"
            "Place it there as torchvision lays it out, or say where it lies with data.root=FOLDER; "
            "data=digits needs no download."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def _listed(dataset: Any) -> list[tuple[str, int]] | None:
    """Return the path and label of each image where torchvision's object keeps a list of them, else None."""
    for name in ("samples", "_samples"):
        if samples := getattr(dataset, name, None):
            return [(str(path), int(label)) for path, label in samples] if _is_path(samples[0][0]) else None
    for name, labels in (("_image_files", "_labels"), ("_images", "_labels"), ("data", "targets")):
        files = getattr(dataset, name, None)
        if isinstance(files, list) and files and _is_path(files[0]):
            return [(str(file), int(label)) for file, label in zip(files, getattr(dataset, labels), strict=True)]
    return None


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, Path))


def _decoded(dataset: Any, side: int) -> tuple[np.ndarray, Tensor]:
    """Return the images (N, side, side, 3) and labels of a data set that opens each image itself."""
    images = np.empty((len(dataset), side, side, 3), np.uint8)
    labels = torch.empty(len(dataset), dtype=torch.int64)
    for number in range(len(dataset)):
        image, label = dataset[number]
        images[number], labels[number] = fitted(image, side, side), int(label)
    return images, labels


def _names(parts: Any, labels: Sequence[Tensor]) -> list[str]:
    """Return the classes' names, their numbers where torchvision has none."""
    count = 1 + max(int(each.max()) for each in labels if len(each))
    for part in parts:
        names = [
            name[0] if isinstance(name, tuple) else str(name) for name in getattr(part, "classes", None) or ()
        ]
        if len(names) >= count:
            return [name.split(" - ")[0] for name in names]  # MNIST's are called "0 - zero" and so on
    return [str(number) for number in range(count)]


def _without_empty(labels: Sequence[Tensor], names: Sequence[str]) -> tuple[list[Tensor], tuple[str, ...]]:
    """Leave out the classes that have no image: EMNIST's letters begin with one."""
    there = torch.bincount(torch.cat(list(labels)), minlength=len(names)) > 0
    new = there.cumsum(0) - 1
    return [new[each] for each in labels], tuple(
        name for name, one in zip(names, there.tolist(), strict=True) if one
    )

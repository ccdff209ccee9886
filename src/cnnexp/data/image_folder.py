"""A folder of images, one folder a class, as one array: listed, and decoded once."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Literal, TypeAlias

import torch

from cnnexp.data.image_file import image_extensions
from cnnexp.data.split import hold_out_test
from cnnexp.errors import CnnexpError

OnCorrupt: TypeAlias = Literal["error", "skip"]

SPLITS = ("train", "val", "test")
LAYOUT = "train/<class>/… and test/<class>/…, or one folder a class"


@dataclass(frozen=True)
class Listing:
    """What is in an image folder; equal listings mean that no file was added, removed or changed.

    Args:
        root: the folder.
        files: path relative to the root, size in bytes and time of change in nanoseconds; the training
            images, then the validation images where there are some of its own, then the test images.
        labels: class of each file.
        test_from: number of the first test image.
        class_names: the name of each label.
        val_from: number of the first validation image, ``test_from`` where there are none.
    """

    root: Path
    files: tuple[tuple[str, int, int], ...]
    labels: tuple[int, ...]
    test_from: int
    class_names: tuple[str, ...]
    val_from: int


def list_images(root: Path) -> Listing:
    """List a folder laid out as ``train/<class>/…`` and ``test/<class>/…``, or as one folder a class.

    In the second case a stratified fifth, always the same, is the test set. Files and folders whose names
    begin with a dot, and files that have no image's extension, are left out.

    Raises:
        CnnexpError: when the folder is missing, can't be read or is laid out in another way.
    """
    try:
        return _list_images(root)
    except OSError as error:
        raise CnnexpError(f"can't read the folder data.root={root}: {error.strerror}, {error.filename}") from None


def _list_images(root: Path) -> Listing:
    if not root.is_dir():
        raise CnnexpError(f"there is no folder {root}; data.root=DIR names one with {LAYOUT}")
    folders = set(_subfolders(root))
    if {"train", "test"} <= folders:
        train, test = _list_classes(root, "train"), _list_classes(root, "test")
        if train[0] != test[0]:
            odd = sorted(set(train[0]) ^ set(test[0]))
            raise CnnexpError(
                f"{root}: the class folders of train/ and test/ differ: {', '.join(odd)} "
                f"{'is' if len(odd) == 1 else 'are'} in only one of them; both need the same"
            )
        return list_files(root, {"train": train[1], "test": test[1]}, train[0])
    if "train" in folders and _subfolders(root / "train"):
        beside = sorted(folders - {"train"})
        raise CnnexpError(
            f"{root} has train/ but no test/{f' (there is {beside[0]}/)' if beside else ''}: add test/<class>/… "
            f"or, to have a fifth held out for the test, type data.root={root / 'train'}"
        )
    names, samples = _list_classes(root, "")
    held_out = hold_out_test(torch.tensor([label for _, label in samples]), names)
    parts = zip(("train", "test"), held_out, strict=True)
    return list_files(root, {part: [samples[i] for i in indices.tolist()] for part, indices in parts}, names)


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _list_classes(root: Path, part: str) -> tuple[list[str], list[tuple[str, int]]]:
    """Class names, and each image's path relative to the root and label, of a folder of class folders."""
    folder = root / part
    names = _subfolders(folder)
    if len(names) < 2:
        there = f"one, {names[0]}" if names else "none"
        raise CnnexpError(
            f"{folder} needs a folder for each of at least 2 classes, and has {there}; expected {LAYOUT}"
        )
    extensions = image_extensions()
    samples: list[tuple[str, int]] = []
    for label, name in enumerate(names):
        found = _files_under(str(folder / name), extensions)
        if not found:
            raise CnnexpError(
                f"the class folder {folder / name} has no images; put some there or remove the folder"
            )
        samples += [(path[len(os.path.join(root, "")) :], label) for path in found]
    return names, samples


def _files_under(folder: str, extensions: frozenset[str]) -> list[str]:
    """Paths of the images in a folder and those below it, sorted; each folder once, wherever links lead."""
    found: list[str] = []
    seen: set[str] = set()

    def give_up(error: OSError) -> None:
        raise error  # otherwise os.walk would leave out in silence what it can't read

    # strings, not Paths: this runs over every file, for each job of a sweep
    for here, folders, names in os.walk(folder, onerror=give_up, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in extensions:
                found.append(os.path.join(here, name))
    return sorted(found)


def list_files(root: Path, parts: dict[str, list[tuple[str, int]]], class_names: Sequence[str]) -> Listing:
    """Return a listing of files.

    Args:
        root: the folder that their paths are relative to.
        parts: of train, val and test, each file's path and label.
        class_names: the name of each label.

    Raises:
        OSError: for a file that isn't there.
        CnnexpError: for what isn't a file.
    """
    ordered = [sample for part in SPLITS for sample in parts.get(part, [])]
    val_from = len(parts["train"])
    test_from = val_from + len(parts.get("val", []))
    files = tuple(_with_stat(root, [path for path, _ in ordered]))
    return Listing(root, files, tuple(label for _, label in ordered), test_from, tuple(class_names), val_from)


def _with_stat(root: Path, files: list[str]) -> Iterator[tuple[str, int, int]]:
    for file in files:
        stat = os.stat(os.path.join(root, file))
        if not S_ISREG(stat.st_mode):  # a pipe, for example, which would be waited on for ever
            raise CnnexpError(f"{root / file} is no regular file; remove it")
        yield file, stat.st_size, stat.st_mtime_ns

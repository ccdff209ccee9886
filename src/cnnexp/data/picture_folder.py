"""A folder of pictures, one folder a class, as one array: listed, and decoded once."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from cnnexp.data.split import hold_out_test
from cnnexp.errors import CnnexpError

OnCorrupt: TypeAlias = Literal["error", "skip"]

LAYOUT = "train/<class>/… and test/<class>/…, or one folder a class"


@dataclass(frozen=True)
class Listing:
    """What is in a picture folder; equal listings mean that no file was added, removed or changed.

    Args:
        root: the folder.
        files: path relative to the root, size in bytes and time of change in nanoseconds; the training
            pictures, then the test pictures.
        labels: class of each file.
        test_from: number of training pictures.
        class_names: the folders' names, sorted.
    """

    root: Path
    files: tuple[tuple[str, int, int], ...]
    labels: tuple[int, ...]
    test_from: int
    class_names: tuple[str, ...]


def list_pictures(root: Path) -> Listing:
    """List a folder laid out as ``train/<class>/…`` and ``test/<class>/…``, or as one folder a class.

    In the second case a stratified fifth, always the same, is the test set. Files and folders whose names
    begin with a dot, and files that have no picture's extension, are left out.

    Raises:
        CnnexpError: when the folder is missing or laid out in another way.
    """
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
        files, labels, test_from = train[1] + test[1], train[2] + test[2], len(train[1])
        names = train[0]
    elif "train" in folders and _subfolders(root / "train"):
        beside = sorted(folders - {"train"})
        raise CnnexpError(
            f"{root} has train/ but no test/{f' (there is {beside[0]}/)' if beside else ''}: add test/<class>/… "
            f"or, to have a fifth held out for the test, type data.root={root / 'train'}"
        )
    else:
        names, files, labels = _list_classes(root, "")
        held_out = hold_out_test(torch.tensor(labels), names)
        order = torch.cat(held_out).tolist()
        files, labels = [files[i] for i in order], [labels[i] for i in order]
        test_from = len(held_out[0])
    return Listing(root, tuple(_with_stat(root, files)), tuple(labels), test_from, tuple(names))


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _list_classes(root: Path, part: str) -> tuple[list[str], list[str], list[int]]:
    """Class names, paths relative to the root, and labels of a folder of class folders."""
    from PIL import Image
    from torchvision.datasets import DatasetFolder

    folder = root / part
    names = _subfolders(folder)
    if len(names) < 2:
        found = f"one, {names[0]}" if names else "none"
        raise CnnexpError(
            f"{folder} needs a folder for each of at least 2 classes, and has {found}; expected {LAYOUT}"
        )
    extensions = {ext for ext, name in Image.registered_extensions().items() if name in Image.OPEN}

    # strings, not Paths: this runs over every file, for each job of a sweep
    def is_picture(path: str) -> bool:
        name = os.path.basename(path)
        return os.path.splitext(name)[1].lower() in extensions and not name.startswith(".")

    samples = DatasetFolder.make_dataset(
        str(folder), {name: label for label, name in enumerate(names)}, None, is_picture, allow_empty=True
    )
    files, labels = [path[len(str(root)) + 1 :] for path, _ in samples], [label for _, label in samples]
    for label in sorted(set(range(len(names))) - set(labels)):
        raise CnnexpError(
            f"the class folder {folder / names[label]} has no pictures; put some there or remove the folder"
        )
    return names, files, labels


def _with_stat(root: Path, files: list[str]) -> Iterator[tuple[str, int, int]]:
    for file in files:
        stat = os.stat(os.path.join(root, file))
        yield file, stat.st_size, stat.st_mtime_ns

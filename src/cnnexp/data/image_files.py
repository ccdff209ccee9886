"""Image files of one's own as a data set: one folder a class, or a table of paths and labels."""

import csv as table
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, TypeAlias

import torch
from annotated_types import Interval

from cnnexp.data.image_cache import load_images
from cnnexp.data.image_folder import SPLITS, Listing, OnCorrupt, list_files, list_images, printable
from cnnexp.data.sets import Images
from cnnexp.errors import CnnexpError

Side: TypeAlias = Annotated[int, Interval(ge=1, le=4096)]
Threads: TypeAlias = Annotated[int, Interval(ge=0, le=1024)]

_HEADER = "path,label or path,label,split"


def image_folder(
    root: str, image_size: Side = 32, on_corrupt: OnCorrupt = "error", num_workers: Threads = 0
) -> Images:
    """Return the images of a folder with ``train/<class>/…`` and ``test/<class>/…``, or one folder a class.

    Args:
        root: the folder.
        image_size: side that images are resized and cropped to, in pixels.
        on_corrupt: what to do about a file that can't be read.
        num_workers: threads that decode; 0 is one a core.

    Raises:
        CnnexpError: when the folder isn't laid out so, or a file can't be read.
    """
    return of_listing(list_images(folder(root), on_corrupt), image_size, on_corrupt, num_workers)


def csv(root: str, image_size: Side = 32, on_corrupt: OnCorrupt = "error", num_workers: Threads = 0) -> Images:
    """Return the images that a CSV file lists, with the header ``path,label`` or ``path,label,split``.

    Paths are relative to the file's folder, labels are the classes' names, a split is ``train``, ``val`` or
    ``test``; without any ``test`` (or ``val``) that part is drawn from the others.

    Args:
        root: the CSV file.
        image_size: side that images are resized and cropped to, in pixels.
        on_corrupt: what to do about a file that can't be read.
        num_workers: threads that decode; 0 is one a core.

    Raises:
        CnnexpError: when the table isn't that, or a file is missing or can't be read.
    """
    return of_listing(_list_table(Path(root), on_corrupt), image_size, on_corrupt, num_workers)


def made_up_shape(image_size: int = 32) -> tuple[tuple[int, int, int], int]:
    """Return the shape to try a network on before anything is read: the side is known, the rest made up."""
    return (3, image_size, image_size), 2


image_folder.made_up_shape = csv.made_up_shape = made_up_shape  # type: ignore[attr-defined]


# few, because each holds a data set; the listing in the key is what notices that a file has changed
@lru_cache(maxsize=4)
def of_listing(listing: Listing, image_size: int, on_corrupt: OnCorrupt, num_workers: int) -> Images:
    """Return the images of listed files, decoded now or earlier; raises CnnexpError where a class has none."""
    images, kept, levels = load_images(listing, image_size, on_corrupt, num_workers)
    labels = torch.tensor(listing.labels)[kept]
    files = [(listing.files[number], listing.digests[number]) for number in kept.tolist()]
    ends = [int((kept < end).sum()) for end in (listing.val_from, listing.test_from, len(listing.files))]
    parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    for part in (parts[0], parts[2]):
        counts = torch.bincount(labels[part], minlength=len(listing.class_names)).tolist()
        if 0 in counts and (part == parts[0] or listing.test_from < len(listing.files)):
            name = listing.class_names[counts.index(0)]
            kind = "training" if part == parts[0] else "test"
            raise CnnexpError(
                f"{listing.root}: no {kind} image of class {name} can be read; "
                "mend them, or remove the class's folder in each part"
            )
    val, test = ((images[part], labels[part]) if labels[part].numel() else (None, None) for part in parts[1:])
    return Images(
        images[parts[0]], labels[parts[0]], listing.class_names, test[0], test[1], val[0], val[1],
        files={name: tuple(files[part]) for name, part in zip(SPLITS, parts, strict=True)}, levels=levels,
    )  # fmt: skip


def folder(root: str | Path) -> Path:
    """Return the path of the folder that data lie in; raises CnnexpError for a file."""
    if Path(root).is_file():
        packed = Path(root).suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
        what = "is an archive; unpack it, and" if packed else "is a file;"
        raise CnnexpError(f"data.root={root} {what} give the folder that the data lies in")
    return Path(root)


def _list_table(path: Path, on_corrupt: OnCorrupt) -> Listing:
    rows = _read_table(path)
    found = {label for _, label, _ in rows}
    # numbers in their own order: 2 before 10
    order: Callable[[str], tuple[int, str]] = lambda name: (int(name), "") if numbers else (0, name)  # noqa: E731
    numbers = all(name.isdecimal() for name in found)
    names = tuple(sorted(found, key=order))
    if len(names) < 2:
        raise CnnexpError(f"{path} has {len(names)} class(es); a classification needs at least 2")
    labels = {name: number for number, name in enumerate(names)}
    parts: dict[str, list[tuple[str, int]]] = {part: [] for part in SPLITS}
    for file, label, part in rows:
        parts[part].append((file, labels[label]))
    if not parts["train"]:
        raise CnnexpError(f"{path} has no row whose split is train")
    return list_files(path.parent, parts, names, on_corrupt)


def _read_table(path: Path) -> list[tuple[str, str, str]]:
    """Return (path, label, split) of each row."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "isn't there"
        raise CnnexpError(f"data.root={path} {what}; data=csv takes a CSV file with the header {_HEADER}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = table.DictReader(file, skipinitialspace=True)
            header = [name.strip() for name in lines.fieldnames or ()]
            if header not in (["path", "label"], ["path", "label", "split"]):
                raise CnnexpError(f"{path} begins with {','.join(header)!r}; the header must be {_HEADER}")
            lines.fieldnames = header
            rows = []
            for line in lines:
                file_path, label, part = ((line.get(key) or "").strip() for key in ("path", "label", "split"))
                if not file_path or not label or None in line or part not in (*SPLITS, ""):
                    raise CnnexpError(
                        f"{path}, line {lines.line_num}: {','.join(map(str, line.values()))!r} isn't {_HEADER}"
                        + (f" with a split of {', '.join(SPLITS)}" if "split" in header else "")
                    )
                rows.append((file_path, printable(label), part or "train"))
            return rows
    except (OSError, UnicodeDecodeError, table.Error) as error:
        raise CnnexpError(f"{path} can't be read as a CSV file: {error}") from None

"""The data sets that torchvision knows, fetched once, by one process at a time, and verified."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from cnnexp.data.fetch import Unavailable, fetch, unpack_gzip, unpack_tar
from cnnexp.errors import CnnexpError

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10, MNIST

    Downloadable = type[MNIST] | type[CIFAR10]

log = logging.getLogger(__name__)

CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
"""torchvision's class for each data set: it says where the files are and what sums they have."""


@dataclass(frozen=True)
class Part:
    """The training or the test part of a data set.

    Args:
        data: uint8, an array or a tensor of shape (N, height, width) or (N, height, width, 3).
        targets: N labels.
        classes: the name of label 0, 1, …
    """

    data: Any
    targets: Any
    classes: Sequence[str]


def load(
    dataset: str, root: str | Path, mirrors: Sequence[str] | None = None, timeout: float = 30.0, pause: float = 1.0
) -> tuple[Part, Part]:
    """Return the (training, test) parts of a data set, downloaded first where they are missing.

    Where the data is there already nothing is written, so ``root`` may be read-only.

    Args:
        dataset: one of ``CLASSES``.
        root: folder that holds, or gets, torchvision's own layout.
        mirrors: base URLs that are tried before torchvision's own.
        timeout: as ``cnnexp.data.fetch.fetch`` has it.
        pause: the same.

    Raises:
        CnnexpError: when the data isn't there and can't be had, or is damaged.
    """
    from torchvision import datasets

    cls = getattr(datasets, CLASSES[dataset])
    root = Path(root).expanduser().absolute()
    bases = [f"{base.rstrip('/')}/" for base in (*(mirrors or ()), *_own_places(cls))]
    read, get = (_read_idx, _get_idx) if _is_idx(cls) else (_read_pickled, _get_pickled)

    def get_file(target: Path, md5: str) -> None:
        fetch([base + target.name for base in bases], target, md5, timeout, pause)

    try:
        if (loaded := read(cls, root)) is not None:
            return loaded
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{dataset}.lock"):
            if (loaded := read(cls, root)) is None:
                log.info("getting %s into %s", dataset, root)
                get(cls, root, get_file)
                loaded = read(cls, root)
    except (OSError, Unavailable) as error:
        raise _missing(dataset, cls, root, bases, error) from error
    if loaded is None:
        raise CnnexpError(f"{dataset} in {root} was changed while it was being read; run again")
    return loaded


def _is_idx(cls: "Downloadable") -> bool:
    return hasattr(cls, "resources")


def _own_places(cls: "Downloadable") -> list[str]:
    return list(cls.mirrors) if _is_idx(cls) else [cls.url.rpartition("/")[0]]


# MNIST and Fashion-MNIST: four gzipped IDX files, whose sums are published for the archives only


def _idx_archives(cls: "Downloadable", root: Path) -> list[tuple[Path, str]]:
    return [(root / cls.__name__ / "raw" / name, md5) for name, md5 in cls.resources]


def _read_idx(cls: "Downloadable", root: Path) -> tuple[Part, Part] | None:
    """Both parts, None where a file is missing; not by the class, which would prefer an old format's pickles."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    files = [archive.with_suffix("") for archive, _ in _idx_archives(cls, root)]
    if not all(file.exists() for file in files):
        return None
    tensors = []
    for file in files:
        read = read_image_file if "images" in file.name else read_label_file
        try:
            tensors.append(read(str(file)))
        except OSError:
            raise
        # asserts, KeyErrors and nearly anything else, for a file in another format
        except Exception:
            raise _damaged(file, "isn't a whole IDX file") from None
    parts = []
    for number in (0, 2):
        images, labels = tensors[number : number + 2]
        if len(images) != len(labels):
            raise _damaged(files[number + 1], f"has {len(labels)} labels for {len(images)} images")
        if len(labels) == 0 or int(labels.max()) >= len(cls.classes):
            raise _damaged(files[number + 1], f"isn't labels of {len(cls.classes)} classes")
        parts.append(Part(images, labels, cls.classes))
    return parts[0], parts[1]


def _get_idx(cls: "Downloadable", root: Path, get_file: Callable[[Path, str], None]) -> None:
    for archive, md5 in _idx_archives(cls, root):
        target = archive.with_suffix("")
        if not target.exists():
            archive.parent.mkdir(parents=True, exist_ok=True)
            if not _is_there(archive, md5):
                get_file(archive, md5)
            unpack_gzip(archive, target)


# CIFAR: one archive of pickled batches, with a sum for each


def _read_pickled(cls: "Downloadable", root: Path) -> tuple[Part, Part] | None:
    """Both parts, None where a file is missing or another: torchvision opens no pickle whose sum is wrong."""
    try:
        train, test = cls(str(root), train=True), cls(str(root), train=False)
    except RuntimeError:
        return None
    return Part(train.data, train.targets, train.classes), Part(test.data, test.targets, test.classes)


def _get_pickled(cls: "Downloadable", root: Path, get_file: Callable[[Path, str], None]) -> None:
    archive = root / cls.filename
    if not _is_there(archive, cls.tgz_md5):
        get_file(archive, cls.tgz_md5)
    listed = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
    unpack_tar(archive, root, {f"{cls.base_folder}/{name}": md5 for name, md5 in listed})


# messages


def _is_there(archive: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    return check_integrity(archive, md5)


def _damaged(file: Path, what: str) -> CnnexpError:
    return CnnexpError(
        f"{file} {what}.\nDelete it and run again to have it downloaded; data=digits needs no download."
    )


def _missing(dataset: str, cls: "Downloadable", root: Path, bases: Sequence[str], why: Exception) -> CnnexpError:
    if _is_idx(cls):
        folder, archives = root / cls.__name__ / "raw", _idx_archives(cls, root)
    else:
        folder, archives = root, [(root / cls.filename, cls.tgz_md5)]
    if isinstance(why, OSError):
        return CnnexpError(
            f"{dataset} can't be read from {root} or put there: {why.strerror or why}"
            f"{f', {why.filename}' if why.filename else ''}.\n"
            "Say where it lies, or may be put, with data.root=FOLDER; data=digits needs no download."
        )
    files = [
        archive.name
        for archive, md5 in archives
        if not (_is_idx(cls) and archive.with_suffix("").exists()) and not _is_there(archive, md5)
    ]
    return CnnexpError(
        f"{dataset} is not in {root} and could not be downloaded ({why}).\n"
        f"Place {', '.join(files)} from {' or '.join(bases)} in the folder {folder}, "
        "or say where it lies with data.root=FOLDER; data=digits needs no download."
    )

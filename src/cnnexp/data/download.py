"""The data sets that torchvision publishes sums of, fetched once, by one process at a time, and verified."""

import gzip
import inspect
import logging
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from cnnexp.data.fetch import Unavailable, fetch, unpack_gzip, unpack_tar, whole
from cnnexp.errors import CnnexpError

log = logging.getLogger(__name__)

CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
"""torchvision's class for each of our names: it says where the files are and what sums they have."""
VERIFIED = (*CLASSES.values(), "KMNIST", "QMNIST", "EMNIST", "SVHN", "USPS", "STL10")
"""The classes that ``load`` takes."""


@dataclass(frozen=True)
class Part:
    """The training or the test part of a data set.

    Args:
        data: uint8, an array or a tensor of N images, with or without channels.
        targets: N labels.
        classes: the name of label 0, 1, …; None where torchvision has none.
    """

    data: Any
    targets: Any
    classes: Sequence[str] | None


@dataclass(frozen=True)
class _Source:
    """A class of torchvision's, the folder of its data, and the split where it has several data sets (EMNIST)."""

    cls: Any
    root: Path
    split: str | None

    @property
    def is_idx(self) -> bool:
        return hasattr(self.cls, "resources") or self.split is not None

    @property
    def raw(self) -> Path:
        return self.root / self.cls.__name__ / "raw" if self.is_idx else self.root

    @property
    def archives(self) -> list[tuple[Path, str]]:
        """Where the files that are downloaded lie, and their MD5 sums."""
        cls = self.cls
        if self.split is not None:
            listed = [(cls.url, cls.md5)]
        elif self.is_idx:
            listed = (
                [*cls.resources["train"], *cls.resources["test"]] if _is_dict(cls.resources) else cls.resources
            )
        elif hasattr(cls, "split_list"):
            listed = [cls.split_list[part][1:] for part in ("train", "test")]
        else:
            listed = [(cls.filename, cls.tgz_md5)]
        return [(self.raw / name.rpartition("/")[2], md5) for name, md5 in listed]

    @property
    def places(self) -> list[str]:
        """The base URLs that torchvision knows."""
        cls = self.cls
        if hasattr(cls, "mirrors") and not _is_dict(cls.resources) and self.split is None:
            return list(cls.mirrors)
        if hasattr(cls, "split_list"):
            return [cls.split_list["train"][0].rpartition("/")[0]]
        url = cls.resources["train"][0][0] if hasattr(cls, "resources") and self.split is None else cls.url
        return [url.rpartition("/")[0]]

    @property
    def idx_files(self) -> list[Path]:
        """Images and labels that train, images and labels that test, unpacked."""
        if self.split is None:
            return [archive.with_suffix("") for archive, _ in self.archives]
        kinds = ("images-idx3", "labels-idx1")
        return [
            self.raw / f"emnist-{self.split}-{part}-{kind}-ubyte" for part in ("train", "test") for kind in kinds
        ]


def _is_dict(resources: Any) -> bool:
    return isinstance(resources, dict)


def load(
    dataset: str,
    root: str | Path,
    mirrors: Sequence[str] | None = None,
    split: str | None = None,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> tuple[Part, Part]:
    """Return the (training, test) parts of a data set, downloaded first where they are missing.

    Where the data is there already nothing is written, so ``root`` may be read-only.

    Args:
        dataset: a name in ``CLASSES``, or torchvision's own in ``VERIFIED``.
        root: folder that holds, or gets, torchvision's own layout.
        mirrors: base URLs that are tried before torchvision's own.
        split: which of EMNIST's data sets; None for others.
        timeout: as ``cnnexp.data.fetch.fetch`` has it.
        pause: the same.

    Raises:
        CnnexpError: when the data isn't there and can't be had, or is damaged.
    """
    from torchvision import datasets

    root = Path(root).expanduser().absolute()
    source = _Source(getattr(datasets, CLASSES.get(dataset, dataset)), root, split)
    bases = [f"{base.rstrip('/')}/" for base in (*(mirrors or ()), *source.places)]
    read, get = (_read_idx, _get_idx) if source.is_idx else (_read_by_class, _get_for_class)

    def get_file(target: Path, md5: str) -> None:
        if not _is_there(target, md5):
            target.parent.mkdir(parents=True, exist_ok=True)
            fetch([base + target.name for base in bases], target, md5, timeout, pause)

    try:
        if (loaded := read(source)) is not None:
            return loaded
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{dataset}.lock"):
            if (loaded := read(source)) is None:
                log.info("getting %s into %s", dataset, root)
                get(source, get_file)
                loaded = read(source)
    except (OSError, Unavailable) as error:
        raise _missing(dataset, source, bases, error) from error
    if loaded is None:
        raise CnnexpError(f"{dataset} in {root} was changed while it was being read; run again")
    return loaded


# MNIST and its kin: gzipped IDX files, whose sums are published for the archives only


def _read_idx(source: _Source) -> tuple[Part, Part] | None:
    """Both parts, None where a file is missing; not by the class, which would prefer an old format's pickles."""
    from torchvision.datasets.mnist import read_image_file, read_sn3_pascalvincent_tensor

    if not all(file.exists() for file in source.idx_files):
        return None
    classes = source.cls.classes if source.split is None else source.cls.classes_split_dict[source.split]
    tensors = []
    for file in source.idx_files:
        is_images = "images" in file.name
        read: Callable[[str], Any] = read_image_file if is_images else read_sn3_pascalvincent_tensor
        try:
            tensor = read(str(file))
            # QMNIST's labels tell more than the class, which comes first
            tensors.append(tensor if is_images else (tensor[:, 0] if tensor.dim() == 2 else tensor).long())
        except OSError:
            raise
        # asserts, KeyErrors and nearly anything else, for a file in another format
        except Exception:
            raise _damaged(file, "isn't a whole IDX file") from None
    parts = []
    for number in (0, 2):
        images, labels = tensors[number : number + 2]
        label_file = source.idx_files[number + 1]
        if len(images) != len(labels):
            raise _damaged(label_file, f"has {len(labels)} labels for {len(images)} images")
        if len(labels) == 0 or int(labels.max()) >= len(classes):
            raise _damaged(label_file, f"isn't labels of {len(classes)} classes")
        parts.append(Part(images, labels, classes))
    return parts[0], parts[1]


def _get_idx(source: _Source, get_file: Callable[[Path, str], None]) -> None:
    if source.split is not None:
        [(archive, md5)] = source.archives
        get_file(archive, md5)
        with zipfile.ZipFile(archive) as packed:
            for target in source.idx_files:
                with (
                    packed.open(f"gzip/{target.name}.gz") as member,
                    gzip.open(member) as content,
                    whole(target) as file,
                ):
                    shutil.copyfileobj(content, file)
        return
    for (archive, md5), target in zip(source.archives, source.idx_files, strict=True):
        if not target.exists():
            get_file(archive, md5)
            unpack_gzip(archive, target)


# the others: torchvision's class reads what is there, and opens no file whose sum is wrong


def _read_by_class(source: _Source) -> tuple[Part, Part] | None:
    """Both parts, None where a file is missing or another."""
    cls, root = source.cls, str(source.root)
    if hasattr(cls, "split_list") and not all(_is_there(*archive) for archive in source.archives):
        return None
    by_split = "split" in inspect.signature(cls).parameters
    options: list[dict[str, Any]] = (
        [{"split": "train"}, {"split": "test"}] if by_split else [{"train": True}, {"train": False}]
    )
    try:
        train, test = (cls(root, **option) for option in options)
    except RuntimeError:
        return None
    parts = [
        Part(one.data, one.targets if hasattr(one, "targets") else one.labels, getattr(one, "classes", None))
        for one in (train, test)
    ]
    return parts[0], parts[1]


def _get_for_class(source: _Source, get_file: Callable[[Path, str], None]) -> None:
    cls = source.cls
    for archive, md5 in source.archives:
        get_file(archive, md5)
    if hasattr(cls, "meta"):  # CIFAR
        listed = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
        unpack_tar(archive, source.root, {f"{cls.base_folder}/{name}": md5 for name, md5 in listed})
    elif hasattr(cls, "tgz_md5"):  # STL10, which finds the archive where it would put it, and unpacks it
        cls(str(source.root), split="test", download=True)


# messages


def _is_there(archive: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    return check_integrity(archive, md5)


def _damaged(file: Path, what: str) -> CnnexpError:
    return CnnexpError(
        f"{file} {what}.\nDelete it and run again to have it downloaded; data=digits needs no download."
    )


def _missing(dataset: str, source: _Source, bases: Sequence[str], why: Exception) -> CnnexpError:
    root = source.root
    if isinstance(why, OSError):
        return CnnexpError(
            f"{dataset} can't be read from {root} or put there: {why.strerror or why}"
            f"{f', {why.filename}' if why.filename else ''}.\n"
            "Say where it lies, or may be put, with data.root=FOLDER; data=digits needs no download."
        )
    files = [
        archive.name
        for archive, md5 in source.archives
        if not (source.is_idx and archive.with_suffix("").exists()) and not _is_there(archive, md5)
    ]
    return CnnexpError(
        f"{dataset} is not in {root} and could not be downloaded ({why}).\n"
        f"Place {', '.join(files)} from {' or '.join(bases)} in the folder {source.raw}, "
        "or say where it lies with data.root=FOLDER; data=digits needs no download."
    )

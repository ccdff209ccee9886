"""The data sets that torchvision publishes sums of, fetched once, by one process at a time, and verified."""

import inspect
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnexp.data.fetch import Unavailable, fetch, is_whole, putting_into, unpack_gzip, unpack_tar
from cnnexp.errors import CnnexpError

CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
"""torchvision's class for each of our names: it says where the files are and what sums they have."""
VERIFIED = (*CLASSES.values(), "KMNIST", "QMNIST", "EMNIST", "SVHN", "USPS", "STL10")
"""The classes that ``load`` takes."""


class Part(NamedTuple):
    """The training or the test part: N uint8 images and labels, and the classes' names where there are some."""

    data: Any
    targets: Any
    classes: Sequence[str] | None


class _Source(NamedTuple):
    """What lies where of a class of torchvision's.

    Args:
        cls: the class.
        root: the folder of its data.
        split: which of EMNIST's data sets; None for other classes.
        archives: the files that are downloaded, and their MD5 sums.
        idx: images and labels that train, images and labels that test, unpacked; empty where the class itself
            reads what is there.
        bases: the URLs of the folders that have the archives.
    """

    cls: Any
    root: Path
    split: str | None
    archives: list[tuple[Path, str]]
    idx: list[Path]
    bases: list[str]

    def get(self, archive: Path, md5: str) -> None:
        fetch([base + archive.name for base in self.bases], archive, md5)


def load(
    dataset: str, root: str | Path, mirrors: Sequence[str] = (), split: str | None = None
) -> tuple[Part, Part]:
    """Return the (training, test) parts of a data set, downloaded first where they are missing.

    Where the data is there already nothing is written, so ``root`` may be read-only.

    Args:
        dataset: a name in ``CLASSES``, or torchvision's own in ``VERIFIED``.
        root: folder that holds, or gets, torchvision's own layout.
        mirrors: base URLs that are tried before torchvision's own.
        split: which of EMNIST's data sets; None for others.

    Raises:
        CnnexpError: when the data isn't there and can't be had, or is damaged.
    """
    from torchvision import datasets

    root = Path(root).expanduser().absolute()
    source = _source(getattr(datasets, CLASSES.get(dataset, dataset)), root, mirrors, split)
    read, unpack = (_read_idx, _unpack_idx) if source.idx else (_read_by_class, _unpack_for_class)

    try:
        if (loaded := read(source)) is not None:
            return loaded
        with putting_into(source.archives[0][0].parent, root / f".{dataset}.lock"):
            if (loaded := read(source)) is None:
                unpack(source)
                loaded = read(source)
    except (OSError, Unavailable) as error:
        raise _missing(dataset, source, error) from error
    if loaded is None:
        raise CnnexpError(f"{dataset} in {root} was changed while it was being read; run again")
    return loaded


def _source(cls: Any, root: Path, mirrors: Sequence[str], split: str | None) -> _Source:
    places, published = _published(cls)
    bases = [f"{base.rstrip('/')}/" for base in (*mirrors, *places)]
    folder = root / cls.__name__ / "raw" if hasattr(cls, "resources") else root
    archives = [(folder / name, md5) for name, md5 in published]
    idx = [archive.with_suffix("") for archive, _ in archives] if folder != root else []
    if split is not None:
        kinds = ("images-idx3", "labels-idx1")
        idx = [folder / f"emnist-{split}-{part}-{kind}-ubyte" for part in ("train", "test") for kind in kinds]
    return _Source(cls, root, split, archives, idx, bases)


def _published(cls: Any) -> tuple[Sequence[str], Sequence[tuple[str, str]]]:
    """Return the base URLs that torchvision's class knows, and its archives' names and MD5 sums."""
    if hasattr(cls, "tgz_md5"):  # CIFAR and STL10
        return [cls.url.rpartition("/")[0]], [(cls.filename, cls.tgz_md5)]
    if hasattr(cls, "split_list"):  # SVHN and USPS
        listed = [(url, md5) for url, _, md5 in (cls.split_list["train"], cls.split_list["test"])]
    elif hasattr(cls, "classes_split_dict"):  # EMNIST
        listed = [(cls.url, cls.md5)]
    elif isinstance(cls.resources, dict):  # QMNIST
        listed = [*cls.resources["train"], *cls.resources["test"]]
    else:  # MNIST and its kin
        return cls.mirrors, cls.resources
    return [listed[0][0].rpartition("/")[0]], [(url.rpartition("/")[2], md5) for url, md5 in listed]


# MNIST and its kin: gzipped IDX files, whose sums are published for the archives only


def _read_idx(source: _Source) -> tuple[Part, Part] | None:
    """Both parts, None where a file is missing; not by the class, which would prefer an old format's pickles."""
    from torchvision.datasets.mnist import read_image_file, read_sn3_pascalvincent_tensor

    if not all(file.exists() for file in source.idx):
        return None
    classes = source.cls.classes if source.split is None else source.cls.classes_split_dict[source.split]
    parts = []
    for image_file, label_file in (source.idx[:2], source.idx[2:]):
        images = _read(image_file, read_image_file)
        labels = _read(label_file, read_sn3_pascalvincent_tensor)
        labels = labels[:, 0] if labels.dim() == 2 else labels  # QMNIST's tell more than the class, which is first
        if len(images) != len(labels):
            raise _damaged(label_file, f"has {len(labels)} labels for {len(images)} images")
        if len(labels) == 0 or int(labels.max()) >= len(classes):
            raise _damaged(label_file, f"isn't labels of {len(classes)} classes")
        parts.append(Part(images, labels, classes))
    return parts[0], parts[1]


def _read(file: Path, read: Callable[[str], Any]) -> Any:
    try:
        return read(str(file))
    except OSError:
        raise
    # asserts, KeyErrors and nearly anything else, for a file in another format
    except Exception:
        raise _damaged(file, "isn't a whole IDX file") from None


def _unpack_idx(source: _Source) -> None:
    if source.split is not None:
        [(archive, md5)] = source.archives
        source.get(archive, md5)
        with zipfile.ZipFile(archive) as packed:
            for target in source.idx:
                with packed.open(f"gzip/{target.name}.gz") as member:
                    unpack_gzip(member, target)
        return
    for (archive, md5), target in zip(source.archives, source.idx, strict=True):
        if not target.exists():
            source.get(archive, md5)
            unpack_gzip(archive, target)


# the others: torchvision's class reads what is there, and opens no file whose sum is wrong


def _read_by_class(source: _Source) -> tuple[Part, Part] | None:
    """Both parts, None where a file is missing or another."""
    cls = source.cls
    if hasattr(cls, "split_list") and not all(is_whole(*archive) for archive in source.archives):
        return None
    by_split = "split" in inspect.signature(cls).parameters
    options = ({"split": "train"}, {"split": "test"}) if by_split else ({"train": True}, {"train": False})
    try:
        both = [cls(str(source.root), **option) for option in options]
    except RuntimeError:
        return None
    train, test = (
        Part(one.data, one.targets if hasattr(one, "targets") else one.labels, getattr(one, "classes", None))
        for one in both
    )
    return train, test


def _unpack_for_class(source: _Source) -> None:
    cls = source.cls
    for archive, md5 in source.archives:
        source.get(archive, md5)
    if hasattr(cls, "meta"):  # CIFAR
        listed = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
        unpack_tar(archive, source.root, {f"{cls.base_folder}/{name}": md5 for name, md5 in listed})
    elif hasattr(cls, "tgz_md5"):  # STL10, which finds the archive where it would put it, and unpacks it
        cls(str(source.root), split="test", download=True)


# messages


def _damaged(file: Path, what: str) -> CnnexpError:
    return CnnexpError(
        f"{file} {what}.\nDelete it and run again to have it downloaded; data=digits needs no download."
    )


def _missing(dataset: str, source: _Source, why: Exception) -> CnnexpError:
    root, folder = source.root, source.archives[0][0].parent
    if isinstance(why, OSError):
        return CnnexpError(
            f"{dataset} can't be read from {root} or put there: {why.strerror or why}"
            f"{f', {why.filename}' if why.filename else ''}.\n"
            "Say where it lies, or may be put, with data.root=FOLDER; data=digits needs no download."
        )
    files = [
        archive.name
        for archive, md5 in source.archives
        if not (source.idx and archive.with_suffix("").exists()) and not is_whole(archive, md5)
    ]
    return CnnexpError(
        f"{dataset} is not in {root} and could not be downloaded ({why}).\n"
        f"Place {', '.join(files)} from {' or '.join(source.bases)} in the folder {folder}, "
        "or say where it lies with data.root=FOLDER; data=digits needs no download."
    )

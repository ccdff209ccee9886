"""The data sets that torchvision downloads and verifies, fetched once and by one process at a time."""

import http.client
import logging
import socket
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from cnnexp.errors import CnnexpError

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10, MNIST

    Downloadable = type[MNIST] | type[CIFAR10]

log = logging.getLogger(__name__)

CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
"""torchvision's class for each data set."""

_TIMEOUT = 30.0  # seconds; torchvision sets none, and a silent host would hang it for ever
_FAILURES = (OSError, RuntimeError, ValueError, http.client.HTTPException, tarfile.TarError, EOFError, zlib.error)


def load(dataset: str, root: str | Path, mirrors: Sequence[str] | None = None) -> tuple[Any, Any]:
    """Return torchvision's (training, test) data sets, downloaded first where they are missing.

    Where the data is there already nothing is written, so ``root`` may be read-only.

    Args:
        dataset: one of ``CLASSES``.
        root: folder that holds, or gets, torchvision's own layout.
        mirrors: base URLs that are tried before torchvision's own.

    Raises:
        CnnexpError: when the data isn't there and can't be had, or is damaged.
    """
    from torchvision import datasets

    cls = getattr(datasets, CLASSES[dataset])
    root = Path(root).expanduser().absolute()
    if (loaded := _try_load(cls, root)) is not None:
        return loaded
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{dataset}.lock"):
            if (loaded := _try_load(cls, root)) is not None:
                return loaded
            _download(dataset, cls, root, mirrors or ())
            return cls(str(root), train=True), cls(str(root), train=False)
    except _FAILURES as error:
        raise _missing(dataset, cls, root, mirrors or (), error) from error


def _try_load(cls: "Downloadable", root: Path) -> tuple[Any, Any] | None:
    """Both parts if they are there and whole; torchvision's CIFAR classes check MD5 before they unpickle."""
    try:
        return cls(str(root), train=True), cls(str(root), train=False)
    except _FAILURES:
        return None


def _download(dataset: str, cls: "Downloadable", root: Path, mirrors: Sequence[str]) -> None:
    """Try one place after the other; raise the first failure when all fail."""
    first: Exception | None = None
    for source in _sources(cls, mirrors):
        log.info("downloading %s to %s", dataset, root)
        try:
            with _socket_timeout(_TIMEOUT), _no_half_files(cls, root):
                source(str(root), download=True)
            return
        except _FAILURES as error:
            first = first or error
    assert first is not None
    raise first


def _sources(cls: "Downloadable", mirrors: Sequence[str]) -> Iterator["Downloadable"]:
    """Yield the class once for each place that has the files; torchvision names folders by the class."""
    bases = [f"{base.rstrip('/')}/" for base in mirrors]
    if hasattr(cls, "mirrors"):
        for base in [*bases, *cls.mirrors]:
            yield type(cls.__name__, (cls,), {"mirrors": [base]})
    else:
        for base in bases:
            yield type(cls.__name__, (cls,), {"url": base + cls.filename})
        yield cls


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _no_half_files(cls: "Downloadable", root: Path) -> Iterator[None]:
    """Take back what was unpacked if unpacking doesn't come to its end.

    torchvision takes an unpacked MNIST file for whole if it exists.
    """
    unpacked = [file for file in _unpacked_files(cls, root) if not file.exists()]
    try:
        yield
    except BaseException:
        for file in unpacked:
            file.unlink(missing_ok=True)
        raise


def _unpacked_files(cls: "Downloadable", root: Path) -> list[Path]:
    if not hasattr(cls, "mirrors"):
        return []  # CIFAR's are checked by MD5 sum each time
    return [root / cls.__name__ / "raw" / name.removesuffix(".gz") for name, _ in cls.resources]


def _missing(dataset: str, cls: "Downloadable", root: Path, mirrors: Sequence[str], why: Exception) -> CnnexpError:
    if hasattr(cls, "mirrors"):
        folder, bases = root / cls.__name__ / "raw", list(cls.mirrors)
        files = [name for name, md5 in cls.resources if not _is_there(folder / name, md5)]
        if not files:
            unpacked = ", ".join(file.name for file in _unpacked_files(cls, root))
            return CnnexpError(
                f"{dataset} in {folder} is damaged ({_short(why)}).\n"
                f"Delete {unpacked} there and run again; data=digits needs no download."
            )
    else:
        folder, bases, files = root, [cls.url.rpartition("/")[0] + "/"], [cls.filename]
    bases = [f"{base.rstrip('/')}/" for base in [*mirrors, *bases]]
    return CnnexpError(
        f"{dataset} is not in {root} and could not be downloaded ({_short(why)}).\n"
        f"Place {', '.join(files)} from {' or '.join(bases)} in the folder {folder}, "
        "or say where it lies with data.root=FOLDER; data=digits needs no download."
    )


def _is_there(archive: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    return archive.with_suffix("").exists() or check_integrity(archive, md5)


def _short(error: Exception) -> str:
    """Put an error on one line: torchvision's own run over several."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

"""Decoded images, kept on disk so that a folder is decoded once."""

import hashlib
import json
import logging
import os
import sys
import warnings
import zlib
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from cnnexp.data.image_file import is_grey, read_image
from cnnexp.data.image_folder import Listing, OnCorrupt
from cnnexp.errors import CnnexpError
from cnnexp.locks import Lock

log = logging.getLogger(__name__)

_FORMAT = 1  # to be raised whenever the same file would be decoded to other bytes
_NAMED = 5  # unreadable files that are named; all of them are in the log at level DEBUG
_TOGETHER = 512  # images that the threads get at a time, so that an interruption isn't kept waiting


def load_images(
    listing: Listing, image_size: int, on_corrupt: OnCorrupt = "error", num_workers: int = 0
) -> tuple[Tensor, Tensor]:
    """Return a listing's images, decoded now or earlier.

    Kept in ``$CNNEXP_CACHE``, or ``cnnexp`` in ``$XDG_CACHE_HOME``, or ``~/.cache/cnnexp``; it can be deleted
    at any time. Larger than a quarter of the machine's memory, they are mapped from there and not read.

    Args:
        listing: of the folder.
        image_size: side of the square in pixels.
        on_corrupt: "skip" leaves out what can't be read, and says how many; "error" names the first.
        num_workers: threads; 0 is one a core.

    Returns:
        Images, uint8 of shape (N, channels, image_size, image_size): one channel when all of them are grey,
        else three, which lie last in memory. And the numbers of their files in the listing, shape (N,).

    Raises:
        CnnexpError: for a file that can't be read, or a cache folder that can't be written.
    """
    key = json.dumps([_FORMAT, listing.files, image_size, on_corrupt]).encode()
    file = cache_folder() / f"{hashlib.sha256(key).hexdigest()[:32]}.npy"
    expected = (len(listing.files), image_size)
    loaded = _read(file, *expected)
    if loaded is None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with Lock(file.with_suffix(".lock")):
                loaded = _read(file, *expected)
                if loaded is None:
                    _decode(listing, image_size, on_corrupt, num_workers, file)
                    loaded = _read(file, *expected)
        except OSError as error:
            raise CnnexpError(
                f"can't keep decoded images in {file.parent}: {error}; "
                "set the environment variable CNNEXP_CACHE to a folder with room for them"
            ) from error
    assert loaded is not None
    images, skipped = loaded
    if skipped:
        names = ", ".join(listing.files[number][0] for number in skipped[:_NAMED])
        log.warning(
            "%d of %d image files can't be read and are left out: %s%s",
            len(skipped), len(listing.files), names, ", …" if len(skipped) > _NAMED else "",
        )  # fmt: skip
    kept = torch.ones(len(listing.files), dtype=torch.bool)
    kept[skipped] = False
    return torch.from_numpy(images).permute(0, 3, 1, 2), kept.nonzero().flatten()


def cache_folder() -> Path:
    """Return where decoded images are kept."""
    if chosen := os.environ.get("CNNEXP_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cnnexp"


def _read(file: Path, files: int, size: int) -> tuple[np.ndarray, list[int]] | None:
    """Return the array and the files left out of it; None when it isn't there, or isn't of so many files."""
    try:
        record = json.loads(file.with_suffix(".json").read_text())
        mapped = file.stat().st_size > _memory() / 4
        # copy on write, because torch warns of arrays that can't be written
        images = np.load(file, mmap_mode="c" if mapped else None, allow_pickle=False)
        skipped = [int(number) for number in record["skipped"]]
        if len(set(skipped)) < len(skipped) or not set(skipped) <= set(range(files)):
            return None
        kept = files - len(skipped)
        if images.dtype != np.uint8 or images.shape not in ((kept, size, size, 1), (kept, size, size, 3)):
            return None
        # a sum over what doesn't fit into memory would read it all: its length, which np.load checks, must do
        if not mapped and zlib.crc32(images) != record["crc32"]:
            return None
        return images, skipped
    # MemoryError: a damaged header may ask for any number of bytes
    except (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError):
        return None


def _memory() -> float:
    """Return the machine's memory in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _decode(listing: Listing, size: int, on_corrupt: OnCorrupt, num_workers: int, file: Path) -> None:
    """Write the array and then its record, each under another name first."""
    temporary = file.with_suffix(".tmp")
    skipped: list[int] = []
    grey = True

    def wanted() -> Iterator[np.ndarray]:
        nonlocal grey
        with closing(_images(listing, size, num_workers)) as images:
            for number, image in enumerate(images):
                if isinstance(image, Exception):
                    path = listing.root / listing.files[number][0]
                    if on_corrupt == "error":
                        raise CnnexpError(
                            f"can't read the image {path}: {image or type(image).__name__}\n"
                            "Mend or remove it, or type data.on_corrupt=skip to leave such files out"
                        ) from image
                    log.debug("left out %s: %s", path, image)
                    skipped.append(number)
                    continue
                grey = grey and is_grey(image)
                yield image[None]

    try:
        _write(temporary, wanted(), (size, size, 3))
        if grey:
            whole = np.load(temporary, mmap_mode="r", allow_pickle=False)
            narrow = file.with_suffix(".grey.tmp")
            _write(narrow, (whole[i : i + 1000, ..., :1] for i in range(0, len(whole), 1000)), (size, size, 1))
            del whole
            narrow.replace(temporary)
        written = np.load(temporary, mmap_mode="r", allow_pickle=False)
        record = {"crc32": zlib.crc32(written), "skipped": skipped}
        del written
        temporary.replace(file)
        with temporary.open("w") as stream:
            json.dump(record, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file.with_suffix(".json"))
    finally:
        temporary.unlink(missing_ok=True)


def _images(listing: Listing, size: int, num_workers: int) -> Generator[np.ndarray | Exception, None, None]:
    """Each file's image, or what is wrong with it, with a progress bar at a terminal."""
    from PIL import Image
    from tqdm import tqdm

    read = partial(_read_or_why_not, size=size)
    paths = [listing.root / name for name, _, _ in listing.files]
    # Pillow raises at twice its limit and only warns before that
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(num_workers or os.cpu_count()) as pool,
        tqdm(total=len(paths), desc="decoding", unit=" images", disable=not sys.stderr.isatty()) as bar,
    ):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(paths), _TOGETHER):
            for image in pool.map(read, paths[start : start + _TOGETHER]):
                yield image
                bar.update()


def _read_or_why_not(path: Path, size: int) -> np.ndarray | Exception:
    # Pillow's decoders raise nearly anything on a damaged file: SyntaxError, struct.error, IndexError, …
    try:
        return read_image(path, size)
    except Exception as error:
        return error


def _write(file: Path, chunks: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Write an .npy file of as many arrays of one shape as come, chunk by chunk."""
    count = 0
    with file.open("wb") as stream:
        _write_header(stream, (0, *shape))
        for chunk in chunks:
            stream.write(np.ascontiguousarray(chunk).data)
            count += len(chunk)
        stream.seek(0)
        _write_header(stream, (count, *shape))  # numpy leaves room for the first number to grow
        stream.flush()
        os.fsync(stream.fileno())


def _write_header(stream: IO[bytes], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})

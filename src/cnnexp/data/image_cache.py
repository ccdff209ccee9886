"""Decoded images, kept on disk so that a folder is decoded once."""

import hashlib
import json
import logging
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import torch
from torch import Tensor

from cnnexp.data.cache_folder import cache_folder
from cnnexp.data.image_file import install_for, is_grey, levels_of, read_image
from cnnexp.data.image_folder import Listing, OnCorrupt, printable
from cnnexp.errors import CnnexpError
from cnnexp.locks import Lock

log = logging.getLogger(__name__)
_T = TypeVar("_T")

_FORMAT = 3  # to be raised whenever the same file would be decoded to other bytes
_NAMED = 5  # unreadable files that are named; all of them are in the log at level DEBUG
_TOGETHER = 512  # images that the threads get at a time, so that an interruption isn't kept waiting


def load_images(
    listing: Listing, image_size: int, on_corrupt: OnCorrupt = "error", num_workers: int = 0
) -> tuple[Tensor, Tensor, tuple[int, int] | None]:
    """Return a listing's images, decoded now or earlier.

    Kept by the files' contents in ``$CNNEXP_CACHE``, or ``cnnexp`` in ``$XDG_CACHE_HOME``, or ``~/.cache/cnnexp``,
    or for want of these in the folder for temporary files; it can be deleted at any time. Larger than a quarter of
    the machine's memory, they are mapped from there and not read.

    Args:
        listing: of the folder.
        image_size: side of the square in pixels.
        on_corrupt: "skip" leaves out what can't be read, and says how many; "error" names the first.
        num_workers: threads; 0 is one a core.

    Returns:
        Images, uint8 of shape (N, channels, image_size, image_size): one channel when all of them are grey,
        else three, which lie last in memory. And the numbers of their files in the listing, shape (N,).
        And the levels that images of more than 8 bits were scaled from, None where there is none.

    Raises:
        CnnexpError: for a file that can't be read, or a cache folder that can't be written.
    """
    key = json.dumps([_FORMAT, listing.digests, image_size, on_corrupt]).encode()
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
    images, skipped, levels = loaded
    if levels is not None:
        log.info("images of more than 8 bits are scaled from %d–%d to 0–255, all by the same", *levels)
    if skipped:
        names = ", ".join(printable(listing.files[number]) for number in skipped[:_NAMED])
        log.warning(
            "%d of %d image files can't be read and are left out: %s%s",
            len(skipped), len(listing.files), names, ", …" if len(skipped) > _NAMED else "",
        )  # fmt: skip
    kept = torch.ones(len(listing.files), dtype=torch.bool)
    kept[skipped] = False
    return torch.from_numpy(images).permute(0, 3, 1, 2), kept.nonzero().flatten(), levels


def _read(file: Path, files: int, size: int) -> tuple[np.ndarray, list[int], tuple[int, int] | None] | None:
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
        low, high = record["levels"] or (0, 0)
        return images, skipped, (int(low), int(high)) if high > low else None
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
    levels: tuple[int, int] | None = None

    def wanted() -> Iterator[np.ndarray]:
        nonlocal grey
        nonlocal levels
        levels = _levels(listing, num_workers)
        with closing(_images(listing, partial(read_image, size=size, levels=levels), num_workers)) as images:
            for number, image in enumerate(images):
                if isinstance(image, Exception):
                    path = listing.root / listing.files[number]
                    if on_corrupt == "error":
                        why = install_for(path) or image or type(image).__name__
                        raise CnnexpError(
                            f"can't read the image {printable(str(path))}: {why}\n"
                            "Mend or remove it, or type data.on_corrupt=skip: such files are left out then"
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
        record = {"crc32": zlib.crc32(written), "skipped": skipped, "levels": levels}
        del written
        temporary.replace(file)
        with temporary.open("w") as stream:
            json.dump(record, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file.with_suffix(".json"))
    finally:
        temporary.unlink(missing_ok=True)


def _levels(listing: Listing, num_workers: int) -> tuple[int, int] | None:
    """Return the range that the data set's levels lie in, of so many bits; None where none has over 8."""
    with closing(_images(listing, levels_of, num_workers, "looking at")) as found:
        ranges = [levels for levels in found if isinstance(levels, tuple)]
    if not ranges:
        return None
    low, high = min(0, *(low for low, _ in ranges)), max(high for _, high in ranges)
    # of whole bits, so that one image more or less rarely changes it; 8 bits in 16 stay as they are
    return low, low + max(255, (1 << (high - low).bit_length()) - 1)


def _images(
    listing: Listing, read: Callable[[Path], _T], num_workers: int, doing: str = "decoding"
) -> Generator[_T | Exception, None, None]:
    """Yield what is read of each file, or what is wrong with it, with a progress bar at a terminal."""
    from PIL import Image
    from tqdm import tqdm

    paths = [listing.root / name for name in listing.files]
    # what Pillow only warns of, read_image refuses
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(num_workers or os.cpu_count()) as pool,
        tqdm(total=len(paths), desc=doing, unit=" images", disable=not sys.stderr.isatty()) as bar,
    ):
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(paths), _TOGETHER):
            for image in pool.map(partial(_read_or_why_not, read), paths[start : start + _TOGETHER]):
                yield image
                bar.update()


def _read_or_why_not(read: Callable[[Path], _T], path: Path) -> _T | Exception:
    # Pillow's decoders raise nearly anything on a damaged file: SyntaxError, struct.error, IndexError, …
    try:
        return read(path)
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

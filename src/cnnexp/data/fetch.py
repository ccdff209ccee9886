"""A file from the first of several places that serves it whole, and what is in it: verified, or not there."""

import errno
import gzip
import http.client
import logging
import os
import shutil
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from cnnexp.errors import CnnexpError
from cnnexp.locks import Lock
from cnnexp.version import __version__

log = logging.getLogger(__name__)

ROUNDS = 3
"""How often a place is asked that has failed in a way that may pass: silence, a busy server, a broken line."""

_CHUNK = 1 << 18  # bytes
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Unavailable(CnnexpError):
    """A place doesn't serve the file; ``again`` says that it may do so later."""

    def __init__(self, why: str, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


class WrongContent(Unavailable):
    """A file isn't the one whose MD5 sum was published."""


def fetch(urls: Sequence[str], target: Path, md5: str, timeout: float = 30.0, pause: float = 1.0) -> None:
    """Have a file, from the first place that serves it; whatever happens, ``target`` is whole or not there.

    No place is asked where ``target`` is already what it should be.

    Args:
        urls: the places, in the order to try them in.
        target: path of the file.
        md5: the sum that is published with it.
        timeout: seconds without an answer after which a place is left.
        pause: seconds before the second round over the places that may recover; twice that before the third.

    Raises:
        Unavailable: the first place's failure, when all have failed.
        OSError: when ``target`` can't be written.
    """
    if is_whole(target, md5):
        return
    failures: list[tuple[str, Unavailable]] = []
    for number in range(ROUNDS):
        time.sleep(pause * number)
        recovering = []
        for url in urls:
            try:
                with whole(target, md5) as file:
                    _download(url, file, timeout)
                # only now: where all places fail, the error says it, in its own line or two
                for failed, why in failures:
                    log.warning("not downloaded from %s: %s", failed, why)
                return
            except Unavailable as error:
                failures.append((url, error))
                if error.again:
                    recovering.append(url)
        urls = recovering
        if not urls:
            break
    raise failures[0][1] if failures else Unavailable("no place to download from is known")


@contextmanager
def putting_into(folder: Path, lock: Path) -> Iterator[None]:
    """Make a folder and let one process at a time put files into it; leave no more behind than these files.

    Args:
        folder: made with the folders above it; those that are empty at the end are removed again.
        lock: path of the lock, in the folder or in one above it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        for _ in range(ROUNDS):
            folder.mkdir(parents=True, exist_ok=True)
            held = Lock(lock, stays=False)
            with suppress(FileNotFoundError):  # another process, whose download has failed, removed the folder
                held.acquire()
                break
        else:
            raise FileNotFoundError(errno.ENOENT, "it can't be written", os.fspath(lock))
        try:
            yield
        finally:
            held.release()
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


def is_whole(file: Path, md5: str | None) -> bool:
    """Whether a file is there, and has the MD5 sum where one is given."""
    from torchvision.datasets.utils import check_integrity

    return check_integrity(file, md5)


@contextmanager
def whole(target: Path, md5: str | None = None) -> Iterator[IO[bytes]]:
    """Give a file to write, which gets its name once it is complete, on the disk and what it should be.

    A process that is killed leaves a hidden ``.part`` file at most, which the next one replaces; that is why
    this isn't ``pooch.retrieve``, whose temporary files have names of their own, and stay.

    Raises:
        WrongContent: at the end, when what was written doesn't have the MD5 sum ``md5``.
    """
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not is_whole(temporary, md5):
            raise WrongContent(f"{target.name} isn't the file that is expected: its MD5 sum is another")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def unpack_gzip(archive: Path | IO[bytes], target: Path) -> None:
    """Decompress ``archive`` to ``target``; the name that the archive gives its content is not looked at."""
    with whole(target) as file, gzip.open(archive) as content:
        shutil.copyfileobj(content, file, _CHUNK)


def unpack_tar(archive: Path, folder: Path, expected: Mapping[str, str]) -> None:
    """Write the files of ``archive`` whose names and MD5 sums are ``expected`` into ``folder``, and no others.

    Only names that the caller gave are ever written to, so no archive can reach beyond the folder.

    Raises:
        WrongContent: when one of them is missing, or another.
    """
    missing = set(expected)
    with tarfile.open(archive) as packed:
        for member in packed:
            if member.isfile() and member.name in expected and (content := packed.extractfile(member)):
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with whole(target, expected[member.name]) as file:
                    shutil.copyfileobj(content, file, _CHUNK)
                missing.discard(member.name)
    if missing:
        raise WrongContent(f"{archive.name} has no {sorted(missing)[0]}")


def _download(url: str, file: IO[bytes], timeout: float) -> None:
    """Write what a place sends; whatever it does wrong raises Unavailable."""
    import pooch
    import requests
    from urllib3.exceptions import HTTPError

    try:
        if url.startswith("file:"):
            with urlopen(url) as response:
                shutil.copyfileobj(response, file, _CHUNK)
            return
        # as it lies there: a server may otherwise unpack a .gz on the way
        headers = {"User-Agent": f"cnnexp/{__version__}", "Accept-Encoding": "identity"}
        hooks = {"response": lambda response, *_, **__: _say_that_it_comes(url, response.status_code)}
        download = pooch.HTTPDownloader(sys.stderr.isatty(), _CHUNK, headers=headers, timeout=timeout, hooks=hooks)
        download(url, file, None)
    except (requests.RequestException, HTTPError, URLError, ValueError) as error:
        raise _failure(error) from None


def _say_that_it_comes(url: str, status: int) -> None:
    if status == http.client.OK:
        log.info("getting %s", url)


def _failure(error: BaseException) -> Unavailable:
    """Return the innermost cause, escaped and cut short: a stranger's server mustn't write to the terminal."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    again = isinstance(error, (TimeoutError, ConnectionResetError, http.client.HTTPException))
    return Unavailable(ascii(f"{type(error).__name__}: {error}")[1:-1][:200], again or status in _BUSY)

"""A file from the first of several places that serves it whole, and what is in it: verified, or not there."""

import gzip
import hashlib
import http.client
import logging
import os
import shutil
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.request import urlopen

from cnnexp.errors import CnnexpError
from cnnexp.version import __version__

log = logging.getLogger(__name__)

ROUNDS = 3
"""How often a place is asked that has failed in a way that may pass: silence, a busy server, a broken line."""

_CHUNK = 1 << 18  # bytes
_LARGEST = 1 << 34  # bytes; Food101, the largest of those with a published sum, has 5 GB
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Unavailable(Exception):
    """A place doesn't serve the file; ``again`` says that it may do so later."""

    def __init__(self, why: str, again: bool) -> None:
        super().__init__(why)
        self.again = again


def fetch(urls: Sequence[str], target: Path, md5: str, timeout: float = 30.0, pause: float = 1.0) -> None:
    """Download a file from the first place that serves it; whatever happens, ``target`` is whole or not there.

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
    first: Unavailable | None = None
    for number in range(ROUNDS):
        if number:
            time.sleep(pause * number)
        recovering = []
        for url in urls:
            try:
                with whole(target, md5) as file:
                    _download(url, file, timeout)
                return
            except (Unavailable, WrongContent) as error:
                log.warning("not downloaded from %s: %s", url, error)
                failure = error if isinstance(error, Unavailable) else Unavailable(str(error), again=False)
                first = first or failure
                if failure.again:
                    recovering.append(url)
        urls = recovering
        if not urls:
            break
    raise first or Unavailable("no place to download from is known", again=False)


class WrongContent(CnnexpError):
    """A file isn't the one whose MD5 sum was published."""


@contextmanager
def whole(target: Path, md5: str | None = None) -> Iterator[IO[bytes]]:
    """Give a file to write, which gets its name once it is complete, on the disk and what it should be.

    A process that is killed leaves a hidden ``.part`` file at most, which the next one replaces.

    Raises:
        WrongContent: at the end, when what was written doesn't have the MD5 sum ``md5``.
    """
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if md5 is not None:
                file.seek(0)
                digest = hashlib.md5(usedforsecurity=False)
                for chunk in iter(lambda: file.read(_CHUNK), b""):
                    digest.update(chunk)
                if digest.hexdigest() != md5:
                    raise WrongContent(f"{target.name} isn't the file that is expected: its MD5 sum is another")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def unpack_gzip(archive: Path, target: Path) -> None:
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


class _Limited:
    """A file to write no more than so much to."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.flush = file.flush
        self.received = 0

    def write(self, chunk: bytes) -> None:
        self.received += len(chunk)
        if self.received > _LARGEST:
            raise Unavailable(f"sent more than the {_LARGEST >> 20} MB that are plausible", again=False)
        self.file.write(chunk)


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
        download = pooch.HTTPDownloader(sys.stderr.isatty(), _CHUNK, headers=headers, timeout=timeout)
        download(url, _Limited(file), None)
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise _failure(error) from None
    except OSError as error:
        if url.startswith("file:") and error.errno is None:  # urllib's own, of a file that isn't there
            raise Unavailable(str(getattr(error, "reason", error)), again=False) from None
        raise


def _failure(error: Exception) -> Unavailable:
    """Return what a place did wrong, in our words: a stranger's server mustn't write to the terminal."""
    from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

    if isinstance(error, (InvalidSchema, InvalidURL, MissingSchema)):
        return Unavailable("unknown url type", again=False)
    response = getattr(error, "response", None)
    if response is not None:
        code = response.status_code
        return Unavailable(f"HTTP status {code}, {http.client.responses.get(code, 'unknown')}", code in _BUSY)
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__ or getattr(cause, "reason", None)) is not None:
        if not isinstance(inner, BaseException):
            break
        cause = inner
    if isinstance(cause, TimeoutError) or "timed out" in str(error).lower():
        return Unavailable("timed out", again=True)
    if isinstance(cause, http.client.IncompleteRead):
        return Unavailable("broke off before its end", again=True)
    if isinstance(cause, http.client.HTTPException):
        return Unavailable(f"its answer isn't HTTP ({type(cause).__name__})", again=True)
    if isinstance(cause, OSError) and cause.strerror:
        return Unavailable(cause.strerror, isinstance(cause, ConnectionResetError))
    return Unavailable(type(cause).__name__, again=False)

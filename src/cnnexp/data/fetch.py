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
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from cnnexp.errors import CnnexpError

log = logging.getLogger(__name__)

ROUNDS = 3
"""How often a place is asked that has failed in a way that may pass: silence, a busy server, a broken line."""

_CHUNK = 1 << 18  # bytes
_SLOWEST = 1024  # bytes a second; a server that drips would never meet a time-out of the socket
_LARGEST = 1 << 28  # bytes; CIFAR's archives, the largest, have 170 million
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
        timeout: seconds without an answer, or at less than a kilobyte a second, after which a place is left.
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
                with whole(target, md5) as file, closing(_chunks(url, timeout)) as chunks:
                    file.writelines(chunks)
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


def _chunks(url: str, timeout: float) -> Generator[bytes, None, None]:
    """Yield what a place sends, as it comes; whatever it does wrong raises Unavailable."""
    from tqdm import tqdm

    import cnnexp

    try:
        request = Request(url, headers={"User-Agent": f"cnnexp/{cnnexp.__version__}"})
        with urlopen(request, timeout=timeout) as response:
            announced = response.headers.get("Content-Length")
            size = int(announced) if announced else None
            received = noted = 0
            since = time.monotonic()
            with tqdm(
                total=size, desc=Path(url).name, unit="B", unit_scale=True, disable=not sys.stderr.isatty()
            ) as bar:
                # read1, because read waits for all that was asked for, however slowly it comes
                while chunk := response.read1(_CHUNK):
                    received += len(chunk)
                    if received > _LARGEST:
                        raise Unavailable(
                            f"sent more than the {_LARGEST >> 20} MB that are plausible", again=False
                        )
                    yield chunk
                    bar.update(len(chunk))
                    elapsed = time.monotonic() - since
                    if elapsed > timeout:
                        if received - noted < _SLOWEST * elapsed:
                            raise Unavailable(f"sent {received - noted} bytes in {elapsed:.1f} s", again=True)
                        noted, since = received, time.monotonic()
            if size is not None and received < size:
                raise Unavailable(f"broke off after {received} of {size} bytes", again=True)
    # what is said is ours: a stranger's server mustn't write to the terminal
    except HTTPError as error:
        with error:
            meaning = http.client.responses.get(error.code, "unknown")
            raise Unavailable(f"HTTP status {error.code}, {meaning}", error.code in _BUSY) from None
    except http.client.HTTPException as error:
        raise Unavailable(f"its answer isn't HTTP ({type(error).__name__})", again=True) from None
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        again = isinstance(reason, (TimeoutError, ConnectionResetError))
        raise Unavailable(str(reason) or type(reason).__name__, again) from None

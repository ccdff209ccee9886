"""Digests of files' bytes, kept between processes: a start doesn't read a whole data set to know it again."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from stat import S_ISREG

from cnnexp.data.cache_folder import cache_folder
from cnnexp.runs import write_whole

_RECENT = 2_000_000_000  # nanoseconds within which a file system's clock may give two changes one time
_SIZE = 16  # bytes of a digest
_FOLDERS = 50  # data sets whose digests are kept
_LONGEST = 1 << 30  # bytes that are read of what is kept: some ten million files

_known: dict[str, str] = {}
"""Digests by device, inode, size and the times of change, of which no program can set the second."""


def digests_of(root: Path, names: Sequence[str]) -> list[str]:
    """Return of each file the digest of its bytes, in hexadecimal, or, after ``!``, why it can't be read.

    Digests are kept in ``digests`` in the cache folder, a file for each root; without a cache that can be written
    each process reads every file. A file is read again when its inode, its size or a time of change is another.

    Args:
        root: the folder that names are relative to.
        names: of the files.
    """
    paths = [os.path.join(root, name) for name in names]
    keys = [_key_or_why_not(path) for path in paths]
    kept = _kept(root)
    before = _read(kept)
    _known.update(before)
    unknown = [place for place, key in enumerate(keys) if key[0] != "!" and key not in _known]
    with ThreadPoolExecutor() as pool:
        new = dict(zip(unknown, pool.map(_digest_or_why_not, [paths[place] for place in unknown]), strict=True))
    found = [new.get(place) or _known.get(key, key) for place, key in enumerate(keys)]
    now = {key: _known[key] for key in keys if key in _known}
    if not now.keys() <= before.keys():
        _write(kept, now)
    return found


def _key_or_why_not(path: str) -> str:
    """Return what a file is known by, or, after an exclamation mark, what is wrong with it."""
    try:
        stat = os.stat(path)
    except OSError as error:
        return _why_not(path, error)
    if not S_ISREG(stat.st_mode):  # a pipe, for example, which would be waited on for ever
        return "!it is no regular file"
    return _key(stat)


def _key(stat: os.stat_result) -> str:
    return f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _digest_or_why_not(path: str) -> str:
    try:
        with open(path, "rb") as file:
            now, stat = time.time_ns(), os.fstat(file.fileno())
            hashed = blake2b(digest_size=_SIZE)
            while block := file.read(1 << 20):
                hashed.update(block)
    except OSError as error:
        return _why_not(path, error)
    digest = hashed.hexdigest()
    # a change in the same tick of the clock as the last one would leave no trace
    if os.name == "posix" and now - stat.st_ctime_ns > _RECENT:
        _known[_key(stat)] = digest
    return digest


def _why_not(path: str, error: OSError) -> str:
    gone = os.path.islink(path) and not os.path.exists(path)
    return f"!{f'it is a link to {os.readlink(path)}, which is not there' if gone else error.strerror}"


def _kept(root: Path) -> Path:
    """Return the file that has a data set's digests."""
    name = blake2b(os.fsencode(os.path.realpath(root)), digest_size=_SIZE).hexdigest()
    return cache_folder() / "digests" / name


def _read(file: Path) -> dict[str, str]:
    """Return what was kept: a line a file, after the digest of all of them; nothing where that is another."""
    with suppress(OSError, ValueError):
        with file.open("rb") as stream:
            said, _, lines = stream.read(_LONGEST).partition(b"\n")
        if said.decode() == blake2b(lines, digest_size=_SIZE).hexdigest():
            return dict(line.rsplit(" ", 1) for line in lines.decode().splitlines())
    return {}


def _write(file: Path, digests: dict[str, str]) -> None:
    """Keep digests, where that can be done, and no more than so many data sets' of them."""
    lines = "".join(f"{key} {digest}\n" for key, digest in digests.items()).encode()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, f"{blake2b(lines, digest_size=_SIZE).hexdigest()}\n".encode() + lines)
        for old in sorted(file.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_FOLDERS]:
            old.unlink()

"""A disk that gets full, or a folder that can no longer be written, while a run is at work."""

import contextlib
import errno
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cnnexp.errors import CantWrite

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ROOM = 32 * 1024


@contextlib.contextmanager
def reserve(folder: Path) -> Iterator[Path]:
    """Keep a little room while a run is at work, and yield the file that holds it.

    Once that is removed there is room on a full disk for the line in ``run.log`` and the status in
    ``result.json``.
    """
    room = folder / ".reserve"
    # random bytes: a compressing file system would reserve nothing for zeros
    with new_file(room) as file:
        file.write(os.urandom(_ROOM))
    try:
        yield room
    finally:
        with contextlib.suppress(OSError):
            room.unlink(missing_ok=True)


def new_file(path: Path) -> IO[bytes]:
    """Return a new file to be written, in the place of one that was left there; no link is followed."""
    path.unlink(missing_ok=True)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")


def private_folder() -> Path | None:
    """Return a folder that this user alone can write into, for a while; None where there is none."""
    user = os.getuid() if hasattr(os, "getuid") else None
    usual = Path(tempfile.gettempdir()) / f"cnnexp-{'' if user is None else user}"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for folder in (*([Path(runtime, "cnnexp")] if runtime else []), usual):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and user in (None, found.st_uid) and not found.st_mode & 0o022:
                return folder
    return None


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """Leave out the traceback of a thread that met a full disk: the thread that waits for it raises the same."""
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or cant_write(args.exc_value) is None:
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def cant_write(error: BaseException, folder: Path | None = None, again: str = "") -> CantWrite | None:
    """Return the message for an error of the disk; None for any other error.

    Args:
        error: what was raised, perhaps because of or after the disk's own error.
        folder: what is written to; any trouble with a file inside of it counts.
        again: the command that goes on with what was begun, once there is room.
    """
    seen: set[int] = set()
    part: BaseException | None = error
    while part is not None and id(part) not in seen:
        if isinstance(part, OSError) and (part.errno in (*_FULL, errno.EROFS) or _inside(part, folder)):
            return CantWrite(_told(part, folder, again))
        seen.add(id(part))
        part = part.__cause__ or part.__context__
    return None


def _inside(error: OSError, folder: Path | None) -> bool:
    if folder is None or not isinstance(error.filename, (str, os.PathLike)):
        return False
    return Path(error.filename).absolute().is_relative_to(folder.absolute())


def _told(error: OSError, folder: Path | None, again: str) -> str:
    where = os.path.relpath(error.filename or folder or ".")
    reason = error.strerror or type(error).__name__
    if folder is not None and not folder.is_dir():
        return f"can't write {where}: {reason}. The run's folder was taken away while it was at work"
    todo = "make room" if error.errno in _FULL else "make it writable"
    then = f", then go on with: {again}" if again else ", then type the same again"
    return f"can't write {where}: {reason}. What was saved before is whole;\n{todo}{then}"

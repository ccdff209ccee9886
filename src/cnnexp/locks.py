"""A file that one process at a time holds, also where the file system has no locks of its own.

The kernel's lock (``flock``) ends with its process, however that ends. Some file systems have none: NFS without a
lock daemon, Lustre, some containers. There a second file beside the first names the process that holds it; one
whose process is gone counts for nothing.
"""

import contextlib
import errno
import os
import socket
import time
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)


class Taken(Exception):
    """Another process holds the lock; the text says which, where that is known."""


class Lock:
    """A lock on a file; links are not followed, and nothing is written into it.

    Args:
        path: the file's, in a folder that is there.
        stays: whether the file stays behind.
    """

    def __init__(self, path: Path, stays: bool = True) -> None:
        self.path, self.stays = path, stays
        self._owner = path.with_name(f"{path.name}.owner")
        self._file: int | None = None
        self._named = False

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock, when it is free.

        Raises:
            Taken: at once, where another holds it and ``wait`` is False.
            OSError: where the file can't be made.
        """
        while True:
            try:
                self._take()
            except Taken:
                if not wait:
                    raise
                time.sleep(0.05)
            else:
                return True

    def release(self) -> None:
        """Let the lock go."""
        if not self.stays and (self._named or self._file is not None):
            with contextlib.suppress(OSError):  # who waits for it sees that it is gone, and makes another
                self.path.unlink()
        if self._named:
            self._named = False
            self._owner.unlink(missing_ok=True)
        elif self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def __enter__(self) -> "Lock":
        self.acquire()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.release()

    def _take(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        file = os.open(self.path, flags, 0o644)
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no flock")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file), os.lstat(self.path)):
                raise Taken  # removed meanwhile, and made anew
        except BaseException as error:
            os.close(file)
            if isinstance(error, (BlockingIOError, PermissionError, FileNotFoundError)):
                raise Taken from None
            if not isinstance(error, OSError) or error.errno not in _NO_LOCKS:
                raise
            self._name_oneself()
        else:
            self._file = file

    def _name_oneself(self) -> None:
        """Take the lock by making the file that names its holder."""
        mine = self._owner.with_name(f"{self._owner.name}.{os.getpid()}")
        with open(
            os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o644), "w"
        ) as f:
            f.write(f"{socket.gethostname()} {os.getpid()} {_began(os.getpid())}")
        try:
            for _ in range(2):
                try:
                    os.link(mine, self._owner)  # whole or not at all, unlike a file that is opened and written
                except FileExistsError:
                    self._remove_if_gone(mine)
                else:
                    self._named = True
                    return
        finally:
            mine.unlink(missing_ok=True)
        raise Taken(f"{self._owner} names another process")

    def _remove_if_gone(self, mine: Path) -> None:
        """Remove what names a process that is no more; raises Taken where it is, or may be."""
        try:
            said = self._owner.read_text(errors="replace")[:500]
        except FileNotFoundError:
            return
        host, number, began = (*said.split(" "), "", "", "")[:3]
        if host == socket.gethostname() and number.isdecimal() and _began(int(number)) != began:
            aside = mine.with_name(f"{mine.name}.gone")
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._owner, aside)  # of several that saw it, one gets it
                if aside.read_text(errors="replace")[:500] != said:  # another's, who was quicker: put it back
                    os.link(aside, self._owner)
                aside.unlink()
            return
        raise Taken(
            f"process {number} on {host}, says {self._owner}; this file system can't tell whether it still is at "
            "work: if it isn't, remove that file"
        )


def _began(process: int) -> str:
    """Return when a process of this machine began; empty where there is none, ``?`` where that isn't told."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except (PermissionError, OverflowError):
        pass
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return "?"
    return stat.rpartition(")")[2].split()[19]  # a name may hold blanks and brackets

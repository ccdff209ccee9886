"""What is printed may have no reader: a closed or full output, ``| head -1``. The work goes on without it."""

import errno
import io
import os
import sys

lost: str | None = None
"""Why what was printed didn't arrive, None where it did or where a reader just had enough."""


class _Tolerant(io.FileIO):
    """An output that keeps quiet about what it can't pass on."""

    def write(self, content: object) -> int:
        global lost
        try:
            return super().write(content)  # type: ignore[arg-type]
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # the reader, or the terminal, is gone
                lost = error.strerror
            return memoryview(content).nbytes  # type: ignore[arg-type]


def never_fail() -> None:
    """Make the standard outputs of this process ones that never raise, whatever becomes of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file would get the number, and in it what is printed
            os.open(os.devnull, os.O_RDWR)
    for name, number in (("stdout", 1), ("stderr", 2)):
        before = getattr(sys, name)
        text = io.TextIOWrapper(
            io.BufferedWriter(_Tolerant(number, "w", closefd=False)),
            encoding=before.encoding if before else None,
            errors=before.errors if before else "backslashreplace",
            line_buffering=before.line_buffering if before else True,
            write_through=before.write_through if before else False,
        )
        if before:
            before.flush()
        setattr(sys, name, text)

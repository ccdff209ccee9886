"""Whether a checkpoint's file is what was written: torch doesn't look at its archive's sums."""

import hashlib
import os
import zipfile
from pathlib import Path

from cnnexp.errors import CnnexpError

_END, _MARK = b"PK\x05\x06", b"cnnexp-sha256:"
_COMMENT = len(_MARK) + 64


def seal(path: Path) -> None:
    """Put the SHA-256 of an archive into its comment, where a copy of the file takes it along."""
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(_COMMENT.to_bytes(2, "little"))
        file.flush()
        size = file.tell()
        digest = _sha256(path, size)
        file.write(_MARK + digest)
        file.flush()
        os.fsync(file.fileno())


def check_whole(path: str | Path) -> None:
    """Raise CnnexpError for a damaged checkpoint: its digest, or else its archive's sums, must be right."""
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _COMMENT - 22))
        tail = file.read()
    if tail.startswith(_END) and len(tail) == _COMMENT + 22:
        if tail[22:] != _MARK + _sha256(path, size - _COMMENT):
            raise CnnexpError(
                f"{path} can't be read as a checkpoint: it is damaged, its SHA-256 isn't what was saved"
            )
    elif zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                wrong = archive.testzip()
        except Exception as error:  # zipfile raises many kinds of errors for a damaged file
            wrong = str(error)
        if wrong is not None:
            raise CnnexpError(f"{path} can't be read as a checkpoint: it is damaged ({wrong})")


def _sha256(path: Path, size: int) -> bytes:
    """Return the digest of a file's first ``size`` bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (part := file.read(min(size, 1 << 20))):
            digest.update(part)
            size -= len(part)
    return digest.hexdigest().encode()

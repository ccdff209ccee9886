"""Where is kept what would take long to find out again about files; it can be deleted at any time."""

import os
import tempfile
from functools import lru_cache
from pathlib import Path

from cnnexp.disk import private_folder


def cache_folder() -> Path:
    """Return ``$CNNEXP_CACHE``, or ``cnnexp`` in ``$XDG_CACHE_HOME`` or ``~/.cache``, or a temporary folder."""
    if chosen := os.environ.get("CNNEXP_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        usual = (Path(base) if base else Path.home() / ".cache") / "cnnexp"
        usual.mkdir(parents=True, exist_ok=True)
        if os.access(usual, os.W_OK | os.X_OK):
            return usual
    except (OSError, RuntimeError):  # RuntimeError: a user whom the system doesn't know, without HOME
        pass
    return _temporary()


@lru_cache(maxsize=1)
def _temporary() -> Path:
    """Return a folder of this user's, and nobody else's, where there is no home."""
    return private_folder() or Path(tempfile.mkdtemp(prefix="cnnexp-"))

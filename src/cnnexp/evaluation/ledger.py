"""How often a test set was looked at: choosing by test results makes the best of them too good."""

import math
import os
import re
import time
from contextlib import closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from statistics import NormalDist

from cnnexp.data.cache_folder import cache_folder
from cnnexp.locks import Lock, Taken

FOLDER = "test-looks"
"""In the cache folder: a file for each data set's fingerprint, with a line a look."""


def look(fingerprint: str, accuracy: float, where: Path) -> int | None:
    """Note that a test set was looked at, and return how often it has been, this time included.

    The file is only ever appended to. None where it can't be written: that ends no run.

    Args:
        fingerprint: of the data, as in result.json; only letters and digits.
        accuracy: what was seen, a fraction.
        where: the folder of the run or task.
    """
    if not re.fullmatch(r"\w{1,128}", fingerprint):
        return None
    with suppress(OSError):
        folder = cache_folder() / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{fingerprint}.csv"
        lock = Lock(folder / f"{fingerprint}.lock")
        if not _acquired(lock):
            return None
        try:
            when = datetime.now(timezone.utc).isoformat(timespec="seconds")
            line = f"{when},{accuracy:.6f},{os.fsencode(where).decode('utf-8', 'replace')!r}\n"
            flags = os.O_CREAT | os.O_RDWR | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            with closing(os.fdopen(os.open(path, flags, 0o600), "r+b")) as file:
                file.write(line.encode())
                file.flush()
                file.seek(0)
                return sum(1 for _ in file)
        finally:
            lock.release()
    return None


def _acquired(lock: Lock, seconds: float = 5.0) -> bool:
    """Take a lock if that is to be had soon: where a file system has none, a dead process may seem to hold it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(Taken):
            return lock.acquire(wait=False)
        time.sleep(0.02)
    return False


def told(looks: int, images: int, accuracy: float) -> str:
    """Return what so many looks mean, in a sentence.

    Args:
        looks: as `look` returns them, two or more.
        images: of the test set.
        accuracy: the latest seen, a fraction.
    """
    points = 100 * best_of_equals(looks, images, accuracy)
    much = "less than 0.1" if points < 0.05 else f"up to {points:.1f}"
    return (
        f"{_ordinal(looks)} look at these {images:,} test images: the best of {looks:,} equally good networks "
        f"would lie {much} points above its true accuracy"
    )


def best_of_equals(looks: int, images: int, accuracy: float) -> float:
    """Return by how much the best measured of equally good networks lies above their true accuracy, on average.

    The expected largest of ``looks`` independent normal values, in G. Blom's approximation (Statistical Estimates
    and Transformed Beta-Variables, 1958), times the binomial standard error of an accuracy on so many images.
    Networks that err on the same images are less independent than that: the true value is at most this.

    Args:
        looks: number of networks, at least one.
        images: that each was measured on.
        accuracy: the true one, or an estimate of it, a fraction.

    Returns:
        A fraction, 0 for a single look.
    """
    if looks < 2 or images < 1:
        return 0.0
    error = math.sqrt(max(accuracy * (1 - accuracy), 0.0) / images)
    return NormalDist().inv_cdf((looks - 0.375) / (looks + 0.25)) * error


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number:,}{'th' if number % 100 in (11, 12, 13) else endings.get(number % 10, 'th')}"

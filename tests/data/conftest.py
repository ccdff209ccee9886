from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import FileServer

from cnnexp.data import digests, image_files, torchvision_sets


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    started = FileServer(folder)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def nothing_in_memory() -> Iterator[None]:
    """What one test loaded must not serve the next."""
    yield
    digests._known.clear()
    image_files.of_listing.cache_clear()
    torchvision_sets._verified.cache_clear()
    torchvision_sets._own.cache_clear()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"

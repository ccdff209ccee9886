"""What several test files need: an empty folder to work in, and the command as a function and as a process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with no data set lying anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNEXP_DATA", raising=False)
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def cnnexp(folder: Path) -> Callable[..., int]:
    """Run a command in this process and return its exit status."""
    from cnnexp.app import run

    return lambda *arguments: run(list(arguments))


@pytest.fixture
def process(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in a process of its own, as a user does."""

    def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cnnexp", *arguments],
            cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return start

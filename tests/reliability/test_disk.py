"""A disk that gets full under a run, and a folder that is taken away from it."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cnnexp.app import run
from cnnexp.tasks.job import Job
from cnnexp.training.checkpoints import WholeCheckpointIO
from cnnexp.training.loggers import CsvLogger, TensorBoardLogger, TerminalLogger
from tasks.test_resume import identical, the_run

SETTINGS = ["model=ffnn", "model.hidden=[32]", "data.batch_size=100", "trainer.max_epochs=4", "model.dropout=0.2"]

# what is about to be written when the disk gets full, and how often it is written before that
MOMENTS: dict[str, tuple[type, str, int]] = {
    "metrics.csv": (CsvLogger, "log_epoch", 2),
    "run.log": (TerminalLogger, "log_epoch", 2),
    "events": (TensorBoardLogger, "log_metrics", 2),
    "hyperparameters": (TensorBoardLogger, "log_hyperparams", 0),
    "best.ckpt": (WholeCheckpointIO, "save_checkpoint", 2),
    "last.ckpt": (WholeCheckpointIO, "save_checkpoint", 3),
    "result.json": (Job, "record", 2),
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    """The run that nothing happened to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("straight"))
        assert run(SETTINGS) == 0
        return the_run(Path.cwd())


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 4 MB, which takes the rights to mount one."""
    place = folder / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"can't mount a small disk here: {mounted.stderr.strip()}")
    os.chdir(place)
    yield place
    os.chdir(folder)
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)


def before(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, skip: int, act: Callable[[], None]) -> None:
    """Do something just before a method's next call but ``skip``."""
    real, calls = getattr(owner, method), 0

    def watched(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == skip + 1:
            act()
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, method, watched)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_full_disk_ends_the_run_at_once_and_nothing_is_lost(moment, small_disk, straight, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        before(patch, *MOMENTS[moment], lambda: fill(small_disk))
        assert run(SETTINGS) == 1
    path = the_run(small_disk)
    printed = capfd.readouterr().err
    assert "No space left on device" in printed
    assert f"go on with: python -m cnnexp resume={path.relative_to(small_disk)}" in printed
    assert "Traceback" not in printed
    assert len(printed.strip().splitlines()) == 2
    result = json.loads((path / "result.json").read_text())
    assert result["status"] == "failed"
    assert "No space left on device" in result["error"]
    assert not [file for file in path.rglob(".*") if file.name.endswith(".tmp")]
    (small_disk / "filler").unlink()
    assert run([f"resume={path}"]) == 0
    identical(straight, path)

"""A disk that gets full under a run, and a folder that is taken away from it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tasks.test_resume import identical, the_run

from cnnexp.app import run
from cnnexp.job.job import Job
from cnnexp.training.callbacks import SeedSteps
from cnnexp.training.checkpoints import WholeCheckpointIO
from cnnexp.training.loggers import CsvLogger, TensorBoardLogger, TerminalLogger

SETTINGS = ["model=ffnn", "model.hidden=[32]", "data.batch_size=100", "trainer.max_epochs=4", "model.dropout=0.2"]

# what is about to be written when the disk gets full, how often it is written before that, and the function that
# then meets the disk
MOMENTS: dict[str, tuple[type, str, int, str]] = {
    "metrics.csv": (CsvLogger, "log_epoch", 2, "in log_epoch"),
    "run.log": (TerminalLogger, "log_epoch", 2, "in flush"),
    "tensorboard/train/events*": (TensorBoardLogger, "log_epoch", 2, "in save"),
    "tensorboard/events*": (TensorBoardLogger, "log_hyperparams", 0, "in _writer"),
    "checkpoints/best.ckpt": (WholeCheckpointIO, "save_checkpoint", 2, "in save_checkpoint"),
    "checkpoints/last.ckpt": (WholeCheckpointIO, "save_checkpoint", 3, "in save_checkpoint"),
    "result.json": (Job, "record", 2, "in write_whole"),
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


def fill(disk: Path, written: str) -> None:
    # the last page of a file has some room still, which is enough for a row
    for file in disk.glob(f"outputs/*/*/{written}"):
        with file.open("ab") as end:
            end.write(b"\n" * (-file.stat().st_size % 4096))
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 512)


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
    *when, where = MOMENTS[moment]
    with monkeypatch.context() as patch:
        before(patch, *when, lambda: fill(small_disk, moment))
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
    assert where in (path / "run.log").read_text()
    assert not [file for file in path.rglob(".*") if file.name.endswith(".tmp")]
    (small_disk / "filler").unlink()
    assert run([f"resume={path}"]) == 0
    identical(straight, path)


def test_a_sweep_whose_disk_is_full_stops_and_goes_on_when_there_is_room(small_disk, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        before(patch, WholeCheckpointIO, "save_checkpoint", 3, lambda: fill(small_disk, "no file"))
        assert run([*SETTINGS, "-m", "seed=0,1,2"]) == 1
    [sweep] = small_disk.glob("outputs/sweeps/*/*")
    printed = "".join(capfd.readouterr())
    assert f"resume={sweep.relative_to(small_disk)}" in printed
    assert "Traceback" not in printed
    assert [path.name for path in sweep.iterdir() if path.is_dir()] == ["seed-0"]
    (small_disk / "filler").unlink()
    assert run([f"resume={sweep}"]) == 0
    results = [json.loads((sweep / f"seed-{seed}" / "result.json").read_text()) for seed in range(3)]
    assert [result["status"] for result in results] == ["completed"] * 3


def test_a_file_larger_than_is_allowed_ends_the_run_too(folder, straight, process):
    code = (
        "import resource, sys; from cnnexp.app import run\n"
        # less than a checkpoint has, more than all else
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *SETTINGS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    path = the_run(folder)
    assert json.loads((path / "result.json").read_text())["status"] == "failed"
    assert not list((path / "checkpoints").iterdir())
    assert run([f"resume={path}"]) == 0
    identical(straight, path)


def removed(run: Path) -> None:
    shutil.rmtree(run)


def replaced_by_a_file(run: Path) -> None:
    shutil.rmtree(run)
    run.write_text("")


def moved(run: Path) -> None:
    run.rename(run.with_name("moved"))


def a_file_for_its_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").write_text("")


WITHIN = ["callbacks=[save_every]", "callbacks.save_every.steps=5"]


@pytest.mark.parametrize(
    ("spoil", "more"),
    [
        (removed, ["logger=none"]), (removed, WITHIN), (moved, []), (replaced_by_a_file, WITHIN),
        (a_file_for_its_checkpoints, WITHIN),
    ],
)  # fmt: skip
def test_a_run_whose_folder_is_taken_away_ends(spoil, more, folder, monkeypatch, capfd):
    settings = [*SETTINGS, *more]
    before(monkeypatch, SeedSteps, "on_train_batch_start", 30, lambda: spoil(the_run(folder)))
    assert run(settings) == 1
    printed = capfd.readouterr().err
    assert "can't write outputs/ffnn-digits/" in printed
    assert "Traceback" not in printed
    assert len(printed.strip().splitlines()) <= 2
    left = {path.name for path in folder.glob("outputs/*/*")}
    assert len(left) <= 1


def test_a_folder_that_becomes_read_only_ends_the_run(small_disk, straight, monkeypatch, capfd):
    def lock() -> None:
        # what is open for writing can't be made read-only, but be covered by something that is
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(checkpoints())], check=True)

    def checkpoints() -> Path:
        return the_run(small_disk) / "checkpoints"

    with monkeypatch.context() as patch:
        before(patch, WholeCheckpointIO, "save_checkpoint", 3, lock)
        assert run(SETTINGS) == 1
    subprocess.run(["umount", str(checkpoints())], check=True)
    printed = capfd.readouterr().err
    assert "Read-only file system" in printed
    assert "Traceback" not in printed
    assert json.loads((the_run(small_disk) / "result.json").read_text())["status"] == "failed"
    assert run([f"resume={the_run(small_disk)}"]) == 0
    identical(straight, the_run(small_disk))

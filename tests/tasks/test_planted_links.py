"""A stranger's folder in which each file that is written there is a link to a file of the user's beforehand.

Which files those are is what a real run, sweep and report open for writing, rename or leave behind, so that what
they write later is covered by itself.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from reliability.kill_matrix import CONF

QUICK = ["model=ffnn", "model.hidden=[4]", "data.batch_size=256", "trainer.max_epochs=1"]
EVERYTHING = [
    *QUICK,
    "callbacks=[save_every]",
    "callbacks.save_every.steps=2",
    "data=image_folder",
    "data.image_size=28",
]
_watched: list[tuple[Path, set[Path]]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for root, found in _watched:
        if event == "open":
            path, _, flags = arguments
            names = [path] if isinstance(flags, int) and flags & 0x3 else []
        else:
            names = [arguments[1]] if event in ("os.rename", "os.link") else []
        for name in names:
            path = Path(str(name)).absolute() if isinstance(name, (str, Path)) else root.parent
            if path.is_relative_to(root):
                found.add(path)


@contextmanager
def written_below(root: Path) -> Iterator[set[Path]]:
    """Yield a set that takes each file below a folder that is opened for writing, or gets its name by a rename."""
    if not _watched:
        sys.addaudithook(_hook)  # which can't be taken away again
    found: set[Path] = set()
    _watched.append((root.absolute(), found))
    try:
        yield found
    finally:
        _watched[-1] = (Path("/nowhere"), set())


def planted(folder: Path, files: set[str], victim: Path) -> Iterator[tuple[str, Path]]:
    """Yield copies of a folder, in each of which another of its files or folders is a link to the victim's."""
    (victim / "folder").mkdir(parents=True)
    (victim / "folder" / "thesis").write_text("a thesis")
    (victim / "file").write_text("a thesis")
    above = {str(parent) for file in files for parent in Path(file).parents} - {"."}
    for number, name in enumerate(sorted(files | above)):
        ours = shutil.copytree(folder, victim.with_name(f"theirs-{number}"), symlinks=True)
        target = ours / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        target.symlink_to(victim / ("folder" if name in above else "file"))
        yield name, ours


def contents(victim: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in victim.rglob("*")}


def left(folder: Path, written: set[Path]) -> set[str]:
    """The names in a folder of the files that were written, or are there."""
    there = {path for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)) for path in written | there if path.is_relative_to(folder)}


def test_a_resumed_run_writes_through_none(
    images: Path, folder: Path, cnnexp: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with written_below(folder) as written:
        assert cnnexp(*EVERYTHING, f"data.root={images}") == 0
        [theirs] = (folder / "outputs").glob("*/*")
        assert cnnexp(f"resume={theirs}", "trainer.max_epochs=2") == 0
    files = left(theirs, written)
    # beside what lies there in the end, what is there for a while
    assert {"split.json.gz", ".hydra/.reserve", ".hydra/resumes.yaml", "checkpoints/last.ckpt", "run.log"} <= files
    assert any(name.endswith(".tmp") for name in files)
    victim = folder / "victim"
    for name, ours in planted(theirs, files, victim):
        before = contents(victim)
        capsys.readouterr()
        assert cnnexp(f"resume={ours}", "trainer.max_epochs=3") == 2, name
        assert str(ours / name) in capsys.readouterr().err or name.startswith(".hydra"), name
        assert contents(victim) == before, name


def test_a_resumed_sweep_writes_through_none(folder: Path, cnnexp: Callable[..., int]) -> None:
    with written_below(folder) as written:
        assert cnnexp("-m", *QUICK, "seed=0,1", "logger=none") == 0
    [theirs] = (folder / "outputs" / "sweeps").glob("*/*")
    shutil.rmtree(theirs / "seed-1")
    files = {name for name in left(theirs, written) if not name.startswith("seed-")} | {"seed-1"}
    assert {"multirun.yaml", "report.html", "report.csv"} <= files
    victim = folder / "victim"
    for name, ours in planted(theirs, files, victim):
        before = contents(victim)
        assert cnnexp(f"resume={ours}") == 2, name
        assert contents(victim) == before, name


def test_a_report_replaces_them(two_runs: Path, folder: Path, cnnexp: Callable[..., int]) -> None:
    theirs = shutil.copytree(two_runs, folder / "theirs")
    with written_below(theirs) as written:
        assert cnnexp("task=report", f"run={theirs}") == 0
    victim = folder / "victim"
    victim.write_text("a thesis")
    files = {path for path in written if path.parent == theirs}
    assert {"report.html", "report.csv", "curves.png"} <= {path.name for path in files}
    for path in files:
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
    assert cnnexp("task=report", f"run={theirs}") == 0
    assert victim.read_text() == "a thesis"
    assert not any(path.is_symlink() for path in files)


@pytest.mark.parametrize(
    "task", sorted(path.stem for path in (CONF / "task").glob("*.yaml") if path.stem != "fit")
)
def test_no_task_writes_below_a_link(task: str, two_runs: Path, folder: Path, cnnexp: Callable[..., int]) -> None:
    ours = shutil.copytree(sorted(two_runs.iterdir())[0], folder / "ours")
    before = sorted(ours.rglob("*"))
    outside = folder / "outside"
    outside.mkdir()
    (ours / task).symlink_to(outside)
    assert cnnexp(f"task={task}", f"run={ours}") == 2
    assert list(outside.iterdir()) == []
    (ours / task).unlink()
    assert sorted(ours.rglob("*")) == before

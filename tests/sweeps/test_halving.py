"""Halving: who goes on, that they end with the bits of uninterrupted runs, and what is told of the others."""

import csv
import json
from pathlib import Path

import pytest

from bench import halving as bench
from cnnexp.app import run

# a learning rate that learns nothing, one that learns slowly, one that learns, one that does it better
GRID = [
    "-m", "model=ffnn", "model.hidden=[32]", "model.dropout=0.2", "scheduler=cosine", "data.batch_size=128",
    "optimizer.lr=1e-6,1e-4,1e-3,1e-2", "seed=0,1", "trainer.max_epochs=4", "logger=none",
]  # fmt: skip
HALVING = ["hydra/sweeper=halving", "hydra.sweeper.reduction=2", "hydra.sweeper.min_epochs=1"]
EPOCHS = {"1e-06": 1, "0.0001": 1, "0.001": 2, "0.01": 4}
"""Of each learning rate: 4 configurations to epoch 1, the best 2 to epoch 2, the best to the end."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The grid without halving."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        assert run([*GRID, "hydra.sweep.dir=grid"]) == 0
        return Path("grid").absolute()


def epochs(sweep):
    """How far each learning rate got, the same for both seeds."""
    found = {}
    for folder in sweep.glob("*/metrics.csv"):
        lr = next(part for part in folder.parent.name.split(",") if "lr-" in part).partition("lr-")[2]
        with folder.open() as file:
            found.setdefault(f"{float(lr):g}", set()).add(len(list(csv.DictReader(file))))
    return {lr: next(iter(counts)) for lr, counts in found.items() if len(counts) == 1}


def check(sweep, whole):
    assert epochs(sweep) == EPOCHS
    results = {path.parent.name: json.loads(path.read_text()) for path in sweep.glob("*/result.json")}
    completed = [name for name, result in results.items() if result["status"] == "completed"]
    assert len(completed) == 2
    for name in completed:
        assert bench.same_bits(sweep / name, whole / name)
        theirs = json.loads((whole / name / "result.json").read_text())
        for key in ("config_hash", "val_accuracy", "test_accuracy", "best_epoch", "epochs"):
            assert results[name][key] == theirs[key]
        assert "stopped_after_epoch" not in results[name]
    assert (
        sorted(r["stopped_after_epoch"] for name, r in results.items() if name not in completed)
        == [1] * 4 + [2] * 2
    )


def test_the_best_go_on_and_end_as_if_they_had_never_stopped(cnnexp, whole, capsys):
    assert cnnexp(*GRID, *HALVING, "hydra.sweep.dir=half") == 0
    check(Path("half"), whole)
    told = capsys.readouterr().out
    assert "halving: the best 2 of 4 configurations to epoch 2" in told
    assert "Stopped early: 3 of 4 configurations (2 at epoch 1, 1 at epoch 2)" in told
    assert "16 of 32 epochs were trained (50%)" in told
    # what was stopped is ranked below what wasn't, and compared with nothing
    with Path("half/summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"].startswith("stopped at epoch") for row in rows] == [False, True, True, True]
    assert [row["compared"] for row in rows] == ["best", *["not compared"] * 3]
    # resumed, there is nothing left to do
    assert cnnexp("resume=half") == 0
    check(Path("half"), whole)


def test_a_sweep_that_is_interrupted_decides_as_it_would_have(cnnexp, whole, interrupt_when):
    interrupt_when(lambda callback, trainer, batch: callback.seed == 1 and trainer.current_epoch == batch == 1)
    assert cnnexp(*GRID, *HALVING, "hydra.sweep.dir=half") == 130
    assert cnnexp("resume=half") == 0
    check(Path("half"), whole)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_at_once_are_halved_alike(launcher, cnnexp, whole):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    assert cnnexp(*GRID, *HALVING, "hydra.sweep.dir=half", f"hydra/launcher={launcher}") == 0
    check(Path("half"), whole)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["trainer.max_epochs=2,4"], "equally long training"),
        (["trainer.max_epochs=-1", "trainer.max_steps=10"], "counts in epochs"),
        (["optimizer.lr=0.1,0.2", "hydra.sweeper.reduction=3"], "and there are 2"),
        (["optimizer.lr=0.1"], "and there is 1"),
        (["hydra.sweeper.reduction=1"], "hydra.sweeper.reduction=1"),
        (["hydra.sweeper.min_epochs=0"], "hydra.sweeper.min_epochs=0"),
        (["hydra.sweeper.min_epochs=4"], "leaves nothing to save"),
        (["hydra.sweeper.rungs=4"], "rungs"),
        (["settle=true"], "settle=true"),
        (["stop_after_epoch=1"], "leave stop_after_epoch out"),
        (["stop_after_epoch=1,2"], "stop_after_epoch"),
    ],
)
def test_what_can_not_be_halved_is_refused_before_there_is_a_folder(typed, said, cnnexp, folder, capsys):
    assert cnnexp(*GRID, *HALVING, *typed) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.strip().splitlines()) <= 2
    assert not (folder / "outputs").exists()


def test_a_run_stops_after_an_epoch_and_goes_on_with_the_same_bits(cnnexp, folder, whole, capsys):
    [name] = [path.name for path in whole.glob("*lr-0.01,seed-1")]
    one = [override for override in GRID[1:] if not override.startswith(("seed", "optimizer.lr"))]
    assert cnnexp(*one, "optimizer.lr=1e-2", "seed=1", "stop_after_epoch=2", "hydra.run.dir=one") == 0
    assert "stopped after epoch 2, as asked; go on with: python -m cnnexp resume=one" in capsys.readouterr().out
    result = json.loads(Path("one/result.json").read_text())
    assert (result["status"], result["stopped_after_epoch"], result["epochs"]) == ("interrupted", 2, 2)
    assert "stop_after_epoch" not in Path("one/.hydra/config.yaml").read_text()
    assert cnnexp("resume=one", "stop_after_epoch=3") == 0
    assert cnnexp("resume=one") == 0
    assert bench.same_bits(Path("one"), whole / name)
    assert cnnexp("task=test", "run=one", "stop_after_epoch=1") == 2


def test_the_bench_finds_what_the_whole_grid_finds(monkeypatch, capsys):
    monkeypatch.setattr(bench, "GRID", ("model.hidden=[16]", "optimizer.lr=1e-6,1e-2"))
    monkeypatch.setattr(bench, "HALVING", (*bench.HALVING, "hydra.sweeper.reduction=2"))
    assert bench.main(["--studies", "1", "--seeds", "1", "--epochs", "2"]) == 0
    assert "1 of 1 found the whole grid's best (1) or a tie (0)" in capsys.readouterr().out

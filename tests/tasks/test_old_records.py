"""Runs of an older version, which recorded ``model.label_smoothing``: the same experiment under today's names."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from cnnexp import CnnexpError, load_run
from cnnexp.app import run
from cnnexp.command.recorded import read_record
from cnnexp.records import as_now
from cnnexp.reports.records import read_run
from cnnexp.reports.study import study

QUICK = ["model=ffnn", "model.hidden=[4]", "trainer.max_epochs=1", "data.batch_size=256", "logger=none"]


def age(folder: Path) -> None:
    """Make a run's record what the older version wrote."""
    record = folder / ".hydra"
    settings = OmegaConf.load(record / "config.yaml")
    settings.model.label_smoothing = settings.model.pop("loss").label_smoothing
    OmegaConf.save(settings, record / "config.yaml")
    hydra = OmegaConf.load(record / "hydra.yaml")
    del hydra.hydra.runtime.choices["model/loss"]
    OmegaConf.save(hydra, record / "hydra.yaml")
    typed = record / "overrides.yaml"
    typed.write_text(typed.read_text().replace("model.loss.", "model."))
    for path in (folder / "checkpoints").glob("*.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["hyper_parameters"] |= {"label_smoothing": settings.model.label_smoothing}
        torch.save(checkpoint, path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run's folder, and a copy of it as an older version would have left it; nobody writes to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("runs"))
        assert run([*QUICK, "model.loss.label_smoothing=0.3"]) == 0
        [now] = Path("outputs/ffnn-digits").absolute().iterdir()
        old = shutil.copytree(now, now.with_name("old"))
        age(old)
        return now, old


def test_it_is_gone_on_with_to_the_same_bits(
    runs: tuple[Path, Path], folder: Path, cnnexp: Callable[..., int]
) -> None:
    ends = []
    for path in runs:
        ours = shutil.copytree(path, folder / path.name)
        assert cnnexp(f"resume={ours}", "trainer.max_epochs=2") == 0
        ends.append(torch.load(ours / "checkpoints" / "last.ckpt", weights_only=True))
    now, old = ends
    assert all(torch.equal(weight, old["state_dict"][name]) for name, weight in now["state_dict"].items())
    # it was gone on with by the smoothed loss
    assert [row["running_objective"] for row in now["history"]] == [
        row["running_objective"] for row in old["history"]
    ]


def test_it_is_loaded_tested_and_run_again(
    runs: tuple[Path, Path], folder: Path, cnnexp: Callable[..., int]
) -> None:
    _, old = runs
    assert load_run(old).model.loss.label_smoothing == 0.3
    ours = shutil.copytree(old, folder / "ours")
    assert cnnexp("task=test", f"run={ours}") == 0
    [tested] = (ours / "test").glob("*/result.json")
    before = json.loads((old / "result.json").read_text())
    assert json.loads(tested.read_text())["test_accuracy"] == before["test_accuracy"]
    assert cnnexp("task=fit", f"run={ours}", "model.loss=focal", "trainer.limit_train_batches=1") == 0
    [again] = (folder / "outputs").glob("*/*")
    assert read_record(again)[0].model.loss._target_ == "cnnexp.models.losses.Focal"


def test_a_report_counts_it_as_the_same_configuration(runs: tuple[Path, Path]) -> None:
    now, old = map(read_run, runs)
    assert (old.settings, old.typed) == (now.settings, now.typed)
    assert len(study([now, old]).configurations) == 1


@pytest.mark.parametrize("model", [None, [], 3, "cnn"])
def test_a_record_without_a_model_is_refused(model: Any, runs: tuple[Path, Path], tmp_path: Path) -> None:
    ours = shutil.copytree(runs[1], tmp_path / "ours")
    settings = OmegaConf.load(ours / ".hydra" / "config.yaml")
    del settings["model"]
    OmegaConf.save(settings if model is None else {**settings, "model": model}, ours / ".hydra" / "config.yaml")
    with pytest.raises(CnnexpError, match="isn't the record of a cnnexp run"):
        load_run(ours)
    assert read_run(ours).status in ("completed", "unreadable")


@pytest.mark.parametrize(
    "settings",
    [
        {"model": {"_target_": "mine.Net", "label_smoothing": 0.1}},
        {"model": {"_target_": "cnnexp.FFNN", "label_smoothing": 0.1, "loss": {}}},
        {"model": {"_target_": "cnnexp.FFNN"}},
        {"model": {"label_smoothing": 0.1}},
        {},
        None,
        [],
        "x",
    ],
    ids=str,
)
def test_what_is_of_now_or_ones_own_is_left_alone(settings: Any) -> None:
    assert as_now(settings) is settings

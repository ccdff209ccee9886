"""Sweeps as a whole: refused before they begin, resumed, stopped at a failure, and ended with a report."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra

from cnnexp.command.check import check
from cnnexp.command.resolvers import config_folder
from cnnexp.errors import CnnexpError
from cnnexp.evaluation.answers import read_answers
from cnnexp.evaluation.intervals import mcnemar
from cnnexp.sweeps.grid import check_jobs, jobs_of
from cnnexp.sweeps.sweep import Sweep, duration

QUICK = ["model.channels=[4]", "model.hidden=[]", "trainer.max_epochs=2", "trainer.limit_train_batches=3"]
STUDIES = sorted(
    path.stem
    for path in (config_folder() / "experiment").glob("*.yaml")
    if "sweeper:" in path.read_text() and "sweeper: optuna" not in path.read_text()  # which has no list of jobs
)


def the_sweep(folder: Path) -> Path:
    [sweep] = folder.glob("outputs/sweeps/*/*")
    return sweep


def jobs(sweep: Path) -> dict[str, str]:
    """Each job's status."""
    found = sorted(sweep.glob("*/result.json"))
    return {path.parent.name: json.loads(path.read_text())["status"] for path in found}


@pytest.mark.parametrize(
    ("swept", "said"),
    [
        ("model=cnn,cm", "model=cm: there is no such model"),
        ("optimizer.lr=0.1,fast", 'optimizer.lr="fast" is not allowed'),
        ("model.channel=1,2", "did you mean model.channels?"),
        ("model.dropout=0,1.5", "model.dropout=1.5 is not allowed"),
        ("optimizer.lr=interval(0,1)", "does not support sweep type"),
    ],
)
def test_a_job_that_does_not_compose_refuses_the_whole_sweep(swept, said, cnnexp, folder, capsys):
    assert cnnexp(*QUICK, "-m", swept) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "outputs").exists()


def test_a_sweep_tells_how_far_it_is_and_ends_with_a_report(cnnexp, folder, capsys):
    assert cnnexp(*QUICK, "-m", "seed=0,1", "data.train_size=100,400", "baseline=train_size=400") == 0
    printed = capsys.readouterr().out
    assert "job 1 of 4: data.train_size-100,seed-0" in printed
    assert "job 4 of 4" in printed
    assert "best val accuracy so far" in printed
    assert "epoch 1/2" not in printed
    assert "epoch 1/2" in (the_sweep(folder) / "data.train_size-100,seed-0" / "run.log").read_text()
    assert "the baseline (train_size=400)" in printed
    for name in ("report.html", "report.csv", "curves.png"):
        assert (the_sweep(folder) / name).stat().st_size > 500


def test_networks_of_one_seed_each_are_compared_image_by_image(cnnexp, folder, capsys):
    assert cnnexp(*QUICK, "-m", "model.channels=[1],[16]", "optimizer.lr=0.01") == 0
    assert "Is it real? " in (printed := capsys.readouterr().out)
    assert "validation images (McNemar's exact test, p < 0.05)." in printed
    assert "This speaks of these trained networks only" in printed
    _, other = json.loads((the_sweep(folder) / "report.json").read_text())["configurations"]
    one, two = (read_answers(path.parent) for path in the_sweep(folder).glob("*/result.json"))
    assert one.images == two.images
    assert other["p_value"] == pytest.approx(mcnemar(one.right, two.right).p_value)
    assert abs(other["difference"]) == pytest.approx(abs(one.right.mean() - two.right.mean()))


def test_fail_fast_stops_at_the_first_failure(cnnexp, folder, capsys):
    assert cnnexp(*QUICK, "-m", "optimizer.lr=0.001,1e39,0.01", "fail_fast=true") == 1
    assert jobs(the_sweep(folder)) == {"optimizer.lr-0.001": "completed", "optimizer.lr-1e+39": "failed"}
    assert "1 failed" in capsys.readouterr().err


def test_a_job_does_not_depend_on_those_before_it(cnnexp, folder):
    assert cnnexp(*QUICK, "model.dropout=0.2", "-m", "seed=0,1") == 0
    assert cnnexp(*QUICK, "model.dropout=0.2", "-m", "seed=1,3", "name=alone") == 0
    after, alone = (
        torch.load(next(folder.glob(f"outputs/sweeps/{name}/*/seed-1/checkpoints/last.ckpt")), weights_only=True)
        for name in ("adhoc", "alone")
    )
    for name, tensor in after["state_dict"].items():
        assert torch.equal(tensor, alone["state_dict"][name])


@pytest.fixture
def interrupted(cnnexp, folder, interrupt_when, capsys) -> Path:
    """A sweep of three jobs, interrupted within the second one's second epoch."""
    interrupt_when(
        lambda steps, trainer, batch_idx: steps.seed == 1 and (trainer.current_epoch, batch_idx) == (1, 1)
    )
    assert cnnexp(*QUICK, "-m", "seed=0,1,2") == 130
    assert "go on with: python -m cnnexp resume=outputs/sweeps/adhoc/" in capsys.readouterr().err
    assert jobs(the_sweep(folder)) == {"seed-0": "completed", "seed-1": "interrupted"}
    return the_sweep(folder)


def test_a_resumed_sweep_runs_what_is_left_and_leaves_the_rest_alone(interrupted, cnnexp, folder, capsys):
    finished = {path: path.read_bytes() for path in (interrupted / "seed-0").rglob("*") if path.is_file()}
    assert cnnexp(f"resume={interrupted}") == 0
    printed = capsys.readouterr().out
    assert "job 1 of 2: seed-1" in printed
    assert "job 2 of 2" in printed
    assert jobs(interrupted) == dict.fromkeys(["seed-0", "seed-1", "seed-2"], "completed")
    assert {path: path.read_bytes() for path in (interrupted / "seed-0").rglob("*") if path.is_file()} == finished
    assert (interrupted / "report.html").exists()

    assert cnnexp(*QUICK, "-m", "seed=1,3", "name=straight") == 0
    [straight] = folder.glob("outputs/sweeps/straight/*/seed-1")
    resumed, other = (
        torch.load(job / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for job in (interrupted / "seed-1", straight)
    )
    assert all(torch.equal(resumed[name], other[name]) for name in resumed)
    assert (interrupted / "seed-1" / ".hydra" / "resumes.yaml").exists()

    capsys.readouterr()
    # nothing is left to do: nothing is done
    assert cnnexp(f"resume={interrupted}") == 0
    assert "job 1" not in capsys.readouterr().out


def test_of_what_is_complete_each_value_is_composed_once(cnnexp, folder, monkeypatch, capsys):
    swept = ["-m", "seed=0,1,2", "++model.hidden=[4],[4,4]", "model.dropout=0.1"]
    quick = ["model=ffnn", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "logger=none"]
    assert cnnexp(*quick, *swept) == 0
    sweep = the_sweep(folder)
    [lost] = [
        path for path in sweep.glob("*/result.json") if "4,4" in path.parts[-2] and "seed-2" in path.parts[-2]
    ]
    lost.unlink()
    composed = []
    load = ConfigLoaderImpl.load_sweep_config

    def noted(self, config, overrides):
        composed.append([override for override in overrides if override.startswith(("seed", "++model.hidden"))])
        return load(self, config, overrides)

    monkeypatch.setattr("cnnexp.sweeps.start.check_jobs", lambda *args: None)
    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", noted)
    capsys.readouterr()
    assert cnnexp(f"resume={sweep}") == 0
    assert "job 1 of 1" in capsys.readouterr().out
    assert set(jobs(sweep).values()) == {"completed"}
    assert len(jobs(sweep)) == 6
    # seeds 0, 1 and 2 with the first width, the second once, and the job that is left: to look, and to run it
    assert len(composed) == 6
    assert {value for job in composed[:4] for value in job} == {
        "seed=0", "seed=1", "seed=2", "++model.hidden=[4]", "++model.hidden=[4,4]"
    }  # fmt: skip

    # what was never begun compares nothing: the one job that has a record is still held against it
    for folder_of_job in sweep.glob("*/"):
        if folder_of_job != lost.parent:
            shutil.rmtree(folder_of_job)
    assert cnnexp(f"resume={sweep}", "optimizer.lr=0.5") == 2
    assert "was started with another optimizer.lr" in capsys.readouterr().err


def test_a_resumed_sweep_can_not_become_another(interrupted, cnnexp, capsys):
    assert cnnexp(f"resume={interrupted}", "optimizer.lr=0.5") == 2
    assert "was started with another optimizer.lr" in capsys.readouterr().err
    assert jobs(interrupted) == {"seed-0": "completed", "seed-1": "interrupted"}


def test_a_sweep_at_work_is_not_resumed(interrupted, cnnexp, capsys):
    at_work = Sweep(interrupted)
    at_work.hold()
    assert cnnexp(f"resume={interrupted}") == 2
    assert "is in use by another process; wait for it to end" in capsys.readouterr().err
    assert jobs(interrupted) == {"seed-0": "completed", "seed-1": "interrupted"}
    at_work.leave()


@pytest.mark.parametrize("data", [["data=mnist", "data.mirrors=[]"], ["data=image_folder", "data.root=nowhere"]])
def test_data_that_are_missing_are_told_once_and_before_there_is_a_folder(data, cnnexp, folder, capsys):
    assert cnnexp(*QUICK, *data, "-m", "seed=0,1,2") == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) <= 2
    assert told.startswith("cnnexp: ")
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize("study", STUDIES)
def test_every_job_of_every_study_composes(study, folder):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", [f"experiment={study}"], return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        overrides = jobs_of(config, loader)
        assert overrides is not None
        assert len(overrides) >= 6
        for job in (overrides[0], overrides[-1]):
            check(compose("config", [f"experiment={study}", *job], return_hydra_config=False))


@pytest.mark.slow
def test_a_study_runs_multirun_by_itself(cnnexp, folder, every_data_set):
    assert cnnexp(
        "experiment=overfit_train_size", "data.train_size=50,200", "trainer.max_epochs=2", "data.val_size=0.2",
    ) == 0  # fmt: skip
    [sweep] = (folder / "outputs" / "sweeps" / "overfit_train_size").iterdir()
    assert len(jobs(sweep)) == 4
    assert (sweep / "gap.png").exists()


def test_the_time_left_is_told_in_a_unit_that_fits():
    assert [duration(seconds) for seconds in (5, 89, 600, 6 * 3600)] == ["5 s", "89 s", "10 min", "6.0 h"]
    sweep = Sweep(Path("here"), jobs=2)
    sweep.finished("first", {"val_accuracy": None})
    assert "best" not in sweep.announce("second", 2)


def test_a_grid_is_checked_before_it_begins_by_its_values_not_by_all_its_jobs(folder):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", [], return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        composed: list[list[str]] = []
        load = loader.load_sweep_config
        loader.load_sweep_config = lambda master, job: (composed.append(job), load(master, job))[1]
        grid = [
            [f"model={model}", f"optimizer.lr={rate}", f"seed={seed}"]
            for model in ("cnn", "ffnn") for rate in (0.1, 0.2, 0.3) for seed in range(4)
        ]  # fmt: skip
        check_jobs(config, grid, loader)
        assert len(composed) <= 2 * (3 + 4)
        assert {override for job in composed for override in job} == {override for job in grid for override in job}
        with pytest.raises(CnnexpError, match="seed=-1 is not allowed"):
            check_jobs(config, [*grid, ["model=ffnn", "optimizer.lr=0.3", "seed=-1"]], loader)

"""What Optuna is asked by: samplers that draw, and a study of a stranger's that can do no harm."""

import os
import pickle
import socket
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from serving import Trap

from cnnexp import CnnexpError
from cnnexp.command.resolvers import config_folder
from cnnexp.reports.search import quiet_optuna
from cnnexp.sweeps.search_space import overrides_of, probes, space_of
from cnnexp.sweeps.study import FOLDER, HOST, PROCESS, Process, open_study, settle

SAMPLERS = sorted((config_folder() / "hydra" / "sweeper" / "sampler").glob("*.yaml"))
QUICK = ["model=ffnn", "model.hidden=[4]", "trainer=debug", "logger=none", "data.batch_size=64"]
SPACE = space_of(overrides_of({"x": "interval(-1.0,1.0)", "y": "interval(-1.0,1.0)", "kind": "a,b"}, []))


def sampler(file: Path, **more):
    return instantiate({**OmegaConf.to_container(OmegaConf.load(file)), "seed": 0, **more})


def searched(trials: int, file: Path, mark=None):
    study = quiet_optuna().create_study(direction="maximize")
    for number in range(trials):
        study.sampler = sampler(file, seed=number)
        trial = study.ask(SPACE)
        if mark is not None:
            study._storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", mark)
        study.tell(trial, -((trial.params["x"] - 0.5) ** 2) - trial.params["y"] ** 2)
    return study


@pytest.mark.parametrize("file", SAMPLERS, ids=lambda path: path.stem)
def test_each_sampler_draws_the_same_from_the_same_trials(file):
    first, second = (searched(12, file) for _ in range(2))
    assert [trial.params for trial in first.trials] == [trial.params for trial in second.trials]
    assert len({trial.params["x"] for trial in first.trials}) == 12


def test_cmaes_finds_the_top_and_neither_reads_nor_keeps_pickles(tmp_path):
    [cmaes, random] = [file for file in SAMPLERS if file.stem in ("cmaes", "random")]
    ours, drawn = (searched(30, file).trials for file in (cmaes, random))
    assert sum(trial.value for trial in ours[20:]) > 0.3 * sum(trial.value for trial in drawn[20:])
    assert all(trial.system_attrs == {} for trial in ours)
    sprung = tmp_path / "sprung"
    searched(15, cmaes, mark=pickle.dumps(Trap(str(sprung))).hex())
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("typed", "low", "high", "step"),
    [
        ("int(interval(16,128))", 16, 128, 1),
        ("range(16,128,16)", 16, 128, 16),
        ("range(1,9,3)", 1, 7, 3),
        ("range(0.0,0.5,0.2)", 0.0, 0.4, 0.2),
        ("tag(log,interval(1e-4,1e-1))", 1e-4, 1e-1, None),
    ],
)
def test_ranges_are_tried_at_both_ends(typed, low, high, step):
    overrides = overrides_of({"key": typed}, ["fixed=1"])
    kind = space_of(overrides)["key"]
    assert (kind.low, kind.high, kind.step, kind.log) == (low, high, step, "log" in typed)
    assert probes(overrides) == [["fixed=1", f"key={low}"], ["fixed=1", f"key={high}"]]


@pytest.mark.parametrize(
    ("params", "folder"),
    [
        ({"model": "../../theirs/model"}, "trial"),
        ({"model": "cnn", "+callbacks.mine._target_": "os.mkdir"}, "trial"),
        ({"model": "cnn"}, ".."),
        ({"model": "cnn"}, "../elsewhere"),
        ({"model": "cnn"}, "link"),
    ],
    ids=str,
)
def test_a_strangers_trial_has_failed_and_leads_nowhere(params, folder, tmp_path):
    sweep = tmp_path / "sweep"
    for path in (sweep / "trial", tmp_path / "elsewhere"):
        path.mkdir(parents=True)
    (sweep / "link").symlink_to(tmp_path / "elsewhere")
    theirs = tmp_path / "lock.lock"  # a lock of that name would be taken, and its file removed
    theirs.write_text("a thesis")
    study = open_study(f"{sweep}/study.journal", "search", "maximize")
    optuna = quiet_optuna()
    kinds = {key: optuna.distributions.CategoricalDistribution([value]) for key, value in params.items()}
    attributes = {FOLDER: folder, HOST: socket.gethostname(), PROCESS: "../../lock"}
    running = optuna.trial.TrialState.RUNNING
    study.add_trial(
        optuna.trial.create_trial(state=running, params=params, distributions=kinds, user_attrs=attributes)
    )
    before = set(tmp_path.rglob("*")) | set(tmp_path.parent.glob("*"))
    process = Process(sweep)
    [taken] = process.take_over(study.trials)
    assert settle(study, taken, sweep, space_of(overrides_of({"model": "cnn,ffnn"}, [])))
    process.leave()
    assert study.trials[0].state.name == "FAIL"
    assert theirs.read_text() == "a thesis"
    new = {path for path in set(tmp_path.rglob("*")) | set(tmp_path.parent.glob("*")) if path not in before}
    assert all(path.is_relative_to(sweep / ".search") for path in new)


def test_half_a_line_that_a_full_disk_left_spoils_nothing(tmp_path):
    path = tmp_path / "study.journal"
    study = open_study(str(path), "search", "maximize")
    study.tell(study.ask(SPACE), 0.5)
    with path.open("a") as file:
        file.write('{"op_code":4,"worker_id')
    again = open_study(str(path), "search", "maximize")
    again.tell(again.ask(SPACE), 0.7)
    assert [trial.value for trial in open_study(str(path), "search", "maximize").trials] == [0.5, 0.7]


def test_a_study_is_of_limited_size(tmp_path):
    path = tmp_path / "study.journal"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(CnnexpError, match="more than 256 MiB"):
        open_study(str(path), "search", "maximize")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CnnexpError, match="isn't a file"):
        open_study(str(path), "search", "maximize")


def test_a_shared_study_leads_to_no_folder_elsewhere(cnnexp, folder):
    elsewhere, address = folder / "elsewhere", f"sqlite:///{folder}/study.db"
    elsewhere.mkdir()
    (elsewhere / "multirun.yaml").write_text("{}")
    study = open_study(address, "shared", "maximize")
    study.set_user_attr(f"{FOLDER}.another", str(elsewhere))
    typed = ["hydra/sweeper=optuna", f"hydra.sweeper.storage={address}", "hydra.sweeper.study_name=shared"]
    rate = "optimizer.lr=interval(0.001,0.01)"
    assert cnnexp("-m", *QUICK, *typed, rate, "hydra.sweeper.n_trials=1") == 0
    assert [path.name for path in elsewhere.iterdir()] == ["multirun.yaml"]
    assert len(list((folder / "outputs" / "sweeps").glob("*/*/multirun.yaml"))) == 1

"""Searches by Optuna: refused before they begin, shared by processes, finished rather than started over."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnnexp.sweeps.study import open_study

QUICK = ["model.channels=[4]", "model.hidden=[]", "trainer.max_epochs=2", "trainer.limit_train_batches=3"]
OPTUNA = ["hydra/sweeper=optuna", "-m"]
RATE = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
SHARED = ["hydra.sweeper.storage=sqlite:///study.db", "hydra.sweeper.study_name=shared"]


def the_sweep(folder: Path) -> Path:
    [sweep] = folder.glob("outputs/sweeps/*/*")
    return sweep


def trials(address: str, name: str) -> list[tuple[str, dict]]:
    return [(trial.state.name, trial.params) for trial in open_study(address, name, "maximize").trials]


def results(sweep: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(sweep.glob("*/result.json"))}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "nothing to search"),
        (["optimizer.lr=interval(0.1,0.01)"], "from the lower to the higher"),
        (["optimizer.lr=tag(log,interval(0.0,0.1))"], "begins above 0"),
        (["optimizer.lr=tag(lgo,interval(0.1,0.2))"], "there is no tag lgo"),
        (["data.batch_size=interval(16,64)"], "data.batch_size=16.0 is not allowed"),
        (["optimizer.lr=interval(1e-4,1e-1"], "can't read 'optimizer.lr=interval(1e-4,1e-1'"),
        (["model=glob(*)"], "a search tries a,b,c or range"),
        (["model.dropout=interval(0.5,1.5)"], "model.dropout=1.5 is not allowed"),
        (["model.dropuot=interval(0.0,0.5)"], "did you mean model.dropout?"),
        (["model=cnn,cm", RATE], "model=cm: there is no such model"),
        ([RATE, "hydra/sweeper/sampler=tpee"], "there is no such sampler; allowed: cmaes"),
        ([RATE, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0 is not allowed"),
        ([RATE, "hydra.sweeper.direction=up"], "'maximize' or 'minimize'"),
        ([RATE, SHARED[0]], "type hydra.sweeper.study_name="),
        ([RATE, "hydra.sweeper.storage=sqlite:///nowhere/study.db", SHARED[1]], "no database answers"),
        ([RATE, "hydra.sweeper.storage=nonsense", SHARED[1]], "no database answers"),
        ([RATE, "hydra.sweeper.storage=postgresql://me:secret@localhost:1/x", SHARED[1]], "me:***@localhost:1/x"),
    ],
)
def test_a_search_that_can_not_be_is_refused_before_it_has_a_folder(typed, said, cnnexp, folder, capsys):
    assert cnnexp(*OPTUNA, *typed) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "secret" not in told
    assert len(told.splitlines()) <= 2
    assert not (folder / "outputs").exists()


def test_a_plugin_that_is_not_installed_is_named(cnnexp, folder, capsys, monkeypatch):
    from hydra_plugins.cnnexp_optuna import CnnexpOptunaSweeper

    monkeypatch.setattr(CnnexpOptunaSweeper, "NEEDS", ("hydra_plugins.not_installed", "optuna"))
    assert cnnexp(*OPTUNA, RATE) == 2
    assert 'pip install "cnnexp[optuna]"' in capsys.readouterr().err


def test_a_search_ends_with_its_best_trial_and_what_mattered(cnnexp, folder, capsys):
    # few settings: some are tried twice, and each trial has a folder of its own all the same
    assert cnnexp(*OPTUNA, *QUICK, "optimizer.lr=0.0001,0.01", "hydra.sweeper.n_trials=4") == 0
    printed = capsys.readouterr().out
    assert "job 4 of 4" in printed
    assert "Study search: 4 of 4 trials done." in printed
    sweep = the_sweep(folder)
    found = results(sweep)
    assert len(found) == 4
    assert any(name.endswith("-2") for name in found)
    best = max(result["val_accuracy"] for result in found.values())
    assert f"{100 * best:.2f} % validation accuracy, lr=0.01." in printed
    assert "Importance (fANOVA, over 4 trials): lr 100 %." in printed
    told = trials(f"{sweep}/study.journal", "search")
    assert [state for state, _ in told] == ["COMPLETE"] * 4
    assert "<h2>Search</h2>" in (sweep / "report.html").read_text()
    assert (sweep / "search.png").stat().st_size > 5000
    assert (sweep / "report.csv").read_text().startswith("folder,status,verdict,model,data,optimizer.lr,seed,")


def test_a_failed_trial_is_counted_and_the_search_goes_on(cnnexp, folder, capsys):
    assert cnnexp(*OPTUNA, *QUICK, "optimizer.lr=1e39,0.01", "hydra.sweeper.n_trials=4") == 1
    printed = capsys.readouterr()
    states = [state for state, _ in trials(f"{the_sweep(folder)}/study.journal", "search")]
    assert len(states) == 4
    assert set(states) == {"COMPLETE", "FAIL"}
    assert f"4 of 4 trials done, {states.count('FAIL')} failed" in printed.out
    assert f"{states.count('FAIL')} failed in" in printed.err
    assert "Traceback" not in printed.err


@pytest.fixture
def interrupt(interrupt_when):
    """Interrupt the trial of a number, counted from one, in its second epoch."""

    def in_trial(which: int) -> None:
        begun = []

        def due(steps, trainer, batch_idx):
            if (trainer.current_epoch, batch_idx) == (0, 0):
                begun.append(steps)
            return len(begun) == which and (trainer.current_epoch, batch_idx) == (1, 1)

        interrupt_when(due)

    return in_trial


@pytest.mark.parametrize("shared", [False, True], ids=["resume", "the same command again"])
def test_an_interrupted_search_is_finished_and_is_what_it_would_have_been(
    shared, cnnexp, folder, capsys, interrupt
):
    command = [*OPTUNA, *QUICK, RATE, "model.dropout=0,0.2", "hydra.sweeper.n_trials=4", "name=a"]
    command += SHARED if shared else []
    interrupt(3)
    assert cnnexp(*command) == 130
    sweep = the_sweep(folder)
    assert [result["status"] for result in results(sweep).values()].count("interrupted") == 1
    assert "go on with: python -m cnnexp resume=outputs/sweeps/a/" in capsys.readouterr().err
    assert '"RUNNING"' in (sweep / "search.json").read_text()

    assert cnnexp(*(command if shared else [f"resume={sweep}"])) == 0
    assert "job 1 of 2" in capsys.readouterr().out
    assert the_sweep(folder) == sweep
    found = results(sweep)
    assert [result["status"] for result in found.values()] == ["completed"] * 4
    if shared:
        assert cnnexp(*command) == 0  # nothing is left to do
        assert len(results(sweep)) == 4
        return
    assert cnnexp(*command, "name=straight") == 0
    [other] = folder.glob("outputs/sweeps/straight/*")
    numbers = ("val_loss", "val_accuracy", "test_loss")
    assert {name: [result[key] for key in numbers] for name, result in found.items()} == {
        name: [result[key] for key in numbers] for name, result in results(other).items()
    }


@pytest.mark.parametrize("instant", ["set_user_attr", "_suggest"])
def test_a_search_that_was_killed_before_its_trial_had_a_folder_runs_that_trial(
    instant, cnnexp, folder, monkeypatch
):
    """Killed, for what is on the disk: the process that was at it did nothing any more."""
    from optuna.trial import Trial

    class Killed(BaseException):
        pass

    def dies(self, *arguments):
        if self.number == 1 and (instant != "_suggest" or "optimizer.lr" in self.params):
            raise Killed
        return real(self, *arguments)

    command = [*OPTUNA, *QUICK, RATE, "model.dropout=interval(0,0.5)", "hydra.sweeper.n_trials=3"]
    assert cnnexp(*command, "name=straight") == 0
    real = getattr(Trial, instant)
    with monkeypatch.context() as patch:
        patch.setattr(Trial, instant, dies)
        with pytest.raises(Killed):
            cnnexp(*command, "name=a")
    [sweep] = folder.glob("outputs/sweeps/a/*")
    assert cnnexp(f"resume={sweep}") == 0
    [straight] = folder.glob("outputs/sweeps/straight/*")
    # what was chosen of the trial stays, and the others are as they would have been
    one, other = (
        [chosen for _, chosen in trials(f"{path}/study.journal", "search")] for path in (sweep, straight)
    )
    assert (one[0], one[1]["optimizer.lr"], one[2]) == (other[0], other[1]["optimizer.lr"], other[2])
    assert [state for state, _ in trials(f"{sweep}/study.journal", "search")] == ["COMPLETE"] * 3
    assert len(results(sweep)) == 3
    # the folder that was made is the one that is used
    assert len([path for path in sweep.iterdir() if path.is_dir() and not path.name.startswith(".")]) == 3


def test_another_search_under_the_same_name_is_refused(cnnexp, folder, capsys):
    command = [*OPTUNA, *QUICK, RATE, *SHARED, "hydra.sweeper.n_trials=1"]
    assert cnnexp(*command) == 0
    assert cnnexp(*command, "model.dropout=0.5") == 2
    assert "was started with another model.dropout; give another study_name" in capsys.readouterr().err
    assert cnnexp(*command, "hydra.sweeper.direction=minimize") == 2
    assert "is to maximize" in capsys.readouterr().err
    # more trials of the same are none
    assert cnnexp(*command, "hydra.sweeper.n_trials=2") == 0
    assert len(results(the_sweep(folder))) == 2


@pytest.mark.slow
def test_two_processes_share_a_study_and_its_folder(folder):
    command = [sys.executable, "-m", "cnnexp", *OPTUNA, *QUICK, RATE, *SHARED, "hydra.sweeper.n_trials=4"]
    both = [
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    told = trials(f"sqlite:///{folder}/study.db", "shared")
    assert [state for state, _ in told] == ["COMPLETE"] * 4
    assert len({params["optimizer.lr"] for _, params in told}) == 4
    assert [result["status"] for result in results(the_sweep(folder)).values()] == ["completed"] * 4
    assert any("4 of 4 trials done" in text for text in printed)


@pytest.mark.slow
def test_trials_at_once_that_were_interrupted_are_finished_one_after_the_other(cnnexp, folder):
    at_once = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "trainer.max_epochs=500"]
    command = [sys.executable, "-m", "cnnexp", *OPTUNA, *QUICK, RATE, "hydra.sweeper.n_trials=3", *at_once]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        assert "a search" in parent.stdout.readline()
        for _ in range(2):
            assert "of 3" in parent.stdout.readline()
        os.kill(parent.pid, signal.SIGINT)
        parent.stdout.read()
    assert parent.returncode == 130
    sweep = the_sweep(folder)
    before = results(sweep)
    assert [result["status"] for result in before.values()] == ["interrupted"] * 2
    assert cnnexp(f"resume={sweep}", "trainer.max_epochs=3", "hydra/launcher=basic") == 0
    after = results(sweep)
    assert [result["status"] for result in after.values()] == ["completed"] * 3
    assert before.keys() < after.keys()

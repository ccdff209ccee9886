"""Several jobs at once on one machine: the results of one after the other, and an end that all share."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from joblib import effective_n_jobs
from omegaconf import OmegaConf
from waiting import until

from cnnexp.sweeps.gpus import jobs_at_once, seen

QUICK = ["model.channels=[4]", "model.hidden=[]", "trainer.max_epochs=2", "trainer.limit_train_batches=3"]
TWO = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def the_sweep(folder: Path, name: str = "adhoc") -> Path:
    [sweep] = folder.glob(f"outputs/sweeps/{name}/*")
    return sweep


def statuses(sweep: Path) -> dict[str, str]:
    return {
        path.parent.name: json.loads(path.read_text())["status"] for path in sorted(sweep.glob("*/result.json"))
    }


@pytest.mark.slow
def test_jobs_at_once_are_the_jobs_one_after_the_other_and_a_failure_is_the_failed_ones_own(cnnexp, folder, capfd):
    swept = ["model.dropout=0.2", "-m", "optimizer.lr=0.001,1e39,0.01"]
    assert cnnexp(*QUICK, *TWO, *swept) == 1
    printed = capfd.readouterr()
    assert all(f"job {number} of 3" in printed.out for number in (1, 2, 3))
    assert "done: optimizer.lr-0.01: val accuracy" in printed.out
    assert "1 failed" in printed.err
    assert "no finite weight" in printed.err
    together = the_sweep(folder)
    assert (together / "report.html").exists()

    assert cnnexp(*QUICK, "name=serial", *swept) == 1
    serial = the_sweep(folder, "serial")
    assert statuses(together) == statuses(serial)
    for job in ("optimizer.lr-0.001", "optimizer.lr-0.01"):
        one, other = (
            torch.load(sweep / job / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
            for sweep in (together, serial)
        )
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_signal_to_the_parent_alone_ends_the_jobs_too(cnnexp, folder):
    command = [sys.executable, "-m", "cnnexp", *TWO, "-m", "seed=0,1,2", *QUICK, "trainer.max_epochs=150"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        assert parent.stderr is not None
        assert "a sweep of 3 jobs" in parent.stdout.readline()
        for _ in range(2):  # both have begun
            assert "job" in parent.stdout.readline()
        os.kill(parent.pid, signal.SIGTERM)
        rest, errors = parent.stdout.read(), parent.stderr.read()
    assert parent.returncode == 143
    sweep = the_sweep(folder)
    # not only read so by others, since nobody holds its lock any more: it says so itself
    assert statuses(sweep) == {"seed-0": "interrupted", "seed-1": "interrupted"}
    assert "Traceback" not in rest + errors
    assert f"go on with: python -m cnnexp resume={sweep.relative_to(folder)}" in errors

    # what is left may be done one after the other
    assert cnnexp(f"resume={sweep}", "hydra/launcher=basic") == 0  # whose killed job may have got anywhere
    assert statuses(sweep) == dict.fromkeys(["seed-0", "seed-1", "seed-2"], "completed")


@pytest.mark.slow
def test_fail_fast_ends_the_other_jobs(cnnexp, folder, capfd):
    swept = ["-m", "optimizer.lr=0.001,1e39,0.01,0.02", "trainer.max_epochs=500", "fail_fast=true"]
    assert cnnexp(*QUICK, *TWO, *swept) == 1
    assert "1 failed" in capfd.readouterr().err
    assert statuses(the_sweep(folder))["optimizer.lr-1e+39"] == "failed"
    assert "completed" not in statuses(the_sweep(folder)).values()


@pytest.mark.slow
def test_a_worker_that_is_killed_fails_its_job_and_not_the_sweep(cnnexp, folder, capsys):
    def kill_one() -> None:
        until(lambda: list(folder.glob("outputs/sweeps/*/*/seed-*/metrics.csv")))
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    assert cnnexp(*QUICK, *TWO, "trainer.max_epochs=40", "-m", "seed=0,1,2,3") == 1
    killer.join()
    sweep, printed = the_sweep(folder), capsys.readouterr()
    assert f"didn't finish; python -m cnnexp resume={sweep.relative_to(folder)} goes on" in printed.err
    assert "a worker was killed" in printed.err
    assert "Traceback" not in printed.err
    assert (sweep / "report.html").is_file()
    assert list(statuses(sweep).values()).count("completed") >= 2
    assert cnnexp(f"resume={sweep}", "hydra/launcher=basic") == 0  # whose killed job may have got anywhere
    assert list(statuses(sweep).values()) == ["completed"] * 4


def test_none_at_once_is_refused(cnnexp, folder, capsys):
    assert cnnexp("hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "-m", "seed=0,1") == 2
    assert "n_jobs=0 is not allowed: input should be -1 or" in capsys.readouterr().err
    assert not (folder / "outputs").exists()


def test_a_plugin_that_is_not_installed_is_named(cnnexp, folder, capsys, monkeypatch):
    from hydra_plugins.cnnexp_joblib import CnnexpJoblibLauncher

    monkeypatch.setattr(CnnexpJoblibLauncher, "NEEDS", ("hydra_plugins.not_installed", "joblib"))
    assert cnnexp("hydra/launcher=joblib", "-m", "seed=0,1") == 2
    assert 'pip install "cnnexp[joblib]"' in capsys.readouterr().err
    assert not (folder / "outputs").exists()


NOTE = """
import os

import lightning as L


class Note(L.Callback):
    def on_train_start(self, trainer, module):
        with open("seen", "a") as file:
            file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
"""


@pytest.mark.slow
def test_each_job_sees_a_gpu_of_its_own(folder, monkeypatch):
    (folder / "note.py").write_text(NOTE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5,6")  # none of which is there: training is on the CPU
    command = [
        sys.executable, "-m", "cnnexp", *QUICK, "hydra/launcher=joblib", "hydra.launcher.gpus=[0,1]",
        "+callbacks.note._target_=note.Note", "-m", "seed=0,1,2,3",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in (folder / "seen").read_text().splitlines()]
    assert len(lines) == 4
    of_worker = dict(lines)
    assert len(of_worker) == len(set(map(tuple, lines)))  # a worker keeps its GPU
    assert set(of_worker.values()) == {"4", "GPU-5"}


@pytest.mark.parametrize(
    ("settings", "visible", "gpus", "expected"),
    [
        ({}, "0,1,2", None, ["0", "1", "2"]),
        ({}, "0,1,2", [0, 2, 7], ["0", "2"]),
        ({}, "", None, []),
        ({}, "-1", None, []),
        ({}, "0,-1,1", None, ["0"]),
        ({}, None, [1, 3], ["1", "3"]),
        ({"accelerator": "cpu"}, "0,1", None, []),
        ({"accelerator": "gpu"}, "MIG-1,MIG-2", None, ["MIG-1", "MIG-2"]),
        ({"devices": 2}, "0,1", None, []),  # a job's own processes share them out
        ({"devices": "auto"}, "0,1", None, []),
    ],
)
def test_gpus_are_shared_out_to_jobs_of_one_device(monkeypatch, settings, visible, gpus, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    config = OmegaConf.create({"trainer": {"accelerator": "auto", "devices": 1, **settings}})
    assert seen(config, gpus) == expected
    assert jobs_at_once(config, 3, 2, gpus) == 3
    assert jobs_at_once(config, -1, 2, gpus) == (2 * len(expected) or effective_n_jobs(-1))

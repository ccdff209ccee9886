"""Sweeps and runs on a real Slurm: arrays, failures, pre-emption, cancelling."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import epochs, same_weights, statuses, until

pytest.importorskip("submitit", reason='pip install "cnnexp[slurm]"')
pytestmark = pytest.mark.slow

SMALL = ["model.channels=[4]", "model.hidden=[16]", "model.dropout=0.2", "data.batch_size=16"]
SMALL_JOBS = ["hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]


def start(folder: Path, *arguments: str) -> tuple["subprocess.Popen[str]", str]:
    """Type the command of a sweep, and return it with Slurm's number for its jobs."""
    waiting = subprocess.Popen(
        [sys.executable, "-u", "-m", "cnnexp", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    line = waiting.stdout.readline() and waiting.stdout.readline()  # the second: the first says that it begins
    number = re.search(r"squeue -j (\d+)", line)
    if number is None:
        waiting.wait()
        pytest.fail(line + waiting.stderr.read())
    return waiting, number[1]


def the_sweep(folder: Path) -> Path:
    [sweep] = folder.glob("outputs/sweeps/*/*")
    return sweep


def status(run: Path) -> str:
    return json.loads((run / "result.json").read_text())["status"]


def state_of(job: str) -> str:
    return subprocess.run(
        ["squeue", "-h", "-o", "%t", "-j", job], capture_output=True, text=True, check=False
    ).stdout.strip()


def start_now(job: str) -> bool:
    """Spare a job that was queued again Slurm's wait of two minutes; return whether it runs."""
    if state_of(job) == "PD":
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=False)
    return state_of(job) in ("R", "")


def test_an_array_in_which_a_job_fails_and_another_is_cancelled(folder):
    swept = "trainer.max_epochs=0,1,100000"
    waiting, array = start(folder, *SMALL, *SMALL_JOBS, "-m", swept, "hydra/launcher=slurm_cpu")
    sweep = the_sweep(folder)
    long = sweep / "trainer.max_epochs-100000"
    until(lambda: epochs(long) > 0)
    subprocess.run(["scancel", f"{array}_2"], check=True)
    printed, error = waiting.communicate(timeout=120)
    assert waiting.returncode == 1
    assert list(statuses(sweep).values()) == ["failed", "completed", "interrupted"]
    assert "1 failed in" in error
    assert "trainer.max_epochs-0: CnnexpError: trainer.max_epochs=0 trains nothing" in error
    assert "1 didn't finish; python -m cnnexp resume=outputs/sweeps/adhoc/" in error
    assert f"{long.name}: interrupted: " in error
    assert "3 of 3 ended, best val accuracy so far" in printed
    assert (sweep / "report.html").exists()
    # it was told to stop and saved what it had
    assert (long / "checkpoints" / "last.ckpt").exists()


def test_a_preempted_job_whose_command_was_ended_comes_to_the_same_bits(cnnexp, folder, capsys):
    gpu = "gpu" in subprocess.run(["sinfo", "-h", "-o", "%G"], capture_output=True, text=True, check=True).stdout
    launcher = f"hydra/launcher=slurm_{'gpu' if gpu else 'cpu'}"
    settings = [*SMALL, "trainer.max_epochs=15"]
    waiting, job = start(folder, *settings, *SMALL_JOBS, "-m", "seed=3", launcher, "hydra.launcher.mem_gb=1")
    waiting.send_signal(signal.SIGTERM)
    _, error = waiting.communicate(timeout=120)
    assert waiting.returncode == 143
    assert f"SIGTERM: no longer waiting, but the jobs go on; to cancel them: scancel {job}" in error
    sweep = the_sweep(folder).relative_to(folder)
    assert f"python -m cnnexp task=report run={sweep}" in error
    run = sweep / "job"  # nothing is swept that could name it
    until(lambda: epochs(run) > 1)
    # as Slurm does before the time is up, or on pre-emption with PreemptParameters=send_user_signal
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    until(lambda: status(run) == "interrupted")
    assert cnnexp(f"resume={sweep}") == 2
    assert f"still queued or at work; wait for them, or cancel them: scancel {job}" in capsys.readouterr().err
    until(lambda: start_now(job))
    until(lambda: status(run) == "completed")
    assert epochs(run) == 15
    assert [path.name for path in sweep.iterdir() if path.is_dir() and path.name[0] != "."] == ["job"]

    assert cnnexp(*settings, "seed=3") == 0
    [straight] = folder.glob("outputs/cnn-digits/*")
    assert same_weights(straight, run)


def test_a_run_that_sbatch_started_is_interrupted_and_resumed(cnnexp, folder):
    command = f"srun {sys.executable} -m cnnexp {' '.join(SMALL)} trainer.max_epochs=100000"
    asked = subprocess.run(
        ["sbatch", "--parsable", f"--chdir={folder}", f"--wrap={command}"],
        capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    until(lambda: any(epochs(run) > 0 for run in folder.glob("outputs/cnn-digits/*")))
    [run] = folder.glob("outputs/cnn-digits/*")
    subprocess.run(["scancel", asked.stdout.strip()], check=True)
    until(lambda: status(run) == "interrupted")
    before = epochs(run)
    assert cnnexp(f"resume={run}", f"trainer.max_epochs={before + 1}") == 0
    assert epochs(run) == before + 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["hydra.launcher.partition=nonesuch"], "there is no such partition; there are"),
        (["hydra.launcher.timeout_min=soon"], "hydra.launcher.timeout_min"),
    ],
)
def test_what_slurm_would_refuse_is_a_line_and_no_folder(typed, said, cnnexp, folder, capsys):
    assert cnnexp("-m", "seed=0,1", "hydra/launcher=slurm_cpu", *typed) == 2
    assert said in capsys.readouterr().err
    assert list(folder.iterdir()) == []

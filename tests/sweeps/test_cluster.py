"""Sweeps whose jobs run elsewhere, tried with submitit's processes on this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from waiting import epochs, same_weights, statuses, until

from cnnexp.command.resolvers import config_folder

pytest.importorskip("submitit", reason='pip install "cnnexp[slurm]"')

SMALL = ["model.channels=[4]", "model.hidden=[16]", "model.dropout=0.2", "data.batch_size=16"]
LOCAL = "hydra/launcher=submitit_local"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Type a command as at a terminal, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "cnnexp", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def the_sweep(folder: Path) -> Path:
    [sweep] = folder.glob("outputs/sweeps/*/*")
    return sweep


@pytest.mark.slow
def test_a_preempted_job_goes_on_in_its_folder_and_a_failed_one_is_listed_at_the_end(cnnexp, folder):
    settings = [*SMALL, "trainer.max_epochs=12"]
    waiting = start(folder, *settings, "-m", "optimizer.lr=0.01,1e39", LOCAL)
    until(lambda: epochs(next(folder.glob("outputs/sweeps/*/*/optimizer.lr-0.01"), folder)) > 1)
    sweep = the_sweep(folder)
    # the controller's child is the job
    for controller in (path.name for path in (sweep / ".submitit").iterdir() if path.name.isdigit()):
        children = Path(f"/proc/{controller}/task/{controller}/children")
        for child in children.read_text().split() if children.exists() else ():
            os.kill(int(child), signal.SIGUSR2)
    printed, error = waiting.communicate(timeout=300)
    assert waiting.returncode == 1
    assert statuses(sweep) == {"optimizer.lr-1e+39": "failed", "optimizer.lr-0.01": "completed"}
    assert "1 failed in" in error
    assert "optimizer.lr-1e+39: CnnexpError: optimizer: its first step leaves no finite weight" in error
    assert "2 of 2 ended" in printed
    assert (sweep / "report.html").exists()
    assert "resume=" in (sweep / "optimizer.lr-0.01" / ".hydra" / "resumes.yaml").read_text()
    assert epochs(sweep / "optimizer.lr-0.01") == 12

    assert cnnexp(*settings, "optimizer.lr=0.01") == 0
    [straight] = folder.glob("outputs/cnn-digits/*")
    assert same_weights(straight, sweep / "optimizer.lr-0.01")


@pytest.mark.slow
def test_ctrl_c_ends_the_waiting_and_not_the_jobs(cnnexp, folder, capsys):
    waiting = start(folder, *SMALL, "trainer.max_epochs=3", "-m", "seed=0,1", LOCAL)
    assert "a sweep of 2 jobs" in waiting.stdout.readline()
    assert "2 jobs started" in waiting.stdout.readline()
    os.killpg(waiting.pid, signal.SIGINT)
    _, error = waiting.communicate(timeout=180)
    assert waiting.returncode == 130
    sweep = the_sweep(folder).relative_to(folder)
    first, second = error.splitlines()
    assert first.startswith("SIGINT: no longer waiting, but the jobs go on; to cancel them: kill ")
    assert second == f"report, now or later: python -m cnnexp task=report run={sweep}"
    until(lambda: statuses(sweep) == {"seed-0": "completed", "seed-1": "completed"})
    assert cnnexp("task=report", f"run={sweep}") == 0
    assert "2 of 2 runs completed" in capsys.readouterr().out
    # nothing is left to do
    assert cnnexp(f"resume={sweep}") == 0
    assert "started" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["-m", "seed=0,1", "hydra/launcher=submitit_slurm"], "there is no Slurm here (sbatch isn't found)"),
        (["-m", "hydra/launcher=slurm_gpu"], "leave hydra/launcher out"),
        (["seed=1", "hydra/launcher=slurm_cpu"], "is for sweeps, and this is a single run; add -m"),
    ],
)
def test_a_slurm_that_is_not_there_is_a_line_and_no_folder(typed, said, cnnexp, folder, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    assert cnnexp(*typed) == 2
    assert said in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("launcher", ["submitit_slurm", "submitit_local", "slurm_cpu", "slurm_gpu"])
def test_a_launcher_without_its_plugin_names_what_to_install(launcher, folder):
    # a module that can't be imported is as good as one that isn't there
    code = (
        "import sys; sys.modules['hydra_plugins.hydra_submitit_launcher'] = None\n"
        f"from cnnexp.app import run; sys.exit(run(['-m', 'hydra/launcher={launcher}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 2
    assert 'its plugin isn\'t installed; type: pip install "cnnexp[slurm]"' in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("preset", "gpus"), [("slurm_cpu", None), ("slurm_gpu", 1)])
def test_a_preset_asks_for_time_memory_and_devices(preset, gpus):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        launcher = compose("config", [f"hydra/launcher={preset}"], return_hydra_config=True).hydra.launcher
    assert launcher.gpus_per_node == gpus
    assert launcher.timeout_min > 10  # of less, submitit takes every pre-emption for a time-out
    assert launcher.timeout_min * 60 > 2 * launcher.signal_delay_s
    assert launcher.max_num_timeout > 0
    assert launcher.mem_gb > 0


@pytest.mark.parametrize("launcher", ["submitit_local", "submitit_slurm"])
@pytest.mark.parametrize(
    "setting",
    ["timeout_min=-1", "timeout_min=0", "nodes=0", "tasks_per_node=0", "cpus_per_task=0", "gpus_per_node=-1"],
)
def test_a_launcher_that_would_start_no_job_is_refused(launcher, setting, cnnexp, folder, capsys):
    if launcher == "submitit_local":
        setting = setting.replace("nodes=0", "nodes=2")
    typed = [f"hydra/launcher={launcher}", f"hydra.launcher.{setting}"]
    assert cnnexp("-m", "seed=0,1", *typed) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"cnnexp: hydra.launcher.{setting}")
    assert said.count("\n") <= 2
    assert not (folder / "outputs").exists()

"""A real signal at each instant of a command: it says how to go on, and what it left can be gone on with."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import signal_after

QUICK = ["model=ffnn", "model.hidden=[8]", "trainer.max_epochs=2", "trainer.limit_train_batches=3", "logger=none"]
INSTANTS = [
    "cnnexp.job.start.claim_for", "cnnexp.job.start.write_whole", "cnnexp.runs.origin",
    "cnnexp.tasks.fit.build_trainer", "cnnexp.data.datamodule.ImageDataModule.prepare_data",
    "cnnexp.tasks.fit.build_model", "cnnexp.training.checkpoints.WholeCheckpointIO.save_checkpoint",
    "cnnexp.models.classifier.Classifier.on_validation_epoch_start", "cnnexp.tasks.fit.best_row",
    "cnnexp.models.classifier.Classifier.on_test_epoch_start", "cnnexp.tasks.fit.draw_curves",
]  # fmt: skip
OF_A_SWEEP = [
    "cnnexp.sweeps.start.claim_for", "cnnexp.sweeps.resume.left_to_do", "cnnexp.sweeps.jobs.run_job",
    "cnnexp.runs.origin", "cnnexp.reports.write.write_report",
]  # fmt: skip


@pytest.mark.parametrize("name", INSTANTS)
def test_a_run_tells_how_it_is_gone_on_with_and_is(name, cnnexp, folder, capsys, monkeypatch):
    number = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[INSTANTS.index(name) % 3]
    signal_after(name, number, put=monkeypatch.setattr)
    assert cnnexp(*QUICK) == 128 + number
    [path] = folder.glob("outputs/*/*")
    told = capsys.readouterr().err
    assert (
        told == f"interrupted by {number.name}\ngo on with: python -m cnnexp resume={path.relative_to(folder)}\n"
    )
    assert json.loads((path / "result.json").read_text())["status"] == "interrupted"
    assert cnnexp(f"resume={path}") == 0
    assert json.loads((path / "result.json").read_text())["status"] == "completed"


@pytest.mark.parametrize("name", OF_A_SWEEP)
def test_a_sweep_tells_how_it_is_gone_on_with_and_is(name, cnnexp, folder, capsys, monkeypatch):
    signal_after(name, signal.SIGINT, put=monkeypatch.setattr)
    assert cnnexp(*QUICK, "-m", "seed=0,1") == 130
    [path] = folder.glob("outputs/sweeps/*/*")
    assert f"go on with: python -m cnnexp resume={path.relative_to(folder)}\n" in capsys.readouterr().err
    assert cnnexp(f"resume={path}") == 0
    results = [json.loads(file.read_text())["status"] for file in path.glob("*/result.json")]
    assert results == ["completed"] * 2


def test_an_interruption_that_a_library_makes_an_error_of_is_one(cnnexp, folder, monkeypatch, capsys):
    from cnnexp.tasks import fit

    def swallowed(*arguments, **given):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:
            raise RuntimeError("maximum recursion depth exceeded") from None

    monkeypatch.setattr(fit, "build_data", swallowed)
    assert cnnexp(*QUICK) == 143
    assert "resume=" in capsys.readouterr().err
    [path] = folder.glob("outputs/*/*")
    assert json.loads((path / "result.json").read_text())["status"] == "interrupted"


def test_an_interruption_that_gets_lost_is_answered_at_the_next_batch(cnnexp, folder, monkeypatch):
    from cnnexp.tasks import fit

    real = fit.build_data

    def lost(config, **given):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:
            return real(config, **given)

    monkeypatch.setattr(fit, "build_data", lost)
    assert cnnexp(*QUICK) == 143


@pytest.mark.parametrize("module", ["hydra", "torch", "lightning"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported_ends_the_command_at_once(module, number, folder):
    within = (  # of the package's import, not before it
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name.startswith('{module}.'):\n"
        f"            os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from cnnexp.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", within, *QUICK], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (128 + number, f"interrupted by {number.name}\n")
    assert not (folder / "outputs").exists()


PRINTS = (
    "from cnnexp import output\noutput.never_fail()\nfor _ in range(9999): print('x' * 99)\nprint(output.lost)"
)


@pytest.mark.parametrize("way", ["| head -1", "> /dev/full", ">&-"])
def test_output_that_can_not_be_taken_raises_nothing(way, tmp_path):
    script = tmp_path / "prints.py"
    script.write_text(PRINTS)
    shell = ["bash", "-o", "pipefail", "-c", f"{sys.executable} {script} {way}"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_that_gets_lost_is_a_failure(folder):
    shell = ["bash", "-c", f"{sys.executable} -m cnnexp --help > /dev/full"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert done.stderr == "cnnexp: what was to be printed got lost: No space left on device\n"


@pytest.mark.slow
def test_a_run_whose_reader_has_seen_enough_is_finished(folder):
    shell = ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m cnnexp {' '.join(QUICK)} | head -1"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    [path] = Path(folder).glob("outputs/*/*/result.json")
    assert json.loads(path.read_text())["status"] == "completed"

"""The command line as a user meets it: help, mistakes, sweeps, signals."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cnnexp.version import __version__

QUICK = ["model.channels=[4]", "model.hidden=[]", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]


def test_nothing_heavy_is_imported_for_help_and_for_the_settings(folder):
    code = (
        "import sys; from cnnexp.app import run\n"
        "try: run(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'lightning', 'torchvision', 'sklearn', 'matplotlib', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for flags in (["--help"], ["--cfg", "job"], ["-sc", "query=bash"]):
        environment = {**os.environ, "COMP_LINE": "cnnexp mod", "COMP_POINT": "10"}
        done = subprocess.run(
            [sys.executable, "-c", code, *flags], capture_output=True, text=True, env=environment, timeout=60
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("typed", "first"),
    [([], "cnn on digits, seed 0"), (["-m", "model=cnn,ffnn", "seed=1,2"], "a sweep of 4 jobs")],
    ids=["run", "sweep"],
)
def test_the_first_line_is_there_before_torch_is_imported(typed, first, folder):
    # Python says what it imports in stderr, which is one stream with what is printed here
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "cnnexp", *typed],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            lines.append(line.rstrip())
            if line.startswith("cnnexp "):
                break
        child.kill()
    assert lines[-1] == f"cnnexp {__version__}: {first}"
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "hydra" in imported
    assert not imported & {"torch", "lightning", "torchvision", "sklearn"}


def test_help_lists_what_there_is(process):
    page = process("--help").stdout
    for word in (
        "fit, kernels",
        "airbench, cnn, ffnn, network, own, vgg16",
        "image_folder",
        "notebook_cnn_mnist",
        "tensorboard",
        "Examples",
    ):
        assert word in page
    assert page.count("python -m cnnexp ") >= 5
    assert max(map(len, page.splitlines())) <= 120


def test_a_reader_that_stops_early_sees_no_traceback(folder):
    child = subprocess.Popen(
        [sys.executable, "-m", "cnnexp", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert child.stderr.read() == ""
    child.stderr.close()
    assert child.wait(timeout=180) == 0


def test_a_users_own_configs_are_choices_too(cnnexp, folder, capsys):
    (folder / "mine" / "experiment").mkdir(parents=True)
    (folder / "mine" / "experiment" / "tiny.yaml").write_text(
        "# @package _global_\nmodel:\n  channels: [2]\n  hidden: []\ntrainer:\n  max_epochs: 1\n"
    )
    assert cnnexp("experiment=tiny", "--config-dir", "mine", "trainer.limit_train_batches=1") == 0
    [done] = (folder / "outputs" / "cnn-digits").iterdir()
    assert json.loads((done / "result.json").read_text())["epochs"] == 1


def test_a_sweep_has_a_folder_a_job_named_by_what_is_swept(cnnexp, folder):
    assert cnnexp(*QUICK, "-m", "seed=0,1", "model.dropout=0,0.5", "name=trial") == 0
    [sweep] = (folder / "outputs" / "sweeps" / "trial").iterdir()
    jobs = sorted(path.name for path in sweep.iterdir() if path.is_dir())
    assert jobs == [f"model.dropout-{dropout},seed-{seed}" for dropout in ("0", "0.5") for seed in (0, 1)]
    for job in jobs:
        assert json.loads((sweep / job / "result.json").read_text())["status"] == "completed"


def test_a_failing_job_lets_the_others_go_on_and_the_sweep_ends_with_1(cnnexp, folder, capsys):
    assert cnnexp(*QUICK, "-m", "optimizer.lr=1e39,0.001") == 1
    [sweep] = (folder / "outputs" / "sweeps" / "adhoc").iterdir()
    assert "1 failed" in capsys.readouterr().err
    failed = json.loads((sweep / "optimizer.lr-1e+39" / "result.json").read_text())
    assert failed["status"] == "failed"
    assert "no finite weight" in failed["error"]
    assert "Traceback" in (sweep / "optimizer.lr-1e+39" / "run.log").read_text()
    assert json.loads((sweep / "optimizer.lr-0.001" / "result.json").read_text())["status"] == "completed"


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., tuple[subprocess.Popen, Path]]]:
    """Start a long run and wait until it has finished an epoch; it ends with the test at the latest."""
    children: list[subprocess.Popen] = []
    pause = threading.Event()

    def started(*arguments: str) -> tuple[subprocess.Popen, Path]:
        child = subprocess.Popen(
            [sys.executable, "-m", "cnnexp", "trainer.max_epochs=100000", *QUICK[:2], *arguments],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        children.append(child)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and child.poll() is None:
            for metrics in folder.glob("outputs/**/metrics.csv"):
                if len(metrics.read_text().splitlines()) > 2:
                    return child, metrics.parent
            pause.wait(0.02)
        raise AssertionError(child.communicate(timeout=1)[0])

    yield started
    for child in children:
        child.kill()
        child.communicate()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("sweep", [False, True])
def test_an_interrupted_run_says_so_and_keeps_its_last_checkpoint(number, status, sweep, start):
    child, run = start(*(["-m", "seed=0,1"] if sweep else []))
    child.send_signal(number)
    output, _ = child.communicate(timeout=180)
    assert child.returncode == status, output
    assert json.loads((run / "result.json").read_text())["status"] == "interrupted"
    assert (run / "checkpoints" / "last.ckpt").exists()
    assert "Traceback" not in output
    if sweep:
        assert [path.name for path in run.parent.iterdir() if path.is_dir()] == ["seed-0"]


def test_a_killed_run_counts_as_interrupted(start):
    from cnnexp.runs import read_result

    child, run = start()
    assert read_result(run)["status"] == "running"
    child.kill()
    child.wait()
    assert read_result(run)["status"] == "interrupted"


def test_a_bug_keeps_its_traceback_and_ends_with_1(process, folder):
    (folder / "broken.py").write_text("def broken(job):\n    raise RuntimeError('a bug')\n")
    (folder / "mine" / "task").mkdir(parents=True)
    (folder / "mine" / "task" / "broken.yaml").write_text("_target_: broken.broken\n_partial_: true\n")
    done = process("task=broken", "--config-dir", "mine", PYTHONPATH=str(folder))
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    [run] = (folder / "outputs" / "broken").iterdir()
    assert json.loads((run / "result.json").read_text())["status"] == "failed"
    assert "a bug" in (run / "run.log").read_text()


@pytest.mark.parametrize("typed", [["--version"], ["seed=x"], [*QUICK, "logger=none"]])
def test_a_command_leaves_the_process_as_it_was(typed, cnnexp):
    before = dict(os.environ), list(sys.argv), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    cnnexp(*typed)
    after = dict(os.environ), list(sys.argv), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert before == after

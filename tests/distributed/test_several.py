"""Runs of two real processes, against the same run of one: the curves, the files, and every way to start them."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import lightning as L
import pytest
import torch

from cnnexp import load_run
from cnnexp.app import run
from cnnexp.evaluation.answers import read_answers

pytestmark = pytest.mark.slow

PYTHON = [sys.executable, "-m", "cnnexp"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
SMALL = ["model.channels=[4]", "model.hidden=[8]", "optimizer=sgd", "trainer.accelerator=cpu"]
# the last batch of an epoch has one image for two processes, and so has that of each evaluation
UNEVEN = [
    *SMALL, "data.train_size=97", "data.batch_size=32", "data.eval_batch_size=13", "data.val_size=40",
    "data.train_eval_size=40", "data.crop_padding=2", "data.horizontal_flip=true",
    "trainer.gradient_clip_val=1", "trainer.accumulate_grad_batches=2",
    "scheduler=plateau", "scheduler.patience=0", "callbacks=[ema,early_stopping]", "callbacks.ema.decay=0.5",
    "model.loss=focal", "metrics=[f1,top5]",
]  # fmt: skip
TWO = ["trainer=ddp", "trainer.devices=2"]
EPOCHS = 4


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """A folder for all runs of this file."""
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def here(workshop) -> Callable[..., Path]:
    """Run a command in this process, in a folder of its own; return its run folder, or that which is resumed."""

    def start(name: str, *arguments: str) -> Path:
        (workshop / name).mkdir(exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(workshop / name)
            assert run(list(arguments)) == 0
        return the_run(workshop / name)

    return start


@pytest.fixture(scope="module")
def alone(here) -> Path:
    """One process, four epochs without a stop."""
    return here("alone", *UNEVEN, f"trainer.max_epochs={EPOCHS}")


@pytest.fixture(scope="module")
def together(workshop) -> tuple[Path, str]:
    """Two processes that Lightning starts, two epochs; and what they printed."""
    folder = workshop / "together"
    folder.mkdir()
    done = finished(started(folder, *PYTHON, *UNEVEN, *TWO, "trainer.max_epochs=2"))
    assert done.returncode == 0, done.stdout
    return the_run(folder), done.stdout


def started(folder: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for a process and for all who hold its output: those that it started."""
    try:
        output, _ = process.communicate(timeout=240)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def the_run(folder: Path) -> Path:
    [only] = (folder / "outputs").glob("*/*")
    return only


def rows(path: Path) -> list[dict[str, float]]:
    with (path / "metrics.csv").open() as file:
        return [
            # the first epoch has no val_loss_se
            {key: float(value) for key, value in row.items() if key != "seconds" and value}
            for row in csv.DictReader(file)
        ]


def result(path: Path) -> dict:
    return json.loads((path / "result.json").read_text())


def same(some: list[dict[str, float]], others: list[dict[str, float]]) -> None:
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def test_two_processes_draw_the_curves_of_one(alone, together):
    same(rows(together[0]), rows(alone)[:2])
    assert result(together[0])["processes"] == 2
    assert result(together[0])["test_loss"] is not None


def test_one_of_two_processes_writes(together):
    path, printed = together
    names = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert {name for name in names if "tfevents" not in name} == {
        ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", ".hydra/run.lock",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", "checkpoints/previous.ckpt",
        "metrics.csv", "curves.png", "result.json", "run.log", "val_answers.json",
    }  # fmt: skip
    assert len(names) == 12 + 3
    for text in (printed, (path / "run.log").read_text()):
        assert text.count("epoch 1/2") == text.count("best epoch") == 1


def test_the_answers_of_two_processes_are_in_the_order_of_one(together, alone):
    path = together[0]
    loaded, answers = load_run(path), read_answers(path)
    loaded.data.setup()
    with torch.no_grad():
        right = [bool(r) for x, y in loaded.data.val_dataloader() for r in loaded.model(x).argmax(1) == y]
    assert answers.right.tolist() == right
    assert answers.images == read_answers(alone).images
    assert not all(right)


def test_a_task_on_such_a_run_is_done_by_one_process(together, cnnexp, folder):
    path = folder / "run"
    shutil.copytree(together[0], path)
    assert cnnexp("task=test", f"run={path}") == 0
    [again] = (path / "test").iterdir()
    for key in ("test_loss", "test_accuracy"):
        assert result(again)[key] == pytest.approx(result(path)[key], rel=1e-5)


def test_batch_norm_is_validated_and_saved_with_the_averages_of_the_first_process(folder):
    done = finished(started(folder, *PYTHON, *SMALL, *TWO, "model.batch_norm=true", "trainer.max_epochs=1"))
    assert done.returncode == 0, done.stdout
    path = the_run(folder)
    loaded = load_run(path)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    [again] = L.Trainer(accelerator="cpu", **quiet).validate(loaded.model, loaded.data, verbose=False)
    assert again["val_loss"] == pytest.approx(result(path)["val_loss"], rel=1e-4)


def test_a_run_goes_from_two_processes_to_one_and_back(alone, together, workshop, here):
    """Back by torchrun, at whose address the second process learns the folder."""
    shutil.copytree(together[0], workshop / "to and fro" / "outputs" / "cnn-digits" / "run")
    path = here(
        "to and fro",
        f"resume={workshop}/to and fro/outputs/cnn-digits/run",
        "trainer.devices=1",
        "trainer.max_epochs=3",
    )
    same(rows(path), rows(alone)[:3])
    back = ["-m", "cnnexp", f"resume={path}", "trainer.devices=2", f"trainer.max_epochs={EPOCHS}"]
    done = finished(started(workshop / "to and fro", *TORCHRUN, "--standalone", "--nproc_per_node=2", *back))
    assert done.returncode == 0, done.stdout
    assert the_run(workshop / "to and fro") == path
    same(rows(path), rows(alone))
    assert (path / ".hydra" / "resumes.yaml").read_text().count("- at") == 2
    both = [torch.load(p / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for p in (path, alone)]
    for name, tensor in both[0].items():
        torch.testing.assert_close(tensor, both[1][name], rtol=1e-3, atol=1e-5, msg=name)


def test_sigterm_to_one_ends_both_and_the_run_is_gone_on_with_in_the_middle_of_the_epoch(workshop, here):
    settings = [*SMALL, "data.batch_size=8", "trainer.accumulate_grad_batches=3"]
    folder = workshop / "stopped"
    folder.mkdir()
    process = started(folder, *PYTHON, *settings, *TWO, "trainer.max_epochs=1000")
    assert any("epoch 1/1000" in line for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    done = finished(process)
    assert done.returncode == 143, done.stdout
    assert "Traceback" not in done.stdout
    path = the_run(folder)
    assert result(path)["status"] == "interrupted"
    checkpoint = torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["so_far"]["batches"] % 16 == 0
    epochs = f"trainer.max_epochs={len(rows(path)) + 1}"
    here("stopped", f"resume={path}", "trainer.devices=1", epochs)
    same(rows(path), rows(here("not stopped", *settings, epochs)))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_interrupts_the_run_without_a_wall_of_tracebacks(rank, folder):
    process = started(folder, *PYTHON, *SMALL, *TWO, "data.batch_size=8", "trainer.max_epochs=1000")
    assert any("epoch 1/1000" in line for line in process.stdout)
    [other] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for sockets in ("tcp", "tcp6"):  # both only listen to this machine
        for pid in (process.pid, other):
            mine = {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
            for line in Path(f"/proc/{pid}/net/{sockets}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:
                    assert fields[1].startswith(("0100007F:", "00000000000000000000000001000000:")), line
    os.kill(process.pid if rank == 0 else int(other), signal.SIGKILL)
    done = finished(process)
    assert "Traceback" not in done.stdout
    assert len(done.stdout.splitlines()) < 30, done.stdout
    path = the_run(folder)
    assert result(path)["status"] == "interrupted"
    assert f"go on with: python -m cnnexp resume={path.relative_to(folder)}" in done.stdout
    assert done.returncode == (-9 if rank == 0 else 1)


def test_srun_starts_two_of_which_one_claims_and_both_stop_at_a_loss_that_is_not_finite(workshop):
    folder = workshop / "srun"
    folder.mkdir()
    slurm = {
        "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0",
        "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NODELIST": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }  # fmt: skip
    wild = ["model.channels=[4]", "model.hidden=[]", "optimizer=sgd", "optimizer.lr=1e18", "data.batch_size=8"]
    ranks = [
        started(folder, *PYTHON, *wild, *TWO, **slurm, SLURM_PROCID=rank, SLURM_LOCALID=rank) for rank in "01"
    ]
    for rank, done in enumerate([finished(process) for process in ranks]):
        assert done.returncode == 2, done.stdout
        assert "no longer finite: epoch 1, by step 64" in done.stdout
        assert "Traceback" not in done.stdout
        assert ("process 1: the loss" in done.stdout) == (rank == 1)
    assert result(the_run(folder))["status"] == "failed"


@pytest.fixture
def two_hosts() -> Iterator[dict[str, list[str]]]:
    """Two network namespaces joined by a cable: the address of each, and what starts a command there."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("needs iproute2 and root, to make network namespaces")
    names = [f"cnnexp{os.getpid()}{side}" for side in "ab"]

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

    try:
        for name in names:
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"ip netns add isn't permitted here: {error.stderr.strip()}")
        ends = [name[-10:] for name in names]
        ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        hosts = {}
        for number, (name, end) in enumerate(zip(names, ends, strict=True), start=1):
            ip("-n", name, "address", "add", f"10.213.7.{number}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
            hosts[f"10.213.7.{number}"] = ["ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={end}"]
        yield hosts
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def test_two_hosts_train_one_network(two_hosts, alone, workshop):
    folder = workshop / "hosts"
    folder.mkdir()
    first, _ = two_hosts
    torchrun = [*TORCHRUN, "--nnodes=2", "--nproc_per_node=1", f"--master_addr={first}", "--master_port=29400"]
    command = ["-m", "cnnexp", *UNEVEN, "trainer=ddp", "trainer.num_nodes=2", "trainer.max_epochs=1"]
    processes = [
        started(folder, *host, *torchrun, f"--node_rank={rank}", *command)
        for rank, host in enumerate(two_hosts.values())
    ]
    for done in [finished(process) for process in processes]:
        assert done.returncode == 0, done.stdout
    same(rows(the_run(folder)), rows(alone)[:1])
    assert result(the_run(folder))["processes"] == 2

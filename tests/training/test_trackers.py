"""Experiment trackers, offline: what the real packages read back of a run is what metrics.csv says."""

import csv
import json
import math
import os
import shutil
import signal
import struct
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

pytestmark = [
    # Comet leaves the socket open by which it looks for the machine's address, where there is no network
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow's queries
]
QUICK = ["model=ffnn", "model.hidden=[8]", "trainer.limit_train_batches=3", "data.batch_size=64"]
STORE = "sqlite:///outputs/mlflow.db"


def needs(package: str) -> None:
    """Skip a test where a package isn't installed, without importing it: that is left to the command."""
    if find_spec(package) is None:
        pytest.skip('pip install "cnnexp[test-trackers]"')


@dataclass
class Tracked:
    """A run as its tracker has it; ``metrics`` are values by name and epoch."""

    name: str | None = None
    group: str | None = None
    status: str | None = None
    settings: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=lambda: defaultdict(dict))


def wandb_records(path: Path) -> Iterator:
    """The records of W&B's file: LevelDB's log format, of protocol buffers, behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block is padding
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of a record, or its last part
            yield Record.FromString(whole)
            whole = b""


def read_wandb(run: Path) -> Tracked:
    file = max(run.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    tracked = Tracked()
    for record in wandb_records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            tracked.name, tracked.group = record.run.display_name, record.run.run_group or None
        elif kind == "config":
            tracked.settings |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "history":
            row = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
            }
            for key, value in row.items():
                tracked.metrics[key][row.get("trainer/global_step")] = value
        elif kind == "exit":
            tracked.status = "completed" if record.exit.exit_code == 0 else "failed"
    return tracked


def read_mlflow(run: Path) -> Tracked:
    from mlflow import MlflowClient

    client = MlflowClient(STORE)
    [experiment] = [found for found in client.search_experiments() if found.name == "cnnexp"]
    found = next(  # the newest first
        found for found in client.search_runs([experiment.experiment_id]) if found.info.run_name.endswith(run.name)
    )
    tracked = Tracked(found.info.run_name)
    tracked.status = {"FINISHED": "completed", "KILLED": "interrupted"}.get(found.info.status, found.info.status)
    tracked.settings = {key: yaml.safe_load(value) for key, value in found.data.params.items()}
    for name in found.data.metrics:
        for metric in client.get_metric_history(found.info.run_id, name):
            tracked.metrics[name][metric.step] = metric.value
    return tracked


def read_comet(run: Path) -> Tracked:
    archive = max(run.glob("comet/*.zip"), key=lambda path: path.stat().st_mtime)
    tracked = Tracked()
    with zipfile.ZipFile(archive) as opened:
        messages = opened.read("messages.json").decode().splitlines()
    for message in map(json.loads, messages):
        payload = message["payload"]
        if message["type"] == "metric_msg":
            metric = payload["metric"]
            tracked.metrics[metric["metricName"]][metric["step"]] = metric["metricValue"]
        elif message["type"] == "parameter_msg":
            parameter = payload.get("param") or payload["params"]
            tracked.settings[parameter["paramName"]] = parameter["paramValue"]
        elif message["type"] == "log_other":
            tracked.name = payload["value"] if payload["key"] == "Name" else tracked.name
            tracked.status = payload["value"] if payload["key"] == "status" else tracked.status
    return tracked


READERS = {"wandb": read_wandb, "mlflow": read_mlflow, "comet": read_comet}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of MLflow's with its tables, which take seconds to make, and nothing in them."""
    needs("mlflow")
    import mlflow

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}")
    return file


@pytest.fixture
def store(empty_store: Path, folder: Path) -> None:
    """The store of a folder that was worked in before."""
    (folder / "outputs").mkdir()
    shutil.copy(empty_store, folder / "outputs")


def only_run(folder: Path) -> Path:
    [run] = folder.glob("outputs/ffnn-digits/*")
    return run


def assert_same_curves(tracked: Tracked, run: Path, epochs: int) -> None:
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == list(range(1, epochs + 1))
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate"):
        curve = tracked.metrics[name]
        assert sorted(curve) == list(range(1, epochs + 1)), name
        for row in rows:
            assert math.isclose(curve[int(row["epoch"])], float(row[name]), rel_tol=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("tracker", READERS)
def test_a_run_is_tracked_and_a_resumed_one_from_its_first_epoch(tracker, cnnexp, folder, request):
    needs({"comet": "comet_ml"}.get(tracker, tracker))
    if tracker == "mlflow":
        request.getfixturevalue("store")
    assert cnnexp(*QUICK, f"logger={tracker}", "trainer.max_epochs=2", "optimizer.lr=0.02") == 0
    run = only_run(folder)
    first = READERS[tracker](run)
    assert first.status == "completed"
    assert first.name == f"ffnn-digits/{run.name}"
    assert first.group is None
    assert_same_curves(first, run, epochs=2)
    expected = {"model": "ffnn", "model.hidden": [8], "optimizer.lr": 0.02, "seed": 0, "trainer.max_epochs": 2}
    told = {key: yaml.safe_load(str(first.settings[key])) for key in expected}
    assert told == expected
    result = json.loads((run / "result.json").read_text())
    for key in ("test_accuracy", "val_accuracy", "generalization_gap"):
        assert math.isclose(first.metrics[f"best/{key}"][2], result[key], rel_tol=1e-5)
    # all of it over epochs, nothing at Lightning's step; W&B has an entry for each call, and Comet further ones
    assert {at for name, curve in first.metrics.items() for at in curve if not name.startswith("sys.")} <= {1, 2}
    assert "WANDB_MODE" not in os.environ
    # looks at the test set are counted in the cache
    assert {path.name for path in folder.iterdir()} == {"outputs", "cache"}

    assert cnnexp(f"resume={run}", "trainer.max_epochs=3") == 0
    again = READERS[tracker](run)
    assert_same_curves(again, run, epochs=3)
    assert again.status == "completed"


@pytest.mark.slow
def test_each_job_of_a_sweep_is_a_run_of_several_trackers_at_once(cnnexp, folder, store):
    needs("wandb")
    arguments = ["trainer.max_epochs=1", "logger=[tensorboard,wandb,mlflow]", "name=study"]
    assert cnnexp(*QUICK, *arguments, "-m", "seed=0,1") == 0
    jobs = sorted(folder.glob("outputs/sweeps/study/*/seed-*"))
    assert [job.name for job in jobs] == ["seed-0", "seed-1"]
    for job in jobs:
        assert list(job.glob("tensorboard/val/events*"))
        for read in (read_wandb, read_mlflow):
            tracked = read(job)
            assert tracked.name == f"study/{job.parent.name}/{job.name}"
            assert_same_curves(tracked, job, epochs=1)
        assert read_wandb(job).group == f"study/{job.parent.name}"


@pytest.mark.slow
def test_an_interrupted_run_is_marked_so_and_goes_on_in_another_store(
    cnnexp, folder, store, interrupt_when, monkeypatch
):
    interrupt_when(lambda steps, trainer, batch_idx: (trainer.current_epoch, batch_idx) == (1, 1), signal.SIGTERM)
    assert cnnexp(*QUICK, "logger=mlflow", "trainer.max_epochs=2") == 143
    run = only_run(folder)
    assert read_mlflow(run).status == "interrupted"

    assert cnnexp(f"resume={run}", "logger.mlflow.tracking_uri=sqlite:///other.db") == 0
    monkeypatch.setattr(sys.modules[__name__], "STORE", "sqlite:///other.db")
    assert_same_curves(read_mlflow(run), run, epochs=2)


@pytest.mark.parametrize(
    ("choice", "package", "sweep"),
    [
        ("wandb", "wandb", []),
        ("mlflow", "mlflow", []),
        ("comet", "comet_ml", []),
        ("wandb", "wandb", ["-m", "seed=0,1"]),
    ],
)
def test_a_tracker_that_is_not_installed(choice, package, sweep, cnnexp, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)  # as if it weren't there
    assert cnnexp(*QUICK, f"logger={choice}", *sweep) == 2
    said = capsys.readouterr()
    assert (
        said.err
        == f'cnnexp: logger.{choice}: its package isn\'t installed; type: pip install "cnnexp[{choice}]"\n'
    )
    assert said.out.count("\n") == 1  # the first line, that it begins
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("sqlite:///notes.txt", "(sqlite3.DatabaseError) file is not a database"),
        ("foo://x", "unsupported URI 'foo://x'"),
        ("postgresql://x", "the package psycopg"),  # which isn't installed with MLflow
        ("mssql+pymssql://x", "the package pymssql"),
    ],
)
def test_a_store_that_is_none(uri, told, cnnexp, folder, capsys):
    needs("mlflow")
    (folder / "notes.txt").write_text("no database\n" * 100)
    assert cnnexp(*QUICK, "logger=mlflow", f"logger.mlflow.tracking_uri={uri}", "trainer.max_epochs=1") == 2
    said = capsys.readouterr().err
    assert said.startswith("cnnexp: logger.mlflow: ")
    assert told in said
    assert said.count("\n") <= 2
    assert all(len(line) < 400 for line in said.splitlines())
    assert not (folder / "outputs").exists()


@pytest.mark.parametrize(
    ("choice", "address", "more"),
    [
        ("mlflow", "logger.mlflow.tracking_uri=http://127.0.0.1:1", []),
        ("mlflow", "logger.mlflow.tracking_uri=https://no-such-host.invalid", []),
        ("mlflow", "logger.mlflow.tracking_uri=http://", []),
        ("mlflow", "logger.mlflow.tracking_uri=http://127.0.0.1:123456", []),
        ("mlflow", "logger.mlflow.tracking_uri=http://127.0.0.1:1", ["-m", "seed=0,1"]),
        ("wandb", "+logger.wandb.settings.base_url=http://127.0.0.1:1", ["logger.wandb.mode=online"]),
    ],
)
def test_a_server_that_cannot_be_reached(choice, address, more, cnnexp, folder, monkeypatch, capsys):
    needs(choice)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert cnnexp(*QUICK, f"logger={choice}", address, *more) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"cnnexp: {address.lstrip('+')} can't be reached (")
    assert said.count("\n") == 1
    assert not (folder / "outputs").exists()

"""A stranger's records are read as data of a limited size, and nothing is written through a stranger's links."""

import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cnnexp import CnnexpError
from cnnexp.command.arguments import read
from cnnexp.command.recorded import read_record
from cnnexp.command.targets import refuse_places, refuse_strange_overrides
from cnnexp.data.recorded_split import decode
from cnnexp.disk import reserve
from cnnexp.records import MOST_BYTES, checked, read_yaml
from cnnexp.reports.records import read_run
from cnnexp.runs import read_json, write_whole
from cnnexp.sweeps.study import lock_of
from cnnexp.training.checkpoints import WholeCheckpointIO

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
BOMBS = {
    "aliases": LAUGHS,
    "a small alias": "a: &a 1\nb: *a\n",
    "flow": "[" * 100_000,
    "a little deep": "a: " + "[" * 150 + "]" * 150,
    "block": "- " * 5_000 + "x",
    "mappings": "".join(f"{' ' * n}a:\n" for n in range(2_000)),
    "size": "a: " + "x" * MOST_BYTES,
    "no yaml": "a: [",
    "no text": b"\xff\xfe\xff",
}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_record_that_grows_as_it_is_read_is_refused(bomb, tmp_path):
    with pytest.raises((CnnexpError, UnicodeDecodeError)) as error:
        read_yaml(write(tmp_path / "config.yaml", bomb))
    assert len(str(error.value)) < 400


def test_our_own_are_read(two_runs):
    for file in two_runs.glob("*/.hydra/*.yaml"):
        checked(file)


@pytest.mark.parametrize("file", ["config.yaml", "hydra.yaml"])
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_no_task_and_no_report_expands_it(file, bomb, two_runs, tmp_path):
    run = shutil.copytree(sorted(two_runs.iterdir())[0], tmp_path / "run")
    write(run / ".hydra" / file, bomb)
    with pytest.raises(CnnexpError):
        read_record(run)
    assert read_run(run).status == "unreadable"


@pytest.mark.parametrize("bomb", ["[" * 100_000, "[1]", '"x"', "{", '{"a": "' + "x" * MOST_BYTES + '"}'])
def test_a_result_is_an_object_of_our_size(bomb, tmp_path):
    with pytest.raises(CnnexpError):
        read_json(write(tmp_path / "result.json", bomb))


@pytest.mark.parametrize(
    "choice", ["../../escaped/x", "/etc/x", "..", ".", "", " ", "a/../b", "a\x1b[31m", "a\nb", 3, ["a"], {"a": 1}]
)
def test_a_recorded_choice_is_a_name(choice, two_runs, tmp_path):
    run = shutil.copytree(sorted(two_runs.iterdir())[0], tmp_path / "run")
    record = run / ".hydra" / "hydra.yaml"
    content = read_yaml(record)
    content["hydra"]["runtime"]["choices"]["model"] = choice
    record.write_text(json.dumps(content))
    with pytest.raises(CnnexpError, match="which is no name"):
        read_record(run)


PLACES = {
    "trainer.profiler.dirpath": "sprung",
    "trainer.profiler.filename": "../../sprung",
    "trainer.default_root_dir": "sprung",
    "logger.tensorboard.folder": "sprung",
    "logger.mlflow.tracking_uri": "sqlite:///sprung.db",
    "logger.mlflow.artifact_location": "sprung",
    "logger.wandb.name": "../sprung",
    "logger.comet._args_": ["sprung"],
    "callbacks.best.dirpath": "sprung",
    "callbacks.best.filename": "{epoch}/sprung",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_record_names_no_place_to_write_to(place, two_runs, cnnexp, folder, capsys):
    run = shutil.copytree(sorted(two_runs.iterdir())[0], folder / "run")
    record = run / ".hydra" / "config.yaml"
    settings = OmegaConf.load(record)
    OmegaConf.update(settings, place, PLACES[place], force_add=True)
    OmegaConf.save(settings, record)
    for typed in ([f"resume={run}", "trainer.max_epochs=2"], ["task=fit", f"run={run}"]):
        assert cnnexp(*typed) == 2
        assert f"its record writes to a place of its own, {place}=" in capsys.readouterr().err
        with pytest.raises(CnnexpError, match="which may run any code"):
            refuse_strange_overrides([f"+{place}={PLACES[place]}"], "resume=it")
    assert [path for path in folder.rglob("*sprung*") if run not in path.parents] == []
    assert not (folder / "outputs").exists()


def test_what_conf_names_or_is_typed_is_written_to():
    settings = {"logger": {"mlflow": {"tracking_uri": "sqlite:///outputs/mlflow.db", "save_dir": None}}}
    refuse_places(settings, "run=it", read([]))
    settings["logger"]["mlflow"]["tracking_uri"] = "http://mine"
    refuse_places(settings, "run=it", read(["logger.mlflow.tracking_uri=http://mine"]))
    with pytest.raises(CnnexpError, match="tracking_uri=http://mine"):
        refuse_places(settings, "run=it", read([]))


@pytest.mark.parametrize(
    "override",
    ["hydra.sweeper.storage=sqlite:////home/x.db", "hydra.launcher.submitit_folder=x", "hydra.launcher.python=x"],
)
def test_a_sweeps_record_names_no_place_of_hydras(override):
    with pytest.raises(CnnexpError, match="which may run any code"):
        refuse_strange_overrides([override], "resume=it")
    refuse_strange_overrides(["hydra.launcher.n_jobs=2", "hydra.launcher.partition=gpu"], "resume=it")


@pytest.mark.parametrize("file", ["result.json", "metrics.csv", ".hydra/config.yaml", ".hydra/overrides.yaml"])
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_a_record_that_is_no_file_keeps_nobody_waiting(file, kind, two_runs, tmp_path):
    run = shutil.copytree(sorted(two_runs.iterdir())[0], tmp_path / "run")
    (run / file).unlink()
    if kind == "pipe":
        os.mkfifo(run / file)
    else:
        (run / file).symlink_to("/dev/zero")
    assert "isn't a file" in (read_run(run).error or "")


def test_what_is_written_follows_no_link_that_waits_for_it(tmp_path):
    thesis = tmp_path / "thesis"
    thesis.write_text("a thesis")
    run = tmp_path / "run"
    run.mkdir()
    number = os.getpid()
    for name in (f".result.json.{number}.tmp", f".last.ckpt.{number}.tmp", ".reserve", "result.json", "last.ckpt"):
        (run / name).symlink_to(thesis)
    write_whole(run / "result.json", b"{}")
    WholeCheckpointIO().save_checkpoint({"state_dict": {}}, run / "last.ckpt")
    with reserve(run) as room:
        assert room.stat().st_size == 32 * 1024
    assert thesis.read_text() == "a thesis"
    assert (run / "result.json").read_bytes() == b"{}"


@pytest.mark.parametrize("planted", ["a link", "a folder for all"])
def test_locks_lie_where_only_the_user_writes(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    outside = tmp_path / "outside"
    outside.mkdir()
    with lock_of("study") as lock:
        assert lock.path.parent.stat().st_mode & 0o777 == 0o700
    assert not lock.path.exists()
    lock.path.parent.rmdir()
    if planted == "a link":
        lock.path.parent.symlink_to(outside)
    else:
        lock.path.parent.mkdir()
        lock.path.parent.chmod(0o777)
    with pytest.raises(CnnexpError, match="only you can write into"):
        lock_of("study")
    assert not list(outside.iterdir())


def test_a_split_is_of_limited_size():
    packed = zlib.compressobj(wbits=31)
    bomb = b"".join(packed.compress(bytes(1 << 20)) for _ in range(300)) + packed.flush()
    with pytest.raises(CnnexpError, match="too long"):
        decode(bomb)

"""A stranger's records are read as data of a limited size, and nothing is written through a stranger's links."""

import json
import os
import shutil
from pathlib import Path

import pytest

from cnnexp import CnnexpError
from cnnexp.command.recorded import read_record
from cnnexp.records import MOST_BYTES, checked, read_yaml
from cnnexp.reports.records import read_run
from cnnexp.runs import read_json

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
BOMBS = {
    "aliases": LAUGHS,
    "a small alias": "a: &a 1\nb: *a\n",
    "flow": "[" * 100_000,
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


@pytest.mark.parametrize(
    "planted",
    [
        "run.log",
        "metrics.csv",
        "result.json",
        ".hydra/.reserve",
        ".hydra/resumes.yaml",
        "checkpoints",
        "tensorboard",
    ],
)
def test_a_resume_writes_through_no_link(planted, two_runs, cnnexp, folder):
    run = shutil.copytree(sorted(two_runs.iterdir())[0], folder / "run")
    outside = folder / "outside"
    target = run / planted
    if target.is_dir():
        shutil.move(target, outside)
    else:
        if target.exists():
            target.unlink()
        outside.write_text("a thesis")
    target.symlink_to(outside)
    before = sorted((path, path.stat().st_mtime_ns) for path in [outside, *outside.rglob("*")])
    assert cnnexp(f"resume={run}", "trainer.max_epochs=2") == 2
    assert sorted((path, path.stat().st_mtime_ns) for path in [outside, *outside.rglob("*")]) == before
    assert os.path.islink(target)

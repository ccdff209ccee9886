import hashlib
import json
import math
import subprocess

import pytest

from cnnexp.errors import CnnexpError
from cnnexp.runs import config_hash, held, origin, read_result, write_diff, write_json

SETTINGS = {
    "seed": 0, "name": None, "run": None, "logger": {"tensorboard": {}},
    "data": {"root": "a", "num_workers": 0, "batch_size": 16},
    "trainer": {"max_epochs": 5, "accelerator": "auto", "devices": 1, "precision": "32-true"},
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x"}, {"run": "y"}, {"logger": {}}, {"data": {**SETTINGS["data"], "root": "b"}},
        {"trainer": {**SETTINGS["trainer"], "max_epochs": 6, "accelerator": "cpu", "devices": 2}},
    ],
)  # fmt: skip
def test_the_hash_ignores_what_a_resume_may_change(change):
    assert config_hash({**SETTINGS, **change}) == config_hash(SETTINGS)


@pytest.mark.parametrize("change", [{"seed": 1}, {"data": {**SETTINGS["data"], "batch_size": 32}}])
def test_the_hash_tells_experiments_apart(change):
    assert config_hash({**SETTINGS, **change}) != config_hash(SETTINGS)


def test_json_has_numbers_and_null_only(tmp_path):
    write_json(tmp_path / "r.json", {"a": math.nan, "b": [math.inf, 1.5], "c": {"d": "é"}})
    assert json.loads((tmp_path / "r.json").read_text()) == {"a": None, "b": [None, 1.5], "c": {"d": "é"}}
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_running_without_a_lock_means_interrupted(tmp_path):
    (tmp_path / ".hydra").mkdir()
    assert read_result(tmp_path) is None
    write_json(tmp_path / "result.json", {"status": "running"})
    assert read_result(tmp_path)["status"] == "interrupted"
    with held(tmp_path):
        assert read_result(tmp_path)["status"] == "running"


def test_the_code_at_work_is_named_with_what_was_changed_in_it(tmp_path, monkeypatch):
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a", *arguments], check=True, capture_output=True
        )

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert [origin()[0][key] for key in ("git_commit", "dirty", "git_diff_sha256")] == [None] * 3
    git("init")
    (tmp_path / "model.py").write_text("one\n")
    git("add", "model.py")
    git("commit", "-m", "a")
    clean, diff = origin()
    assert (clean["dirty"], clean["git_diff_sha256"], diff) == (False, None, b"")
    (tmp_path / "model.py").write_text("two\n")
    dirty, diff = origin()
    assert dirty["git_commit"] == clean["git_commit"]
    assert dirty["dirty"]
    assert dirty["git_diff_sha256"] == hashlib.sha256(diff).hexdigest()
    write_diff(tmp_path, diff)
    git("checkout", "model.py")
    git("apply", "git.diff")
    assert (tmp_path / "model.py").read_text() == "two\n"
    write_diff(tmp_path, b"x" * (2 << 20))
    assert (tmp_path / "git.diff").stat().st_size < 1.1 * (1 << 20)


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(CnnexpError, match="result.json can't be read"):
        read_result(tmp_path)

import os
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cnnexp.command.resolvers import claim_job, data_root, first_of, job_folder
from cnnexp.runs import claim


def test_ordinary_overrides_are_the_folders_name_unaltered():
    assert job_folder("data.train_size-100,model-cnn,seed-0") == "data.train_size-100,model-cnn,seed-0"


@given(st.text(max_size=300))
def test_a_job_folder_is_short_and_has_no_odd_characters(overrides):
    name = job_folder(overrides)
    assert 0 < len(name) <= 100
    assert set(name) <= set(string.ascii_letters + string.digits + "._,+-")
    assert name not in (".", "..")


@given(st.text(max_size=200), st.text(max_size=200))
def test_different_overrides_have_different_folders(one, other):
    assert (job_folder(one) == job_folder(other)) == (one == other) or {one, other} & {"job"}


def test_a_folder_is_claimed_once_however_many_ask(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda _: claim(tmp_path / "runs" / "now").name, range(16)))
    assert sorted(claimed, key=lambda n: (len(n), n)) == ["now", *(f"now-{i}" for i in range(2, 17))]
    assert all((tmp_path / "runs" / name).is_dir() for name in claimed)


def test_a_repeated_trial_has_a_number(tmp_path):
    assert [claim_job(str(tmp_path), "seed-0") for _ in range(3)] == ["seed-0", "seed-0-2", "seed-0-3"]


def test_data_lie_where_the_environment_says_or_else_below_the_working_folder(folder, monkeypatch):
    assert Path(data_root()) == folder / "data"
    monkeypatch.setenv("CNNEXP_DATA", "elsewhere")
    assert Path(data_root()) == folder / "elsewhere"
    assert os.path.isabs(data_root())


def test_first_of_takes_zero_for_a_value():
    assert first_of(None, 0, 1) == 0
    assert first_of(None, None) is None

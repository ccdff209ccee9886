"""The record of what was answered on the validation images: read as it was written, or refused."""

import json

import numpy as np
import pytest

from cnnexp.errors import CnnexpError
from cnnexp.evaluation.answers import FILE, Answers, read_answers
from cnnexp.records import MOST_BYTES
from cnnexp.reports.records import read_run

GOOD = {"images": "ab12", "count": 10, "right": "/8A="}


@pytest.mark.parametrize("count", [1, 7, 8, 9, 144, 12_000])
def test_it_is_read_as_it_was_written_and_is_small(count, tmp_path):
    right = np.random.default_rng(count).random(count) < 0.8
    (tmp_path / FILE).write_text(Answers("ab12", right).text())
    assert (tmp_path / FILE).stat().st_size < 2_200
    found = read_answers(tmp_path)
    assert found.images == "ab12"
    assert found.right.dtype == bool
    assert found.right.tolist() == right.tolist()


def test_older_runs_have_none(tmp_path):
    assert read_answers(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        *({key: value for key, value in GOOD.items() if key != gone} for gone in GOOD),
        {**GOOD, "more": 1},
        *({**GOOD, "images": wrong} for wrong in (None, 1, "", "../x", "a" * 129, ["ab"])),
        *({**GOOD, "count": wrong} for wrong in (None, True, 10.0, "10", 0, -8, 8, 7, 17, 10**18)),
        *({**GOOD, "right": wrong} for wrong in (None, 3, "", "/8A", "/8A=/8A=", "é", "/8A=\n", "//8=", [255])),
        [GOOD],
        "text",
        "[" * 100_000,
        "{",
        " " * (MOST_BYTES + 1),
        b"\xff\xfe",
    ],
    ids=lambda content: str(content)[:50],
)
def test_answers_are_of_the_right_kind_and_number(content, two_runs, tmp_path):
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    (tmp_path / FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CnnexpError) as error:
        read_answers(tmp_path)
    assert FILE in str(error.value)
    assert len(str(error.value)) < 300


def test_a_report_names_a_malformed_one(tmp_path):
    (tmp_path / FILE).write_text("{}")
    run = read_run(tmp_path)
    assert run.status == "unreadable"
    assert FILE in run.error_line

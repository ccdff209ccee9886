import re

import pytest
from run_folders import FITTING, make_run

from cnnexp.reports.findings import findings
from cnnexp.reports.records import read_runs, sweep_runs
from cnnexp.reports.selection import optimism
from cnnexp.reports.study import study

IMAGES = {"val_images": 400, "test_images": 2000}
NUMBERS = re.compile(
    r"here it lies ([-+.\d]+) points from test \(95 % interval ([-+.\d]+) to ([-+.\d]+); (.*)\)\.$"
)


def told(folder, tests, typed=(), **made):
    """What is said of runs with these test accuracies; validation is at 93.75 %."""
    for seed, test in enumerate(tests):
        recorded = {"data": {"dataset": "digits", "val_size": 0.2, "seed": seed}}
        make_run(
            folder / f"{len(list(folder.iterdir()))}", [f"seed={seed}", *typed],
            **{"recorded": recorded, "test_accuracy": test, **IMAGES, **made},
        )  # fmt: skip
    return optimism(study(read_runs(sweep_runs(folder))))


@pytest.mark.parametrize("tests", [[0.92], [0.92, 0.93], [0.92, 0.93, 0.925]])
def test_validation_less_test_is_told_with_its_interval(tests, tmp_path):
    found = NUMBERS.search(told(tmp_path, tests))
    mean, low, high = (float(number) for number in found.groups()[:3])
    assert mean == pytest.approx(93.75 - 100 * sum(tests) / len(tests), abs=0.06)
    # 2,000 images leave a point each way, however many seeds there are; 400 leave 2.4
    assert (high - low) / 2 == pytest.approx(1.7 if len(tests) == 3 else 2.7, abs=0.3)
    assert low < 0 < high
    assert found[4] == f"cnn on digits, {len(tests)} run{'s' * (len(tests) > 1)}"


def test_with_one_split_for_all_seeds_its_images_count_too(tmp_path):
    apart = NUMBERS.search(told(tmp_path, [0.92, 0.93, 0.925]))
    (tmp_path / "same").mkdir()
    same = {"data": {"dataset": "digits", "val_size": 0.2, "seed": 0}}
    together = NUMBERS.search(told(tmp_path / "same", [0.92, 0.93, 0.925], recorded=same))
    assert float(together[3]) > float(apart[3]) + 0.8


def test_what_was_chosen_is_said(tmp_path):
    assert "it chose the epoch, and is too high" in told(tmp_path, [0.92])
    assert "it chose the epoch and the configuration, and" in told(tmp_path, [0.92], ["model.dropout=0.5"])
    (tmp_path / "one").mkdir()
    assert told(tmp_path / "one", [0.92, 0.93], rows=FITTING[:1]) is None


def test_where_nothing_was_measured_nothing_is_claimed(tmp_path):
    sentence = told(tmp_path, [None, None])
    assert "docs/overfitting.md" in sentence
    assert "points" not in sentence
    for name, made in (("no sizes", {"val_images": None}), ("failed", {"status": "failed"})):
        (tmp_path / name).mkdir()
        assert "points" not in (told(tmp_path / name, [0.92], **made) or "")


def test_validation_on_the_test_set_is_told(tmp_path):
    recorded = {"data": {"dataset": "digits", "val_size": None, "seed": 0}}
    assert told(tmp_path, [0.9375], recorded=recorded).startswith("Validation is the test set here")
    assert any("Validation is the test set" in line for line in findings(study(read_runs(sweep_runs(tmp_path)))))

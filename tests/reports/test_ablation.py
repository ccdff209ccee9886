"""The ablation: there where each configuration differs from a baseline in one setting, with its differences."""

import html
import json
import re

import numpy as np
import pytest
from run_folders import FITTING, make_run

from cnnexp.evaluation.answers import Answers
from cnnexp.reports.ablation import ablation, ablation_note, ablation_table
from cnnexp.reports.records import read_runs, sweep_runs
from cnnexp.reports.study import study
from cnnexp.reports.write import write_report

BASELINE = {"baseline": ["dropout=0.0", "lr=0.001", "channels=[4,8]"]}
LESS = {"model.dropout=0.5": 0.05, "optimizer.lr=0.01": -0.03, "model.channels=[8,8]": 0.0}
ALL = [[], *([change] for change in LESS)]


def made(folder, configurations, seeds=3, recorded=BASELINE):
    for number, typed in enumerate(configurations):
        for seed in range(seeds):
            less = sum(LESS[change] for change in typed) + 0.01 * seed + 0.001 * (seed * number % 4)
            rows = [row | {"val_accuracy": row["val_accuracy"] - less} for row in FITTING]
            make_run(
                folder / f"{number}-{seed}", [*typed, f"seed={seed}"], rows, recorded=recorded, val_images=900
            )
    return study(read_runs(sweep_runs(folder)))


def test_each_change_has_its_difference_the_largest_gain_first(tmp_path):
    found = made(tmp_path, ALL)
    rows = [change.cells for change in ablation(found)]
    assert [row[0] for row in rows] == [
        "lr: 0.001 → 0.01",
        "channels: [4,8] → [8,8]",
        "dropout: 0 → 0.5",
    ]
    assert [row[1] for row in rows] == ["3"] * 3
    assert [row[4] for row in rows] == ["yes", "no", "yes"]
    assert [float(row[3].split(" ± ")[0]) for row in rows] == pytest.approx([3, 0, -5], abs=0.2)
    assert all(float(row[3].split(" ± ")[1]) > 0 for row in rows)
    assert found.configurations[found.baseline].label in ablation_note(found)
    assert "after Holm for 3 comparisons" in ablation_note(found)


@pytest.mark.parametrize(
    ("seeds", "difference", "told"),
    [(1, r"[+-]\d\.\d\d", "too few seeds"), (2, r"[+-]\d\.\d\d ± \d+\.\d\d", "yes|no")],
)
def test_of_few_seeds_less_is_known(seeds, difference, told, tmp_path):
    changes = ablation(made(tmp_path, ALL, seeds))
    assert len(changes) == 3
    for change in changes:
        assert re.fullmatch(difference, change.cells[3])
        assert re.fullmatch(told, change.cells[4])


def test_networks_of_one_seed_are_compared_by_their_images(tmp_path):
    def answered(wrong):
        right = np.ones(400, dtype=bool)
        right[:wrong] = False
        return Answers("ab", right)

    for number, (typed, wrong) in enumerate(zip(ALL, (10, 60, 14, 12), strict=True)):
        rows = [row | {"val_accuracy": 1 - wrong / 400} for row in FITTING]
        make_run(tmp_path / str(number), [*typed, "seed=0"], rows, recorded=BASELINE, val_images=400,
                 answers=answered(wrong))  # fmt: skip
    found = study(read_runs(sweep_runs(tmp_path)))
    *closer, further = ablation(found)
    assert [change.cells[4] for change in (*closer, further)] == ["no", "no", "yes"]
    assert further.cells[3].startswith("-12.50 [-16.")
    assert further.of_images[0] < further.difference < further.of_images[1] < 0
    note = ablation_note(found)
    assert "McNemar's exact test on the same 400 validation images, p < 0.05 after Holm for 3 comparisons" in note
    assert "t-test" not in note


@pytest.mark.parametrize(
    ("configurations", "recorded"),
    [
        (ALL, None),  # no baseline
        (ALL[:2], BASELINE),  # a single change: the headline says it
        ([*ALL, ["model.dropout=0.5", "optimizer.lr=0.01"]], BASELINE),  # which of the two did it?
        (ALL[1:], BASELINE),  # the baseline hasn't begun
        ([[]], BASELINE),
    ],
)
def test_there_is_no_ablation_elsewhere(configurations, recorded, tmp_path):
    found = made(tmp_path, configurations, 1, recorded)
    assert ablation(found) == []
    assert ablation_table(found) == ""
    report = write_report(sweep_runs(tmp_path), tmp_path, "x")
    assert "what was changed" not in str(report)
    assert "Ablation" not in (tmp_path / "report.html").read_text()
    assert "what was changed" not in (tmp_path / "report.tex").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["ablation"] == []


def test_page_terminal_and_files_have_the_same_table(tmp_path, monkeypatch):
    found = made(tmp_path, ALL)
    monkeypatch.setenv("COLUMNS", "90")
    report = write_report(sweep_runs(tmp_path), tmp_path, "x")
    page, tex = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "tex"))
    rows = json.loads((tmp_path / "report.json").read_text())["ablation"]
    assert len(rows) == 3
    assert html.escape(ablation_note(found)) in page
    for change, row in zip(ablation(found), rows, strict=True):
        assert change.text in page
        assert change.text in report.table
        assert change.cells[3] in page
        assert change.cells[3] in report.table
        assert change.text.partition(":")[0] in tex
        assert f"{abs(100 * change.difference):.2f} $\\pm$" in tex
        assert row["difference"] == pytest.approx(change.difference)
        assert row["told_apart"] is change.told_apart
    monkeypatch.setenv("COLUMNS", "50")
    assert "what was changed" not in write_report(sweep_runs(tmp_path), tmp_path, "x").table

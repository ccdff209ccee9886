"""``task=report`` on real sweeps: finished, half-finished, with a failure; on one run and on a set of runs."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnexp.app import run

QUICK = ["model.channels=[4]", "model.hidden=[]", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
WRITTEN = {
    "report.html",
    "report.csv",
    "summary.csv",
    "report.json",
    "report.tex",
    "curves.png",
    "accuracy.png",
    "gap.png",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A sweep with a failing job; nobody writes to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sweep"))
        assert run([*QUICK, "logger=none", "-m", "optimizer.lr=1e39,0.001,0.01", "seed=0,1"]) == 1
        [sweep] = Path("outputs/sweeps/adhoc").iterdir()
        return sweep.absolute()


@pytest.fixture
def sweep(made: Path, folder: Path) -> Path:
    shutil.copytree(made, folder / "outputs" / "sweeps" / "adhoc" / made.name)
    return Path("outputs/sweeps/adhoc") / made.name


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "report.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_sweeps_report_lies_in_its_folder_and_names_the_failures(sweep, cnnexp, capsys):
    assert cnnexp("task=report", f"run={sweep}") == 0
    printed = capsys.readouterr().out
    assert {path.name for path in sweep.iterdir()} >= WRITTEN
    rows = table(sweep)
    assert [(row["optimizer.lr"], row["seed"]) for row in rows] == [
        (lr, seed) for lr in ("0.001", "0.01", "1e+39") for seed in ("0", "1")
    ]
    assert [row["status"] for row in rows] == ["completed"] * 4 + ["failed"] * 2
    done = json.loads((sweep / "optimizer.lr-0.01,seed-1" / "result.json").read_text())
    assert float(rows[3]["val_accuracy"]) == done["val_accuracy"]
    assert "failed: optimizer.lr-1e+39,seed-0: CnnexpError: optimizer: its first step leaves no finite" in printed
    assert f"report: {sweep / 'report.html'}" in printed
    page = (sweep / "report.html").read_text()
    assert "no finite weight" in page


def test_a_report_compares_with_a_baseline_and_reveals_what_it_is_asked_to(sweep, cnnexp, capsys):
    assert cnnexp("task=report", f"run={sweep}", "baseline=lr=0.01", "reveal=true") == 0
    printed = capsys.readouterr().out
    assert "vs baseline" in printed
    assert [bool(row["test_accuracy"]) for row in table(sweep)] == [True] * 4 + [False] * 2
    assert cnnexp("task=report", f"run={sweep}") == 0
    assert "vs best" in capsys.readouterr().out
    assert sum(bool(row["test_accuracy"]) for row in table(sweep)) == 2


def test_reporting_again_leaves_the_runs_alone_and_counts_no_report_as_a_run(sweep, cnnexp):
    before = {path: path.read_bytes() for path in sweep.glob("*/**/*") if path.is_file()}
    assert before
    assert cnnexp("task=report", f"run={sweep}") == 0
    assert cnnexp("task=report", f"run={sweep}") == 0
    assert len(table(sweep)) == 6
    assert {path: path.read_bytes() for path in before} == before


def test_a_half_finished_sweep_has_a_report_of_what_there_is(sweep, cnnexp, capsys):
    job = sweep / "optimizer.lr-0.01,seed-1"
    result = json.loads((job / "result.json").read_text())
    # as a killed process leaves it
    (job / "result.json").write_text(json.dumps(result | {"status": "running", "val_accuracy": None}))
    (sweep / "optimizer.lr-0.01,seed-0" / "result.json").write_text("{")
    shutil.rmtree(sweep / "optimizer.lr-0.001,seed-0")
    assert cnnexp("task=report", f"run={sweep}") == 0
    assert [row["status"] for row in table(sweep)] == [
        "completed", "unreadable", "interrupted", "failed", "failed",
    ]  # fmt: skip
    assert "1 of 5 runs completed, 2 failed, 1 interrupted, 1 unreadable" in capsys.readouterr().out


def test_other_runs_have_their_report_in_a_folder_of_its_own(sweep, cnnexp, folder):
    before = sorted(path.name for path in sweep.iterdir())
    assert cnnexp("task=report", f"task.runs=['{sweep}/*lr-0.001*','{sweep}/optimizer.lr-0.01,seed-0']") == 0
    [written] = (folder / "outputs" / "report").iterdir()
    assert {path.name for path in written.iterdir()} >= WRITTEN
    assert len(table(written)) == 3
    assert sorted(path.name for path in sweep.iterdir()) == before


def test_a_single_runs_report_lies_below_it(sweep, cnnexp):
    job = sweep / "optimizer.lr-0.01,seed-0"
    assert cnnexp("task=report", f"run='{job}'") == 0
    [written] = (job / "report").iterdir()
    assert [row["status"] for row in table(written)] == ["completed"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "type run=outputs/sweeps/… or task.runs=["),
        (["run=nowhere"], "run=nowhere: there is no such folder"),
        (["task.runs=[nowhere]"], "nowhere: there is no such folder"),
        (["task.runs=[]"], "type run=outputs/sweeps/…"),
        (["run=outputs"], "outputs holds no runs"),
    ],
)
def test_a_mistake_says_what_to_type(typed, said, sweep, cnnexp, capsys):
    assert cnnexp("task=report", *typed) == 2
    assert said in capsys.readouterr().err


def test_reports_need_neither_torch_nor_lightning(sweep):
    code = (
        "import sys; from pathlib import Path\n"
        "from cnnexp.reports.write import write_report; from cnnexp.reports.records import sweep_runs\n"
        "folder = Path(sys.argv[1]); write_report(sweep_runs(folder), folder, 'title')\n"
        "assert not {'torch', 'lightning', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sweep)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_is_no_fit_and_other_budgets_are_not_pooled(cnnexp, folder, capsys):
    typed = [*QUICK, "logger=none"]
    assert cnnexp(*typed, "seed=0") == cnnexp(*typed, "seed=1") == 0
    assert cnnexp(*typed, "trainer=debug", "trainer.max_epochs=1", "seed=2") == 0
    assert cnnexp(*typed, "trainer.max_epochs=2", "seed=3") == 0
    assert cnnexp("task=summary") == 0
    capsys.readouterr()
    assert cnnexp("task=report", "task.runs=[outputs/cnn-digits,outputs/summary]") == 0
    out = capsys.readouterr().out
    assert out.count("(task=summary)") == 1
    [written] = Path("outputs/report").iterdir()
    rows = table(written)
    assert len(rows) == 4
    assert "of 3 configurations" in out  # the two seeds alone are repetitions

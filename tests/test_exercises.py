"""docs/exercises.md: what needs no training prints what stands in the page; test_docs.py runs its commands."""

import re
import shlex
import shutil
from doctest import ELLIPSIS, OutputChecker

import pytest
import torch
from test_docs import REPOSITORY, runs_named_in

from cnnexp import CNN, FFNN

PAGE = (REPOSITORY / "docs" / "exercises.md").read_text()
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", PAGE, re.S | re.M)
PYTHON = [(code, shown) for kind, code, shown in BLOCKS if kind == "python"]
SUMMARIES = [(code, shown) for kind, code, shown in BLOCKS if kind == "bash" and "task=summary" in code]


def check(printed: str, shown: str) -> None:
    """A ``...`` in the page stands for anything, as in doctest: the name of a new folder."""
    assert OutputChecker().check_output(shown, printed, ELLIPSIS), f"{printed}\nisn't\n{shown}"


def test_every_exercise_is_there():
    numbers = re.findall(r"^### (\d\.\d)", PAGE, re.M)
    assert numbers == ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "2.1", "2.2", "2.4"]
    assert len(SUMMARIES) == 2
    assert all(shown for _, shown in PYTHON + SUMMARIES)


@pytest.mark.filterwarnings("ignore")  # the reader's own Trainer, with Lightning's advice on it
@pytest.mark.parametrize(("code", "shown"), PYTHON)
def test_each_block_prints_what_the_page_says(code, shown, folder, two_runs, capsys):
    named = runs_named_in(code)
    if named:
        shutil.copytree(two_runs, folder / "runs")
        for name, run in zip(named, sorted((folder / "runs").iterdir()), strict=True):
            code = code.replace(name, str(run))
    state = torch.get_rng_state()
    exec(compile(code, "exercises.md", "exec"), {"__name__": "exercises"})
    torch.set_rng_state(state)
    printed = capsys.readouterr().out
    if named:  # a tiny network's numbers are not the course's
        assert printed.count("moved by 0 to 4 pixels") == 2
    else:
        check(printed, shown)


@pytest.mark.parametrize(("command", "shown"), SUMMARIES)
def test_each_summary_prints_what_the_page_says(command, shown, cnnexp, capsys):
    assert cnnexp(*shlex.split(command)[3:]) == 0
    check(capsys.readouterr().out, shown)


def test_the_tables_parameters_are_counted_right():
    rows = re.findall(r"^\| (CNN|FFNN), (.*?) \| ([\d,]+) \|", PAGE, re.M)
    assert len(rows) == 9
    for model, settings, count in rows:
        given = {
            key: [int(n) for n in value.split(",")] for key, value in re.findall(r"(\w+) \[(.*?)\]", settings)
        }
        if "nothing hidden" in settings:
            given["hidden"] = []
        made = {"CNN": CNN, "FFNN": FFNN}[model]((3, 32, 32), 10, **given)
        assert f"{made.parameter_count:,}" == count, (model, settings)
    assert f"{CNN((1, 28, 28), 10, hidden=[128]).parameter_count:,} parameters, 50 to 1,000" in PAGE

"""Looks at a test set: counted by every task that measures on one, and by no other."""

import json
import os
from pathlib import Path

import pytest

from cnnexp.job.looks import count_looks

TINY = ["model.channels=[4]", "model.hidden=[]", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]


def made_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("result.json"), key=lambda path: path.stat().st_mtime_ns)


def test_what_measures_on_a_test_set_is_counted_and_what_does_not_is_not(cnnexp, folder, capsys):
    typed = [*TINY, "data.eval_batch_size=2000"]
    assert cnnexp(*typed) == 0
    assert "look at these" not in capsys.readouterr().out
    [result] = made_in(folder)
    run = result.parent.relative_to(folder)
    counted = {1}
    for task, looks in (
        (["task=summary", f"run={run}"], None),
        (["task=test", f"run={run}"], 2),
        (["task=mistakes", f"run={run}"], 3),
        ([*typed, "seed=1"], 4),
        (["task=compare", "task.runs=['outputs/cnn-digits/*']", "task.rounds=1"], 6),  # two networks
        ([*typed, "seed=2", "trainer.limit_test_batches=0"], None),
        (["task=report", f"run={run}"], None),
    ):
        assert cnnexp(*task) == 0
        ends = {2: "2nd", 3: "3rd"}.get(looks, f"{looks}th")
        assert (f"{ends} look at these 359 test images: the best of" in capsys.readouterr().out) is bool(looks)
        assert json.loads(made_in(folder)[-1].read_text()).get("test_looks") == looks
        counted.add(looks)
    assert counted == {1, 2, 3, 4, 6, None}


def test_a_sweep_says_it_once_in_its_report(cnnexp, folder, capsys):
    assert cnnexp(*TINY, "-m", "seed=0,1,2") == 0
    assert capsys.readouterr().out.count("look at these") == 1


class Odd:
    """A data module whose fingerprint can't be taken."""

    @property
    def fingerprint(self) -> str:
        raise RuntimeError


class Unknown:
    """A data module that has no fingerprint."""


class Known:
    """A data module with one."""

    fingerprint = "ab"


class Told:
    """As much of a job as it needs."""

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self.folder, self.writes, self.recorded = folder, writes, {}

    def record(self, **values) -> None:
        self.recorded |= values


@pytest.mark.parametrize(
    ("data", "writes", "accuracies", "cache"),
    [
        (Odd(), True, [0.9], "cache"),
        (Unknown(), True, [0.9], "cache"),
        (Known(), False, [0.9], "cache"),  # another process of the job counts
        (Known(), True, [None], "cache"),
        (Known(), True, [], "cache"),
        (Known(), True, [0.9], "file"),
    ],
)
def test_what_can_not_be_counted_ends_nothing(data, writes, accuracies, cache, folder):
    (folder / "file").write_text("")
    os.environ["CNNEXP_CACHE"] = str(folder / cache)  # undone by the fixture
    job = Told(folder, writes)
    count_looks(job, data, 100, *accuracies)
    assert job.recorded == {}

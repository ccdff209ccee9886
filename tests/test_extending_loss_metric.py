"""The sections of docs/extending.md on losses and metrics, followed to the letter from an empty folder."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
SHORT = ["trainer.limit_train_batches=5", "trainer.max_epochs=2", "data.eval_batch_size=2000"]


@pytest.fixture
def follow(cnnexp, folder):
    """Write a section's files and run its commands, in the page's order; return their run folders."""

    def section(title: str) -> dict[str, list[Path]]:
        text = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)[1]
        made = {}
        for name, content, commands in re.findall(
            r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```|^```bash\n(.*?)^```", text, re.S | re.M
        ):
            if name:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(content)
            for command in commands.splitlines():
                before = set(folder.glob("outputs/**/result.json"))
                words = shlex.split(command.removeprefix("python -m cnnexp"))
                assert cnnexp(*words, *SHORT) == 0, command
                made[command] = [path.parent for path in set(folder.glob("outputs/**/result.json")) - before]
        return made

    return section


@pytest.fixture(autouse=True)
def importable(folder, monkeypatch):
    """Modules in the working folder are found, as `python -m` does it, and are forgotten after the test."""
    import sys

    monkeypatch.syspath_prepend(str(folder))
    yield
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def result(run: Path) -> dict:
    return json.loads((run / "result.json").read_text())


def test_a_loss(follow):
    made = follow("A loss")
    assert [len(runs) for runs in made.values()] == [1, 3, 1, 1]
    [mine], sweep, [margin], [sparse] = made.values()
    by_gamma = {re.search(r"gamma-(\d)", run.name)[1]: rows(run) for run in sweep}
    for row in by_gamma["0"]:
        assert row["running_objective"] == pytest.approx(row["running_loss"], rel=1e-5)
    assert [row["running_objective"] for row in by_gamma["2"]] == [row["running_objective"] for row in rows(mine)]
    assert by_gamma["5"][0]["running_objective"] < by_gamma["2"][0]["running_objective"]
    assert rows(margin)[-1]["running_objective"] != rows(margin)[-1]["running_loss"]
    for row in rows(sparse):
        assert row["running_objective"] > row["running_loss"]


def test_a_metric(follow, cnnexp):
    made = follow("A metric")
    [kappa], [stopped], [worst], [watched] = made.values()
    for run, names in (
        (kappa, ["f1", "kappa"]), (stopped, ["f1"]), (worst, ["worst_class"]),
    ):  # fmt: skip
        best = rows(run)[result(run)["best_epoch"] - 1]
        for name in names:
            for part in ("train", "val"):
                assert result(run)[f"{part}_{name}"] == pytest.approx(best[f"{part}_{name}"])
                events = EventAccumulator(str(run / "tensorboard" / part))
                events.Reload()
                assert [event.value for event in events.Scalars(name)] == [
                    pytest.approx(row[f"{part}_{name}"]) for row in rows(run)
                ]
            assert -1 <= result(run)[f"test_{name}"] <= 1
    assert 0 <= result(worst)["test_worst_class"] < result(worst)["test_accuracy"]
    watched_rows = rows(watched)
    assert 0 < watched_rows[0]["last_weights"] != watched_rows[1]["last_weights"]
    assert result(watched)["last_weights"] == watched_rows[result(watched)["best_epoch"] - 1]["last_weights"]
    events = EventAccumulator(str(watched / "tensorboard" / "train"))
    events.Reload()
    assert [event.step for event in events.Scalars("last_weights")] == [1, 2]
    above = EventAccumulator(str(watched / "tensorboard"))
    above.Reload()
    assert "last_weights" not in above.Tags()["scalars"]
    # used again by naming the class again
    assert cnnexp("--config-dir", "my_conf", "task=test", f"run={worst}") == 0
    [test] = (worst / "test").iterdir()
    assert result(test)["test_worst_class"] == result(worst)["test_worst_class"]
    assert cnnexp("task=test", f"run={kappa}") == 0

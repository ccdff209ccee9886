"""docs/extending.md, section by section, followed to the letter from an empty folder."""

import csv
import json
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import FileServer, serve_idx
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision import datasets

from cnnexp.command.targets import named_in

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
SHORT = ["trainer.limit_train_batches=5", "trainer.max_epochs=2", "data.eval_batch_size=2000"]


@pytest.fixture
def follow(
    cnnexp: Callable[..., int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., dict[str, list[Path]]]]:
    """Follow a section, its fits shortened by ``SHORT``, and return the new run folders of each command.

    Modules in the working folder are found, as ``python -m`` does it, and are forgotten after the test.
    """
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)

    def section(title: str, short: bool = True) -> dict[str, list[Path]]:
        text = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)[1]
        made = {}
        for file, language, content in re.findall(r"(?:^`(\S+)`:\n\n)?^```(\w+)\n(.*?)^```", text, re.S | re.M):
            if language != "bash":
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_text(content)
                named_in.cache_clear()  # a command is a process of its own elsewhere
                continue
            for command in content.splitlines():
                there = _runs(folder)
                _run(command, folder, cnnexp, SHORT if short else [])
                made[command] = [path for path in _runs(folder) if path not in there]
        return made

    yield section
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


def _runs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("outputs/**/result.json"))


def _run(command: str, folder: Path, cnnexp: Callable[..., int], short: list[str]) -> None:
    program, *arguments = shlex.split(command)[1:]
    if program != "-m":
        runpy.run_path(program)
        return
    assert arguments.pop(0) == "cnnexp"
    for named in re.findall(r"outputs/[\w-]+/[\d_-]+", command):
        run = sorted((folder / Path(named).parent).iterdir())[0]
        arguments = [argument.replace(named, str(run)) for argument in arguments]
    fits = not any(argument.startswith(("task=", "resume=")) for argument in arguments)
    assert cnnexp(*arguments, *(short if fits else [])) == 0, command


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


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


@pytest.mark.slow
def test_a_network(follow):
    assert len(follow("A network")) >= 5


@pytest.mark.slow
def test_a_data_set(follow, folder, monkeypatch, tmp_path_factory):
    server = FileServer(tmp_path_factory.mktemp("served"))
    serve_idx(datasets.KMNIST, server, monkeypatch, 400)
    follow("A data set", short=False)
    server.stop()
    # the examples are learned: what a page shows must work, not only run
    for data in ("blobs", "noise", "csv"):
        [run] = (folder / "outputs" / f"cnn-{data}").iterdir()
        assert result(run)["test_accuracy"] > 0.9, data

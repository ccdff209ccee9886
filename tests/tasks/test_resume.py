"""Going on with a run: to the same last bit as if it had never stopped."""

import csv
import json
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cnnexp.evaluation.answers import FILE as ANSWERS
from cnnexp.runs import held

SMALL = [
    "trainer.max_epochs=3", "data.batch_size=48", "model.dropout=0.3", "data.crop_padding=2",
    "data.horizontal_flip=true",
]  # fmt: skip
CNN = [*SMALL, "model.channels=[4,4]", "model.hidden=[16]", "model.batch_norm=true"]
EVERYTHING = ["callbacks=[ema,early_stopping]", "callbacks.ema.decay=0.9", "trainer.accumulate_grad_batches=3"]
SETTINGS = {
    "cnn cosine": [*CNN, "scheduler=cosine", "scheduler.warmup=0.1"],
    "cnn onecycle, everything on": [*CNN, *EVERYTHING, "scheduler=onecycle", "optimizer=adamw"],
    "cnn plateau, bf16": [*CNN, "scheduler=plateau", "scheduler.patience=0", "trainer.precision=bf16-mixed"],
    "ffnn step": [*SMALL, "model=ffnn", "model.hidden=[16]", "scheduler=step", "scheduler.every=1"],
    "ffnn focal, metrics": [*SMALL, "model=ffnn", "model.hidden=[16]", "model.loss=focal", "metrics=[f1,top5]"],
    "ffnn clipped, sgd, 64-true": [
        *SMALL, "model=ffnn", "model.hidden=[16]", "optimizer=sgd", "trainer.gradient_clip_val=1",
        "trainer.precision=64-true", "callbacks=[ema]",
    ],
    "vgg16": [
        *SMALL, "model=vgg16", "model.width=0.06", "trainer.limit_train_batches=7", "trainer.limit_val_batches=1",
        "trainer.limit_test_batches=1", "data.train_eval_size=20",
    ],
}  # fmt: skip


def the_run(folder: Path) -> Path:
    [run] = (folder / "outputs").glob("*/*")
    return run


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def points(run: Path) -> dict:
    found = {}
    for part in ("train", "val"):
        events = EventAccumulator(str(run / "tensorboard" / part))
        events.Reload()
        for tag in ("loss", "accuracy"):
            found[part, tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    return found


def same(one, other, where=""):
    """Assert that two checkpoints are equal, tensors bit for bit; clocks and folders apart."""
    if isinstance(one, torch.Tensor):
        assert other is not None, where
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert set(map(str, one)) == set(map(str, other)), where
        for key in one:
            if key not in ("seconds", "loops", "dirpath") and not str(key).endswith("_path"):
                if key == "best_k_models":
                    same(list(one[key].values()), list(other[key].values()), where)
                else:
                    same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            same(a, b, f"{where}[{number}]")
    else:
        assert one == other or (one != one and other != other), where


APART = {"train_seconds", "samples_per_second", "test_looks"}
"""What two runs that came to the same don't share: their clocks, and which look at the test set theirs was."""


def numbers(run: Path) -> dict:
    result = json.loads((run / "result.json").read_text())
    return {key: value for key, value in result.items() if key not in APART}


def identical(straight: Path, resumed: Path) -> None:
    """Assert that two runs came to the same: every checkpoint, every number."""
    for name in ("last.ckpt", "best.ckpt"):
        same(*(torch.load(run / "checkpoints" / name, weights_only=True) for run in (straight, resumed)), name)
    assert rows(straight) == rows(resumed)
    assert (straight / ANSWERS).read_text() == (resumed / ANSWERS).read_text()
    assert points(straight) == points(resumed)
    mine, theirs = (json.loads((run / "result.json").read_text()) for run in (straight, resumed))
    clocks = APART
    assert {k: v for k, v in mine.items() if k not in clocks} == {
        k: v for k, v in theirs.items() if k not in clocks
    }


@pytest.fixture
def stop_at(interrupt_when):
    """Send this process a real SIGTERM when a training step begins."""

    def arrange(step: int | None) -> None:
        interrupt_when(
            lambda steps, trainer, batch_idx: trainer.fit_loop.epoch_loop.total_batch_idx == step, signal.SIGTERM
        )

    return arrange


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The uninterrupted runs, each made once."""
    from cnnexp.app import run

    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(tmp_path_factory.mktemp("straight"))
                assert run(SETTINGS[name]) == 0
                made[name] = the_run(Path.cwd())
        return made[name]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("where", ["mid-epoch", "last batch", "after an epoch"])
def test_a_run_interrupted_anywhere_ends_as_if_it_had_not_been(name, where, straight, stop_at, cnnexp, folder):
    steps = 7 if name == "vgg16" else 27
    # 27 batches of 48 an epoch; off a boundary of the accumulation
    stop_at({"mid-epoch": steps + steps // 2, "last batch": steps - 1, "after an epoch": 2 * steps}[where])
    assert cnnexp(*SETTINGS[name]) == 143
    run = the_run(folder)
    assert json.loads((run / "result.json").read_text())["status"] == "interrupted"
    stop_at(None)
    assert cnnexp(f"resume={run}") == 0
    identical(straight(name), run)


@pytest.mark.slow
def test_a_longer_run_goes_on_from_a_finished_one(straight, cnnexp, folder):
    name = "ffnn clipped, sgd, 64-true"
    assert cnnexp(*SETTINGS[name], "trainer.max_epochs=1") == 0
    run = the_run(folder)
    assert cnnexp(f"resume={run}", "trainer.max_epochs=3") == 0
    assert rows(run) == rows(straight(name))
    numbers = [json.loads((r / "result.json").read_text())["test_loss"] for r in (run, straight(name))]
    assert numbers[0] == numbers[1]
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for weights in ("state_dict", "current_model_state"):  # the average, and what it is an average of
        assert {value.dtype for value in saved[weights].values()} == {torch.float64}
    assert len((run / ".hydra" / "resumes.yaml").read_text().split("- at")) == 2


@pytest.mark.parametrize("scheduler", ["cosine", "linear", "onecycle", "step", "plateau"])
def test_every_schedule_can_be_made_longer(scheduler, cnnexp, folder):
    small = ["model=ffnn", "model.hidden=[8]", "data.batch_size=200", f"scheduler={scheduler}"]
    assert cnnexp(*small, "trainer.max_epochs=1") == 0
    run = the_run(folder)
    assert cnnexp(f"resume={run}", "trainer.max_epochs=4") == 0
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3", "4"]
    assert float(rows(run)[1]["learning_rate"]) > 0


@pytest.fixture
def finished(cnnexp, folder) -> Path:
    assert cnnexp("model=ffnn", "model.hidden=[8]", "trainer.max_epochs=3", "data.batch_size=200") == 0
    return the_run(folder)


def test_what_would_be_another_experiment_is_refused_and_nothing_changes(finished, cnnexp, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    for typed, said in [
        (["optimizer.lr=0.1", "trainer.max_epochs=5"], "can't change optimizer.lr"),
        (["model.hidden=[9]"], "can't change model.hidden"),
        (["model=cnn"], "can't change model."),
        (["seed=1"], "can't change data.seed, seed"),
        ([], "is complete after 3 epochs"),
        (["trainer.max_epochs=2"], "is complete after 3 epochs"),
        (["task=test"], "type run= instead"),
        ([f"run={finished}"], "give one of them"),
    ]:
        assert cnnexp(f"resume={finished}", *typed) == 2
        assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_a_run_at_work_is_not_gone_on_with_by_another(finished, cnnexp, capsys):
    with held(finished):
        assert cnnexp(f"resume={finished}", "trainer.max_epochs=5") == 2
        assert "is in use by another process" in capsys.readouterr().err
    assert not (finished / ".hydra" / "resumes.yaml").exists()


def test_a_damaged_checkpoint_is_passed_over_for_the_previous_one(finished, cnnexp, capsys):
    straight, answers = rows(finished), (finished / ANSWERS).read_text()
    (finished / ANSWERS).unlink()
    last = finished / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    _unfinish(finished)
    assert cnnexp(f"resume={finished}") == 0
    log = (finished / "run.log").read_text()
    assert "last.ckpt can't be read" in log
    assert "going on from previous.ckpt, saved after epoch 2" in log
    assert rows(finished) == straight
    assert (finished / ANSWERS).read_text() == answers


def test_two_damaged_checkpoints_end_it_with_a_line(finished, cnnexp, capsys):
    for name in ("last", "previous"):
        (finished / "checkpoints" / f"{name}.ckpt").write_bytes(b"not a checkpoint")
    _unfinish(finished)
    assert cnnexp(f"resume={finished}") == 2
    assert "nothing to go on from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["state_dict"].popitem(), "isn't of this network"),
        (lambda c: c["state_dict"].update({"layers.1.weight": torch.zeros(2, 2)}), "layers.1.weight is (2, 2)"),
        (
            lambda c: c["hyper_parameters"].update(image_shape=[1, 36, 36]),
            "image_shape is (1, 36, 36)",
        ),
        (lambda c: c.update(cnnexp_version="99.0"), "update cnnexp"),
        (lambda c: c.update(lr_schedulers=[]), "is malformed: lr_schedulers isn't a list of 1"),
    ],
)
def test_another_networks_checkpoint_is_passed_over(change, said, finished, cnnexp, capsys):
    straight = rows(finished)
    path = finished / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)
    _unfinish(finished)
    (finished / "checkpoints" / "previous.ckpt").rename(finished / "aside")
    assert cnnexp(f"resume={finished}") == 2
    assert said in capsys.readouterr().err
    (finished / "aside").rename(finished / "checkpoints" / "previous.ckpt")
    assert cnnexp(f"resume={finished}") == 0
    assert said in (finished / "run.log").read_text()
    assert "going on from previous.ckpt, saved after epoch 2" in (finished / "run.log").read_text()
    assert rows(finished) == straight


def test_a_run_that_saved_nothing_starts_from_its_beginning(finished, cnnexp):
    straight = rows(finished)
    shutil.rmtree(finished / "checkpoints")
    _unfinish(finished)
    assert cnnexp(f"resume={finished}") == 0
    assert rows(finished) == straight


def test_a_moved_run_keeps_its_best_epoch(cnnexp, folder, stop_at):
    stop_at(4 * 6)
    settings = ["model=ffnn", "model.hidden=[8]", "data.batch_size=225", "trainer.max_epochs=6"]
    assert cnnexp(*settings) == 143
    moved = folder / "elsewhere"
    the_run(folder).rename(moved)
    best = torch.load(moved / "checkpoints" / "best.ckpt", weights_only=True)["history"][-1]
    stop_at(None)
    # so low a learning rate can't be typed on resume: what can be seen is that the best score is remembered
    assert cnnexp(f"resume={moved}") == 0
    history = [float(row["val_accuracy"]) for row in rows(moved)]
    result = json.loads((moved / "result.json").read_text())
    assert result["best_epoch"] == history.index(max(history)) + 1
    assert result["best_epoch"] >= best["epoch"]


@pytest.mark.parametrize("end", ["steps", "epoch"])
def test_a_loss_that_is_no_longer_finite_stops_the_run(end, cnnexp, folder, capsys):
    batch = "data.batch_size=4" if end == "steps" else "data.batch_size=300"
    settings = ["model.channels=[4]", "model.hidden=[]", "optimizer=sgd", "optimizer.lr=1e18", batch]
    assert cnnexp(*settings) == 2
    error = capsys.readouterr().err
    assert int(re.search(r"no longer finite: epoch 1, by step (\d+)", error)[1]) <= 64
    assert "learning rate 1e+18; lower optimizer.lr" in error
    result = json.loads((the_run(folder) / "result.json").read_text())
    assert result["status"] == "failed"
    assert not (the_run(folder) / "checkpoints" / "last.ckpt").exists()


def test_long_epochs_are_saved_within(cnnexp, folder, stop_at, monkeypatch):
    settings = ["model.channels=[4]", "model.hidden=[]", "callbacks=[save_every]", "callbacks.save_every.steps=5"]
    monkeypatch.setattr("cnnexp.training.checkpoints.LAST", "last.ckpt")
    assert cnnexp(*settings, "trainer.max_epochs=1") == 0
    previous = torch.load(the_run(folder) / "checkpoints" / "previous.ckpt", weights_only=True)
    assert previous["so_far"]["batches"] == 40  # of 41
    assert not previous["history"]


def _unfinish(run: Path) -> None:
    """Make a run look as if it had been killed at its end."""
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "status": "running"}))

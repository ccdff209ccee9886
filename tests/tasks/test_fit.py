"""A real run on digits, and what it leaves behind, file by file."""

import csv
import json
import math
import shutil
from hashlib import blake2b
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cnnexp import CNN, load_run
from cnnexp.app import run
from cnnexp.evaluation.answers import read_answers

QUICK = ["model.channels=[4,8]", "model.hidden=[16]", "trainer.max_epochs=3", "data.batch_size=64"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished run; nobody writes to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fit"))
        assert run(QUICK) == 0
        [folder] = Path("outputs/cnn-digits").iterdir()
        return folder.absolute()


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def test_the_run_folder_holds_what_was_promised_and_nothing_else(finished):
    names = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    events = {name for name in names if "events.out.tfevents" in name}
    assert {str(Path(name).parent) for name in events} == {
        "tensorboard",
        "tensorboard/train",
        "tensorboard/val",
    }
    assert len(events) == 3
    assert names - events == {
        ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", ".hydra/run.lock",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", "checkpoints/previous.ckpt",
        "metrics.csv", "curves.png", "result.json", "run.log", "val_answers.json",
    }  # fmt: skip


def test_metrics_have_one_row_an_epoch(finished):
    table = rows(finished)
    assert list(table[0])[:7] == [
        "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds",
    ]  # fmt: skip
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    assert table[0].pop("val_loss_se") == ""  # there is no epoch before to compare it with
    assert all(math.isfinite(float(value)) for row in table for value in row.values())
    assert float(table[-1]["train_loss"]) < float(table[0]["train_loss"])


def test_result_agrees_with_the_metrics_and_has_every_key(finished):
    done = result(finished)
    best = max(rows(finished), key=lambda row: float(row["val_accuracy"]))
    assert done["status"] == "completed"
    assert done["error"] is None
    assert (done["model"], done["data"], done["seed"], done["epochs"]) == ("cnn", "digits", 0, 3)
    assert done["best_epoch"] == int(best["epoch"])
    for key in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        assert done[key] == pytest.approx(float(best[key]))
    assert done["generalization_gap"] == pytest.approx(done["train_accuracy"] - done["val_accuracy"])
    assert done["train_seconds"] == pytest.approx(sum(float(row["seconds"]) for row in rows(finished)))
    assert 0.5 < done["test_accuracy"] <= 1
    assert done["parameters"] == sum(p.numel() for p in load_run(finished).model.parameters())
    assert done["device"] in ("cpu", "cuda:0", "mps:0")
    assert done["versions"]["torch"] == torch.__version__.split("+")[0] or done["versions"]["torch"]
    assert len(done["config_hash"]) == 64
    assert {"test_loss", "samples_per_second", "git_commit"} <= set(done)


def test_the_answers_are_of_the_validation_images_in_their_order(finished):
    answers, loaded = read_answers(finished), load_run(finished)
    loaded.data.setup()
    digests, (_, places) = loaded.data._source.digests["train"], loaded.data._parts["val"]
    lines = zip(places.tolist(), loaded.data.labels("val").tolist(), strict=True)
    text = "".join(f"{digests[place]} {label}\n" for place, label in lines)
    assert answers.images == blake2b(text.encode(), digest_size=16).hexdigest()
    assert len(answers.right) == result(finished)["val_images"] == len(places)
    assert answers.right.mean() == pytest.approx(result(finished)["val_accuracy"], abs=1e-7)


def test_train_and_val_lie_on_one_tensorboard_chart(finished):
    table = rows(finished)
    for part in ("train", "val"):
        events = EventAccumulator(str(finished / "tensorboard" / part))
        events.Reload()
        assert {"loss", "accuracy"} <= set(events.Tags()["scalars"])
        for tag in ("loss", "accuracy"):
            points = [(event.step, event.value) for event in events.Scalars(tag)]
            assert points == [(int(r["epoch"]), pytest.approx(float(r[f"{part}_{tag}"]))) for r in table]
    above = EventAccumulator(str(finished / "tensorboard"))
    above.Reload()
    assert {"best/test_accuracy", "best/test_loss", "best/generalization_gap"} <= set(above.Tags()["scalars"])
    gap = [(event.step, event.value) for event in above.Scalars("generalization_gap")]
    gaps = [float(row["train_accuracy"]) - float(row["val_accuracy"]) for row in table]
    assert gap == [(epoch, pytest.approx(value, abs=1e-6)) for epoch, value in enumerate(gaps, 1)]
    finals = {
        event.step for tag in above.Tags()["scalars"] if tag.startswith("best/") for event in above.Scalars(tag)
    }
    assert finals == {3}  # no number stands at a step
    assert {tag for tag in above.Tags()["scalars"] if not tag.startswith("best/")} == {"generalization_gap"}
    assert "hp_metric" not in above.Tags()["scalars"]
    assert "curves" in above.Tags()["images"]
    assert above.SummaryMetadata("_hparams_/session_start_info").plugin_data.plugin_name == "hparams"


def test_the_curves_go_on_after_the_best_epoch(cnnexp, folder):
    small = ["model=ffnn", "model.hidden=[]", "trainer.limit_train_batches=2", "trainer.max_epochs=3"]
    assert cnnexp(*small, "optimizer.lr=1e-12") == 0  # no epoch is better than the first
    [done] = (folder / "outputs" / "ffnn-digits").iterdir()
    assert result(done)["best_epoch"] == 1
    events = EventAccumulator(str(done / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Images("curves")] == [3]
    assert [event.step for event in events.Scalars("best/val_accuracy")] == [3]


def test_the_record_is_resolved_and_checkpoints_have_no_equals_sign(finished):
    record = OmegaConf.load(finished / ".hydra" / "config.yaml")
    assert "${" not in (finished / ".hydra" / "config.yaml").read_text()
    assert record.data.seed == record.seed == 0
    assert record.model.channels == [4, 8]
    assert Path(record.data.root).is_absolute()
    assert not any("=" in path.name for path in finished.rglob("*"))


def test_checkpoints_load_without_code_and_hold_the_preprocessing(finished):
    for path in (finished / "checkpoints").iterdir():
        checkpoint = torch.load(path, weights_only=True)
        assert checkpoint["ImageDataModule"]["class_names"] == [str(digit) for digit in range(10)]
    model = CNN.load_from_checkpoint(finished / "checkpoints" / "best.ckpt")
    assert model.image_shape == (1, 28, 28)
    assert len(model.history) == result(finished)["best_epoch"] - 1  # saved as it was validated, within its epoch


def test_the_log_reads_as_a_story(finished):
    log = (finished / "run.log").read_text()
    assert "epoch 1/3" in log
    assert "epoch 3/3" in log
    assert "best epoch" in log
    assert "\r" not in log


def test_the_test_repeats_exactly_and_leaves_the_run_alone(finished, monkeypatch):
    monkeypatch.chdir(finished.parents[2])
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    try:
        assert run(["task=test", f"run={finished.relative_to(Path.cwd())}"]) == 0
        [folder] = (finished / "test").iterdir()
        again = result(folder)
    finally:
        shutil.rmtree(finished / "test", ignore_errors=True)
    assert again["test_loss"] == result(finished)["test_loss"]
    assert again["test_accuracy"] == result(finished)["test_accuracy"]
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_a_recorded_run_runs_again_with_the_same_curves(finished, cnnexp, folder):
    assert cnnexp("task=fit", f"run={finished}") == 0
    [again] = (folder / "outputs" / "cnn-digits").iterdir()
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in rows(again)]
    assert strip == [{k: v for k, v in row.items() if k != "seconds"} for row in rows(finished)]
    assert result(again)["test_loss"] == result(finished)["test_loss"]
    assert result(again)["config_hash"] == result(finished)["config_hash"]


def test_a_record_is_changed_by_what_is_typed_beside_it(finished, cnnexp, folder):
    assert (
        cnnexp(f"run={finished}", "model=ffnn", "model.hidden=[8]", "trainer.max_epochs=1", "optimizer=sgd") == 0
    )
    [again] = (folder / "outputs" / "ffnn-digits").iterdir()
    record = OmegaConf.load(again / ".hydra" / "config.yaml")
    assert record.data.batch_size == 64
    assert record.optimizer._target_ == "torch.optim.SGD"
    assert "channels" not in record.model


def test_another_seed_gives_other_curves_and_the_same_seed_the_same(cnnexp, folder):
    for seed in ("0", "0", "1"):
        assert cnnexp(*QUICK, f"seed={seed}", "trainer.max_epochs=1", "model.dropout=0.2") == 0
    runs = sorted((folder / "outputs" / "cnn-digits").iterdir(), key=lambda path: path.stat().st_ctime_ns)
    losses = [rows(path)[0]["val_loss"] for path in runs]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("scheduler", ["constant", "step", "cosine", "onecycle", "plateau"])
def test_every_schedule_moves_the_learning_rate_as_it_says(scheduler, cnnexp, folder):
    settings = {"step": ["scheduler.every=1"], "plateau": ["scheduler.patience=0", "optimizer.lr=0.5"]}
    assert cnnexp(*QUICK, f"scheduler={scheduler}", "optimizer=sgd", *settings.get(scheduler, [])) == 0
    [done] = (folder / "outputs" / "cnn-digits").iterdir()
    rates = [float(row["learning_rate"]) for row in rows(done)]
    expected = {
        "constant": rates[0] == rates[1] == rates[2] == 0.05,
        "step": rates == pytest.approx([0.05, 0.005, 0.0005]),
        "cosine": rates == pytest.approx([0.05, 0.05 * 0.75, 0.05 * 0.25]),
        "onecycle": rates[0] == pytest.approx(0.05 / 25) and rates[1] > rates[2],
        "plateau": rates[0] == 0.5,
    }
    assert expected[scheduler], rates


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_learns(optimizer, cnnexp, folder):
    assert cnnexp(*QUICK, f"optimizer={optimizer}") == 0
    [done] = (folder / "outputs" / "cnn-digits").iterdir()
    assert result(done)["test_accuracy"] > 0.5


def test_early_stopping_and_averaging_are_a_matter_of_config(cnnexp, folder):
    assert cnnexp(
        *QUICK, "callbacks=[early_stopping,ema]", "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=100", "callbacks.ema.decay=0.9", "trainer.max_epochs=9",
    ) == 0  # fmt: skip
    [done] = (folder / "outputs" / "cnn-digits").iterdir()
    assert len(rows(done)) == 2
    checkpoint = torch.load(done / "checkpoints" / "last.ckpt", weights_only=True)
    assert "current_model_state" in checkpoint
    assert load_run(done, "last").model.history[-1]["val_loss"] == pytest.approx(float(rows(done)[-1]["val_loss"]))


def test_a_debug_run_is_short_and_complete(cnnexp, folder):
    assert cnnexp("trainer=debug", "logger=none") == 0
    [done] = (folder / "outputs" / "cnn-digits").iterdir()
    assert result(done)["status"] == "completed"
    assert not (done / "tensorboard").exists()
    # 3 batches of 32 were trained on, and as many images measured; those that validate and test lie in 3 batches
    told, [first, second] = result(done), rows(done)
    images = {"train_eval_images": 96, "val_images": 144, "running_images": 96}
    for row in (first, second):
        assert {key: int(row[key]) for key in images} == images
    assert {key: told[key] for key in ("train_eval_images", "val_images", "test_images")} == {
        "train_eval_images": 96, "val_images": 144, "test_images": 359,
    }  # fmt: skip
    assert told["samples_per_second"] == pytest.approx(2 * 96 / told["train_seconds"])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_whatever_the_precision(precision, cnnexp, folder):
    settings = [*QUICK, "optimizer=sgd", "optimizer.weight_decay=0", f"trainer.precision={precision}"]
    assert cnnexp(*settings, "trainer.gradient_clip_val=1e-12") == 0
    [done] = (folder / "outputs" / "cnn-digits").iterdir()
    losses = [float(row["train_loss"]) for row in rows(done)]
    # steps of nothing: the weights, and so the loss, stay as they were
    assert losses[0] == pytest.approx(losses[-1], rel=1e-4)

"""How long training is, what is validated when, and what of it is told: the command, in this process."""

import csv
import json
from pathlib import Path

import pytest
import torch

from cnnexp import load_run
from cnnexp.data.split import stratified_order
from cnnexp.evaluation.answers import FILE as ANSWERS
from cnnexp.evaluation.answers import read_answers
from cnnexp.runs import write_json

QUICK = ["model=ffnn", "model.hidden=[8]", "logger=none"]  # 41 batches an epoch
ENDS = [["trainer.max_steps=60"], ["trainer.max_steps=7"], ["trainer.max_steps=82"]]


@pytest.fixture
def fit(cnnexp, folder):
    def run(name: str, *typed: str, status: int = 0) -> Path:
        assert cnnexp(*QUICK, *typed, f"hydra.run.dir={name}") == status
        return folder / name

    return run


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def result(run: Path) -> dict:
    return json.loads((run / "result.json").read_text())


def weights(run: Path, which: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / f"{which}.ckpt", weights_only=True)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def validated(run: Path, most: int | None = None) -> tuple[float, list[bool]]:
    """Loss of best.ckpt on validation images, or a stratified part of them, and its answers, by a plain loop."""
    loaded = load_run(run)
    loaded.data.setup()
    losses, right = [], []
    with torch.no_grad():
        for images, labels in loaded.data.val_dataloader():
            logits = loaded.model(images)
            losses += torch.nn.functional.cross_entropy(logits, labels, reduction="none").tolist()
            right += (logits.argmax(1) == labels).tolist()
    order = range(len(right))
    if most is not None:  # the order that a limit leaves
        order = stratified_order(loaded.data.labels("val"), loaded.data.seed)[:most].tolist()
    return sum(losses[i] for i in order) / len(order), [right[i] for i in order]


@pytest.mark.parametrize(
    "typed",
    [
        ["trainer.val_check_interval=30"],
        ["trainer.limit_val_batches=2", "data.eval_batch_size=50"],
        ["trainer.val_check_interval=0.25"],
        ["trainer.check_val_every_n_epoch=2"],
        ["trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=50"],
        ["trainer.max_steps=60"],
        ["callbacks=[early_stopping]", "trainer.val_check_interval=0.5", "callbacks.early_stopping.patience=0"],
        ["scheduler=plateau", "trainer.val_check_interval=0.5"],
    ],
    ids=" ".join,
)
def test_what_is_told_was_measured_on_the_best_checkpoints_weights(typed, fit):
    run = fit("run", *typed, *([] if any("max_steps" in one for one in typed) else ["trainer.max_epochs=2"]))
    loss, right = validated(run, 100 if any("limit_val" in one for one in typed) else None)
    told = result(run)["val_loss"], result(run)["val_accuracy"], result(run)["val_images"]
    assert told == pytest.approx((loss, sum(right) / len(right), len(right)), rel=1e-5)
    assert read_answers(run).right.tolist() == right
    best = rows(run)[result(run)["best_epoch"] - 1]
    assert float(best["val_loss"]) == pytest.approx(result(run)["val_loss"], rel=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "linear"])
@pytest.mark.parametrize("ends", [*ENDS, ["trainer.limit_train_batches=10", "trainer.accumulate_grad_batches=4"]])
def test_a_schedule_ends_when_training_does(schedule, ends, fit):
    run = fit("run", f"scheduler={schedule}", *ends, "trainer.max_epochs=5")
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    steps = {"trainer.max_steps": int(ends[0].split("=")[1])}.get(ends[0].split("=")[0], 5 * 3)
    assert state["global_step"] == steps
    assert state["optimizer_states"][0]["param_groups"][0]["lr"] < 1e-3 / 10


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["callbacks=[ema]", "callbacks.ema.decay=0.9"]], ids=["plain", "ema"])
def test_a_run_that_ended_within_an_epoch_goes_on_as_if_it_had_not(more, fit, cnnexp):
    whole = fit("whole", *more, "trainer.max_steps=100", "trainer.max_epochs=9")
    ended = fit("ended", *more, "trainer.max_steps=60", "trainer.max_epochs=9")
    assert [row["epoch"] for row in rows(ended)] == ["1", "2"]
    assert cnnexp(f"resume={ended}") == 2  # it is complete
    assert cnnexp(f"resume={ended}", "trainer.max_steps=100") == 0
    assert same(weights(ended), weights(whole))
    assert (ended / ANSWERS).read_text() == (whole / ANSWERS).read_text()
    assert rows(ended)[0] == rows(whole)[0]
    for name in ("epoch", "running_accuracy", "train_loss", "val_loss"):
        assert [row[name] for row in rows(ended)] == [row[name] for row in rows(whole)], name


STOPS = [
    ["callbacks.early_stopping.min_delta=100"],
    ["+callbacks.early_stopping.stopping_threshold=100"],  # in the first epoch, at its end
    ["+callbacks.early_stopping.divergence_threshold=1e-3", "trainer.val_check_interval=0.5"],  # and in its middle
]


@pytest.mark.parametrize("ends", [*ENDS, *(["callbacks=[early_stopping]", *stop] for stop in STOPS)], ids=" ".join)
def test_a_run_that_was_killed_in_its_test_trains_no_further(ends, fit, cnnexp):
    run = fit("run", *ends, "trainer.max_epochs=8")
    before, told, answers = result(run), rows(run), (run / ANSWERS).read_text()
    write_json(run / "result.json", {**before, "status": "running", "test_accuracy": None})
    assert cnnexp(f"resume={run}") == 0
    assert rows(run) == told
    assert (run / ANSWERS).read_text() == answers
    kept = ("epochs", "best_epoch", "val_loss", "val_accuracy", "test_loss", "test_accuracy")
    assert {key: result(run)[key] for key in kept} == {key: before[key] for key in kept}


def test_the_last_accumulated_batches_are_divided_by_their_own_number(fit):
    # plain steps of 30 and 10 images, and batches of 10 of which three and then one are accumulated
    size = ["data.train_size=40", "data.normalize=false", "optimizer=sgd", "trainer.max_epochs=1"]
    plain = fit("plain", *size, "data.batch_size=30")
    summed = fit("summed", *size, "data.batch_size=10", "trainer.accumulate_grad_batches=3")
    for key, value in weights(plain).items():
        torch.testing.assert_close(weights(summed)[key], value, rtol=1e-4, atol=1e-6, msg=key)


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
@pytest.mark.parametrize("model", ["cnn", "ffnn"])
def test_true_precisions_train_and_are_measured_in_single(model, precision, cnnexp, folder):
    typed = [f"model={model}", "model.hidden=[8]", "logger=none", f"trainer.precision={precision}"]
    assert cnnexp(*typed, "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    done = result(folder / "run")
    assert done["test_accuracy"] > 0.3
    assert done["val_loss"] != torch.tensor(done["val_loss"]).bfloat16().item()
    assert {str(value.dtype) for value in weights(folder / "run").values() if value.is_floating_point()} == {
        {"bf16-true": "torch.bfloat16", "16-true": "torch.float16", "64-true": "torch.float64"}[precision]
    }


def test_an_average_over_few_steps_is_none_of_the_untrained_weights(fit, capsys):
    run = fit("run", "callbacks=[ema]", "trainer.max_epochs=2")
    assert result(run)["test_accuracy"] > 0.7
    assert "decay=0.999 averages over 1000 updates, and this run has 82" in capsys.readouterr().out


@pytest.mark.parametrize(("metric", "direction"), [("val_accuracy", "max"), ("val_loss", "min")])
def test_a_monitored_metric_goes_its_own_way(metric, direction, fit):
    stopping = ["callbacks=[early_stopping]", f"callbacks.early_stopping.monitor={metric}"]
    run = fit("run", *stopping, "trainer.max_epochs=1")
    assert f"mode: {direction}" in (run / ".hydra" / "config.yaml").read_text()


@pytest.mark.parametrize("interval", [[], ["trainer.val_check_interval=10"]])
def test_what_watches_validation_goes_on_as_if_training_had_not_ended_within_an_epoch(interval, cnnexp, folder):
    # a plateau and early stopping that take note of every validation
    watching = [
        *QUICK, "scheduler=plateau",
        "scheduler.patience=0", "scheduler.factor=0.5", "callbacks=[early_stopping]", "optimizer.lr=0.05",
        "callbacks.early_stopping.patience=50", "trainer.max_epochs=-1", *interval,
    ]  # fmt: skip
    assert cnnexp(*watching, "trainer.max_steps=250", "hydra.run.dir=whole") == 0
    assert cnnexp(*watching, "trainer.max_steps=60", "hydra.run.dir=cut") == 0
    for steps in (145, 250):
        assert cnnexp("resume=cut", f"trainer.max_steps={steps}") == 0
    whole, cut = (torch.load(f"{name}/checkpoints/last.ckpt", weights_only=True) for name in ("whole", "cut"))
    assert [row["learning_rate"] for row in cut["history"]] == [row["learning_rate"] for row in whole["history"]]
    assert len({row["learning_rate"] for row in whole["history"]}) > 1  # it did take note
    for name, weight in whole["state_dict"].items():
        assert torch.equal(weight, cut["state_dict"][name]), name
    [[stopping], [other]] = (
        [v for k, v in saved["callbacks"].items() if "EarlyStopping" in k] for saved in (whole, cut)
    )
    assert (stopping["wait_count"], float(stopping["best_score"])) == (
        other["wait_count"],
        float(other["best_score"]),
    )

"""Lightning's callbacks in a notebook find what they monitor, whatever is validated when."""

from functools import partial

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from cnnexp import FFNN, CnnexpError
from cnnexp.models.optimized import SchedulerFactory
from cnnexp.training.callbacks import WarmedUpEMA

SHAPE, CLASSES, BATCHES = (1, 4, 4), 3, 7
WHEN = {
    "each epoch": {},
    "several an epoch": {"val_check_interval": 2},
    "several, the last at its end": {"val_check_interval": BATCHES},
    "a share": {"val_check_interval": 0.3},
    "across epochs": {"val_check_interval": 9, "check_val_every_n_epoch": None},
    "every second epoch": {"check_val_every_n_epoch": 2},
    "in every second several": {"check_val_every_n_epoch": 2, "val_check_interval": 0.5},
    "steps": {"max_steps": 10, "val_check_interval": 3},
    "accumulated": {"accumulate_grad_batches": 3, "val_check_interval": 4},
    "limited": {"limit_train_batches": 4, "val_check_interval": 3},
    "time": {"max_time": {"hours": 1}, "min_epochs": 2},
}
VALIDATED, EPOCH = ["val_loss", "val_accuracy", "train_loss"], ["running_loss", "running_accuracy", "seconds"]


class Images(L.LightningDataModule):
    """Random images, seven batches of four for training."""

    def dataset(self, count: int) -> TensorDataset:
        draw = torch.Generator().manual_seed(count)
        return TensorDataset(
            torch.rand(count, *SHAPE, generator=draw), torch.randint(CLASSES, (count,), generator=draw)
        )

    def train_dataloader(self):
        return DataLoader(self.dataset(4 * BATCHES), batch_size=4)

    def val_dataloader(self):
        return DataLoader(self.dataset(40), batch_size=20)

    def train_eval_dataloader(self):
        return DataLoader(self.dataset(4 * BATCHES), batch_size=14)


def fit(folder, callbacks, scheduler: SchedulerFactory | None = None, **when) -> FFNN:
    torch.manual_seed(0)
    model = FFNN(SHAPE, CLASSES, hidden=(6,)).train_with(partial(torch.optim.SGD, lr=0.1), scheduler)
    arguments = {"max_epochs": 4, "num_sanity_val_steps": 0, "log_every_n_steps": 1, **when}
    trainer = L.Trainer(
        accelerator="cpu", logger=CSVLogger(folder), callbacks=callbacks, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        **arguments,
    )  # fmt: skip
    trainer.fit(model, datamodule=Images())
    return model


def measured(path: str) -> dict[str, float]:
    """Loss and accuracy of a checkpoint's weights on the validation images, by hand."""
    images, labels = Images().dataset(40).tensors
    with torch.no_grad():
        logits = FFNN.load_from_checkpoint(path).eval()(images)
    return {
        "val_loss": torch.nn.functional.cross_entropy(logits, labels).item(),
        "val_accuracy": (logits.argmax(1) == labels).float().mean().item(),
    }


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`", "ignore:Swapping scheduler")
@pytest.mark.parametrize("more", ["none", "ema", "swa"])
@pytest.mark.parametrize("when", WHEN.values(), ids=WHEN)
def test_a_checkpoint_holds_the_weights_that_it_was_chosen_for(when, more, tmp_path):
    kept = [
        ModelCheckpoint(tmp_path / monitor, monitor=monitor, mode="max" if "acc" in monitor else "min")
        for monitor in ("val_loss", "val_accuracy")
    ]
    averaging = {"none": [], "ema": [WarmedUpEMA(decay=0.5)], "swa": [StochasticWeightAveraging(0.05, 2)]}[more]
    model = fit(tmp_path, [*averaging, *kept, LearningRateMonitor()], **when)
    for checkpoint in kept:
        told = measured(checkpoint.best_model_path)[checkpoint.monitor]
        assert float(checkpoint.best_model_score) == pytest.approx(told, rel=1e-5)
    rows = [row for row in model.history if "val_loss" in row]
    assert max(row["val_accuracy"] for row in rows) == pytest.approx(float(kept[1].best_model_score), rel=1e-5)


@pytest.mark.parametrize("when", WHEN.values(), ids=WHEN)
def test_what_is_saved_at_an_epochs_end_is_of_its_last_validation(when, tmp_path, recwarn):
    kept = ModelCheckpoint(tmp_path / "kept", monitor="val_loss", save_on_train_epoch_end=True)
    if when.get("check_val_every_n_epoch", 1) == 1:
        fit(tmp_path, [kept], **when)
        right = float(kept.best_model_score) == pytest.approx(measured(kept.best_model_path)["val_loss"], rel=1e-5)
        assert right or any("leave out save_on_train_epoch_end" in str(one.message) for one in recwarn)


@pytest.mark.parametrize("monitor", [*VALIDATED, *EPOCH])
@pytest.mark.parametrize("when", WHEN.values(), ids=WHEN)
def test_early_stopping_counts_what_is_measured(when, monitor, tmp_path):
    stop = EarlyStopping(monitor, patience=1, min_delta=1e9, check_on_train_epoch_end=monitor in EPOCH or None)
    model = fit(tmp_path, [stop], **when)
    # the first is an improvement on nothing, unless even infinity less a milliard is none
    assert stop.stopped_epoch == len(model.history) - 1 or "min_epochs" in when
    assert stop.wait_count >= 1


@pytest.mark.parametrize("monitor", ["val_loss", "train_loss", "running_loss", "val_accuracy"])
@pytest.mark.parametrize("when", WHEN.values(), ids=WHEN)
def test_a_plateau_takes_a_step_each_time_its_monitor_is_measured(when, monitor, tmp_path):
    steps = []

    class Counted(torch.optim.lr_scheduler.ReduceLROnPlateau):
        def step(self, metrics, *args):
            steps.append(float(metrics))

    def plateau(optimizer, *, epochs, steps_per_epoch):
        return {"scheduler": Counted(optimizer), "monitor": monitor}

    seen = []

    class Watch(L.Callback):
        def on_validation_end(self, trainer, module):
            seen.append(float(trainer.callback_metrics.get(monitor, 0)))

    model = fit(tmp_path, [Watch()], plateau, **when)
    assert steps
    assert steps == pytest.approx(seen if monitor in VALIDATED else [row[monitor] for row in model.history])


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"monitor": "lost"}, "the schedule watches lost; measured is"),
        ({"monitor": "val_loss", "frequency": 2}, "leave out interval and frequency"),
        ({"monitor": "val_loss", "interval": "step"}, "leave out interval and frequency"),
    ],
)
def test_a_plateau_that_would_never_be_stepped_is_refused(node, says, tmp_path):
    def plateau(optimizer, *, epochs, steps_per_epoch):
        return {"scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer), **node}

    with pytest.raises(CnnexpError, match=says):
        fit(tmp_path, [], plateau)

"""Metrics of torchmetrics, and what a network logs itself, in an epoch's row; and networks that can't be saved."""

import csv
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from sklearn.metrics import f1_score
from test_classifier import CLASSES, SHAPE, ImagesWithCleanTraining, network, trainer
from torch import nn
from torchmetrics import F1Score, Metric

from cnnexp import FFNN, Classifier, CnnexpError
from cnnexp.models.hyperparameters import check_hyperparameters
from cnnexp.training.loggers import CsvLogger


class Sharpness(Metric):
    """The mean of the highest probability, with state that asks to be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum", persistent=True)
        self.add_state("images", torch.zeros(()), dist_reduce_fx="sum")
        self.register_buffer("one", torch.ones(()))

    def update(self, probabilities, labels):
        self.total += self.one * probabilities.amax(1).sum()
        self.images += len(labels)

    def compute(self):
        return self.total / self.images


def f1() -> Metric:
    return F1Score("multiclass", num_classes=CLASSES, average="macro")


def probabilities(model, data):
    with torch.no_grad():
        return model.eval()(data.tensors[0]).softmax(1)


def test_metrics_are_of_all_images_of_each_part_however_they_are_batched():
    data, run, model = ImagesWithCleanTraining(), trainer(2), network(metrics={"f1": f1(), "sharp": Sharpness()})
    run.fit(model, data)
    row = model.history[-1]
    found = run.test(model, data, verbose=False)[0]
    for part, numbers in (("train", row), ("val", row), ("test", found)):
        images = getattr(data, part)
        p, labels = probabilities(model, images), images.tensors[1]
        expected = f1_score(labels, p.argmax(1), average="macro", labels=range(CLASSES), zero_division=0)
        assert numbers[f"{part}_f1"] == pytest.approx(expected, abs=1e-6)
        assert numbers[f"{part}_sharp"] == pytest.approx(p.amax(1).mean().item(), rel=1e-6)
    assert float(run.callback_metrics["test_f1"]) == pytest.approx(found["test_f1"])
    assert list(model.state_dict()) == list(network().state_dict())
    model.load_state_dict(network().state_dict())


def test_a_callback_may_watch_a_metric():
    stop = L.pytorch.callbacks.EarlyStopping("val_f1", mode="max", patience=1, min_delta=1.0)
    model = network(metrics={"f1": f1()})
    trainer(9, callbacks=[stop]).fit(model, ImagesWithCleanTraining())
    assert len(model.history) == 2


class Telling(FFNN):
    """A network that logs from every kind of hook."""

    def training_step(self, batch, batch_idx):
        self.log("batch", float(batch_idx), on_step=False, on_epoch=True, batch_size=1)
        self.log("each_step", 1.0)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        self.log("val_seen", float(len(batch[0])), reduce_fx="sum")
        super().validation_step(batch, batch_idx)

    def on_validation_epoch_end(self):
        self.log("hidden", 1.0, logger=False)
        super().on_validation_epoch_end()

    def on_train_epoch_end(self):
        if self.current_epoch == 1:
            self.log("late", 7.0)
        super().on_train_epoch_end()


@pytest.mark.filterwarnings("ignore:It is recommended to use `self.log:UserWarning")
def test_what_a_network_logs_for_an_epoch_is_in_its_row_and_in_every_logger(tmp_path):
    torch.manual_seed(0)
    model = Telling(SHAPE, CLASSES, hidden=(6,))
    lightnings, ours = CSVLogger(tmp_path, flush_logs_every_n_steps=1), CsvLogger(tmp_path / "metrics.csv")
    run = L.Trainer(
        max_epochs=3, accelerator="cpu", logger=[lightnings, ours], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    run.fit(model, ImagesWithCleanTraining())
    own = [{key: row[key] for key in ("batch", "val_seen", "late") if key in row} for row in model.history]
    # three training batches, seven validation images, which the sanity check before training doesn't add to
    assert own == [
        {"batch": 1, "val_seen": 7},
        {"batch": 1, "val_seen": 7, "late": 7},
        {"batch": 1, "val_seen": 7},
    ]
    assert not {"each_step", "hidden"} & {key for row in model.history for key in row}
    # a column that begins in the second epoch is empty in the first
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    names = lines[0].split(",")
    assert names[-3:] == ["val_seen", "batch", "late"] or names[-3:] == ["batch", "val_seen", "late"]
    assert [line.split(",")[-1] for line in lines] == ["late", "", "7", ""]
    assert [len(line.split(",")) for line in lines] == [len(names)] * 4
    # Lightning's own logger has the same at the epoch
    with Path(lightnings.log_dir, "metrics.csv").open() as file:
        [row] = [row for row in csv.DictReader(file) if row["late"]]
    assert (row["step"], float(row["val_seen"])) == ("2", 7)
    assert float(row["val_loss"]) == model.history[1]["val_loss"]


def test_the_table_is_written_anew_as_it_would_have_grown(tmp_path):
    grown, anew = CsvLogger(tmp_path / "grown.csv"), CsvLogger(tmp_path / "anew.csv")
    rows = [
        {"epoch": 1, "val_loss": 0.5},
        {"epoch": 2, "val_loss": 0.25, "b": 1 / 3},
        {"epoch": 3, "a": 1e-9, "b": 2.0},
    ]
    for row in rows:
        grown.log_epoch(row["epoch"], row)
    anew.start_again(rows)
    assert grown.path.read_text() == anew.path.read_text()
    assert grown.path.read_text().splitlines()[0].endswith("val_loss_se,b,a")


class Forgetful(Classifier):
    def __init__(self, image_shape, classes, layers=None):
        super().__init__(image_shape, classes)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, classes))

    def forward(self, images):
        return self.layers(images)


class Hoarding(Forgetful):
    def __init__(self, image_shape, classes, layers=None):
        super().__init__(image_shape, classes)
        self.save_hyperparameters()


def test_a_network_whose_checkpoints_could_not_be_loaded_is_told_so(tmp_path):
    with pytest.raises(CnnexpError, match=r"lack image_shape, classes.*save_hyperparameters\(\) in Forgetful"):
        check_hyperparameters(Forgetful(SHAPE, CLASSES))
    with pytest.raises(CnnexpError, match=r'hold layers, a range.*ignore=\["layers"\]'):
        check_hyperparameters(Hoarding(SHAPE, CLASSES, range(2)))
    check_hyperparameters(Hoarding(SHAPE, CLASSES))
    run = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, default_root_dir=tmp_path, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="checkpoints would lack image_shape"):
        run.fit(Forgetful(SHAPE, CLASSES), ImagesWithCleanTraining())
    # no warning, which would be an error here, where no checkpoint is made
    trainer().fit(Forgetful(SHAPE, CLASSES), ImagesWithCleanTraining())


def test_a_checkpoint_from_before_still_loads(tmp_path):
    run = trainer()
    run.fit(network(), ImagesWithCleanTraining())
    run.save_checkpoint(tmp_path / "old.ckpt")
    old = torch.load(tmp_path / "old.ckpt", weights_only=True)
    old["hyper_parameters"] |= {"label_smoothing": 0.1, "test_time_augmentation": "none"}
    torch.save(old, tmp_path / "old.ckpt")
    assert FFNN.load_from_checkpoint(tmp_path / "old.ckpt").hparams["hidden"] == [6]

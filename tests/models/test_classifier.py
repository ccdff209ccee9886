from functools import partial

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from cnnexp import CNN, FFNN, CnnexpError
from cnnexp.models.losses import CrossEntropy
from cnnexp.models.metrics import LossAndAccuracy
from cnnexp.models.tta import weighted_views

SHAPE, CLASSES = (1, 4, 4), 3


class Images(L.LightningDataModule):
    """Random images in uneven batches: 4, 4, 2 for training, 4, 3 for validation, 4, 1 for the test."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.train, self.val, self.test = (
            TensorDataset(torch.rand(n, *SHAPE, generator=draw), torch.randint(CLASSES, (n,), generator=draw))
            for n in (10, 7, 5)
        )

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=4)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=4)

    def test_dataloader(self):
        return DataLoader(self.test, batch_size=4)


class ImagesWithCleanTraining(Images):
    def train_eval_dataloader(self):
        return DataLoader(self.train, batch_size=4)


def trainer(epochs: int = 1, **arguments) -> L.Trainer:
    return L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
        **arguments,
    )  # fmt: skip


def network(**training) -> FFNN:
    torch.manual_seed(0)
    return FFNN(SHAPE, CLASSES, hidden=(6,)).train_with(**training)


def by_hand(model: torch.nn.Module, data: TensorDataset) -> dict[str, float]:
    images, labels = data.tensors
    with torch.no_grad():
        logits = model.eval()(images)
    return {
        "loss": F.cross_entropy(logits, labels).item(),
        "accuracy": logits.argmax(1).eq(labels).float().mean().item(),
        "images": len(images),
    }


def named(prefix: str, metrics: dict[str, float]) -> dict[str, float]:
    named = {f"{prefix}_{name}": pytest.approx(value, rel=3e-6) for name, value in metrics.items()}
    return {{"train_images": "train_eval_images"}.get(name, name): value for name, value in named.items()}


def numbers(metrics: dict, prefix: str) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if name.startswith(f"{prefix}_")}


def test_the_epochs_numbers_are_those_of_every_image_once():
    data, run, model = ImagesWithCleanTraining(), trainer(), network()
    run.fit(model, data)
    assert numbers(run.callback_metrics, "val") == named("val", by_hand(model, data.val))
    assert numbers(run.callback_metrics, "train") == named("train", by_hand(model, data.train))
    assert float(run.callback_metrics["learning_rate"]) == pytest.approx(1e-3)
    assert float(run.callback_metrics["seconds"]) > 0


@pytest.mark.parametrize("label_smoothing", [0.0, 0.4])
def test_reported_losses_are_plain_cross_entropy(label_smoothing):
    # a learning rate of 0 keeps the weights: running, clean and hand-computed numbers are then the same
    still = partial(torch.optim.SGD, lr=0.0)
    data, run, model = (
        ImagesWithCleanTraining(),
        trainer(),
        network(loss=CrossEntropy(label_smoothing), optimizer=still),
    )
    run.fit(model, data)
    for prefix, part in (("running", data.train), ("train", data.train), ("val", data.val)):
        found = numbers(run.callback_metrics, prefix)
        assert (found.pop("running_objective", None) is None) == (prefix != "running" or label_smoothing == 0)
        assert found == named(prefix, by_hand(model, part))


def test_label_smoothing_changes_what_is_trained_on():
    images, labels = Images().train.tensors
    logits = network()(images)
    model = network(loss=CrossEntropy(label_smoothing=0.4))
    loss = model.training_step((images, labels), 0)
    spread = 0.6 * F.one_hot(labels, CLASSES) + 0.4 / CLASSES
    assert loss.item() == pytest.approx(-(spread * logits.log_softmax(1)).sum(1).mean().item(), rel=1e-6)


def test_clean_training_numbers_are_of_training_batches_where_there_is_no_loader_for_them():
    run, model, data = trainer(), network(), Images()
    run.fit(model, data)
    as_many = zip(data.train_dataloader(), data.val_dataloader(), strict=False)
    images, labels = (torch.cat(parts) for parts in zip(*(batch for batch, _ in as_many), strict=True))
    with torch.no_grad():
        expected = F.cross_entropy(model.eval()(images), labels).item()
    assert numbers(run.callback_metrics, "train")["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert numbers(run.callback_metrics, "train")["train_eval_images"] == len(labels)
    assert set(numbers(run.callback_metrics, "running")) == {"running_loss", "running_accuracy", "running_images"}


def test_the_running_numbers_are_taken_while_the_weights_move():
    data, model, twin = Images(), network(), network()
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)  # the default, spelled out
    losses, right = [], 0
    for images, labels in data.train_dataloader():
        logits = twin(images)
        loss = F.cross_entropy(logits, labels)
        losses += [loss.item()] * len(labels)
        right += logits.argmax(1).eq(labels).sum().item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    run = trainer()
    run.fit(model, data)
    expected = {"loss": sum(losses) / len(losses), "accuracy": right / 10, "images": 10}
    assert numbers(run.callback_metrics, "running") == named("running", expected)
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_testing_and_validating_alone_and_predicting():
    data, run, model = Images(), trainer(), network()
    assert run.test(model, data, verbose=False)[0] == named("test", by_hand(model, data.test))
    assert run.validate(model, data, verbose=False)[0] == named("val", by_hand(model, data.val))
    batches = run.predict(model, data.test_dataloader())
    probabilities = torch.cat(batches)
    torch.testing.assert_close(probabilities, model(data.test.tensors[0]).softmax(1))
    assert probabilities.shape == (5, CLASSES)


@pytest.mark.parametrize("kind", ["flip", "flip_and_shift"])
def test_test_time_augmentation_is_measured_beside_the_plain_test(kind):
    plain, data = network(), Images()
    augmented = network(test_time_augmentation=kind)
    augmented.load_state_dict(plain.state_dict())
    expected = trainer().test(plain, data, verbose=False)[0]
    found = trainer().test(augmented, data, verbose=False)[0]
    images, labels = data.test.tensors
    with torch.no_grad():
        logits = sum(weight * augmented(view) for weight, view in weighted_views(images, kind))
    assert found.keys() - expected.keys() == {"test_loss_tta", "test_accuracy_tta"}
    assert {key: found[key] for key in expected} == expected
    assert found["test_loss_tta"] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
    assert found["test_accuracy_tta"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


def test_history_has_a_row_an_epoch_and_travels_in_the_checkpoint(tmp_path):
    run, model = trainer(3), network()
    run.fit(model, Images())
    run.save_checkpoint(tmp_path / "last.ckpt")
    loaded = FFNN.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert [row["epoch"] for row in loaded.history] == [1, 2, 3]
    assert loaded.history == model.history
    assert loaded.history[-1]["val_loss"] == pytest.approx(float(run.callback_metrics["val_loss"]))


def plateau(optimizer, *, epochs, steps_per_epoch):
    # a threshold that nothing passes: the rate falls at every step, so that steps can be counted
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=1e9)
    return {"scheduler": schedule, "interval": "epoch", "monitor": "val_loss", "reduce_on_plateau": True}


def halving(interval, optimizer, *, epochs, steps_per_epoch):
    assert (epochs, steps_per_epoch) == (4, 3)
    return {"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5), "interval": interval}


@pytest.mark.parametrize(
    ("scheduler", "rates"),
    [
        (None, [1, 1, 1, 1]),
        (plateau, [1, 1 / 2, 1 / 4, 1 / 8]),
        (partial(halving, "epoch"), [1, 1 / 2, 1 / 4, 1 / 8]),
        (partial(halving, "step"), [1, 1 / 8, 1 / 64, 1 / 512]),  # three steps an epoch
    ],
)
def test_schedules_are_stepped_as_they_ask(scheduler, rates):
    model = network(optimizer=partial(torch.optim.SGD, lr=1.0), scheduler=scheduler)
    trainer(4).fit(model, Images())
    assert [row["learning_rate"] for row in model.history] == pytest.approx(rates)


def endless(**end):
    return L.Trainer(
        max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, **end,
    )  # fmt: skip


def test_a_schedule_without_an_end_is_refused():
    with pytest.raises(CnnexpError, match="max_epochs"):
        endless().fit(network(scheduler=partial(halving, "epoch")), Images())


def test_a_number_of_steps_is_an_end_too():
    run = endless(max_steps=12)  # four epochs of three
    run.fit(network(scheduler=partial(halving, "epoch")), Images())
    assert run.global_step == 12


def test_the_default_optimizer_is_adam_at_a_thousandth():
    run = trainer()
    run.fit(network(), Images())
    (optimizer,) = run.optimizers
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["lr"] == 1e-3
    assert optimizer.defaults["betas"] == (0.9, 0.999)


@pytest.mark.parametrize(
    ("what", "theirs"), [("image_shape", (3, 32, 32)), ("image_shape", (1, 4, 5)), ("classes", 4)]
)
@pytest.mark.parametrize("start", ["fit", "test", "validate"])
def test_other_data_than_the_network_was_built_for_are_refused(what, theirs, start):
    data = Images()
    data.image_shape, data.classes = SHAPE, CLASSES
    setattr(data, what, theirs)
    with pytest.raises(CnnexpError, match=f"CNN was built for {what}=.*, the data has"):
        getattr(trainer(), start)(CNN(SHAPE, CLASSES, channels=[2], hidden=[]), data)


def test_matching_data_are_taken():
    data = Images()
    data.image_shape, data.classes = SHAPE, CLASSES
    run = trainer()
    run.fit(CNN(list(SHAPE), CLASSES, channels=[2], hidden=[]), data)
    assert run.global_step == 3


def test_the_numbers_are_means_over_images_however_many_batches_they_came_in():
    draw = torch.Generator().manual_seed(2)
    logits, labels = torch.randn(200, 3, generator=draw), torch.randint(3, (200,), generator=draw)
    found = LossAndAccuracy(3)
    for batch in zip(logits.split(3), labels.split(3), strict=True):  # 64 batches and 3 more
        found.add(*batch)
    assert found.compute()["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert found.compute()["accuracy"] == pytest.approx(logits.argmax(1).eq(labels).double().mean().item())

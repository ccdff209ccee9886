from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnnexp import CnnexpError, ImageDataModule
from cnnexp.data.sets import Images

# Lightning's own use of torch's pytree
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")


class Probe(L.LightningModule):
    """The least that trains; it keeps what it was given."""

    def __init__(self, data: ImageDataModule) -> None:
        super().__init__()
        self.layer = nn.Linear(torch.tensor(data.image_shape).prod().item(), data.classes)
        self.seen: dict[str, list[tuple[int, Tensor, Tensor]]] = {"train": [], "val": [], "test": []}

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))

    def _keep(self, part: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        self.seen[part].append((self.current_epoch, *batch))
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self._keep("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._keep("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._keep("test", batch)

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self(batch[0]).argmax(1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())

    def epoch(self, number: int) -> tuple[Tensor, Tensor]:
        batches = [(x, y) for epoch, x, y in self.seen["train"] if epoch == number]
        return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


@pytest.fixture
def make_trainer(tmp_path: Path) -> Callable[..., L.Trainer]:
    def make(**kwargs: Any) -> L.Trainer:
        quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
        settings = {"accelerator": "cpu", "max_epochs": 2, "default_root_dir": tmp_path, **kwargs}
        return L.Trainer(**dict.fromkeys(quiet, False), **settings)

    return make


def bytes_of(loader: Any) -> bytes:
    return b"".join(x.numpy().tobytes() + y.numpy().tobytes() for x, y in loader)


def test_everything_can_be_asked_before_setup() -> None:
    data = ImageDataModule("digits")
    assert data.image_shape == (1, 28, 28)
    assert data.classes == 10
    assert data.class_names == list("0123456789")
    assert data.sizes == {"train": 1294, "val": 144, "test": 359}
    assert "digits" in str(data)


@pytest.mark.parametrize("size", [200, 1000])
def test_mean_and_std_are_those_of_the_images_trained_on(size: int) -> None:
    data = ImageDataModule("digits", train_size=size)
    plain = ImageDataModule("digits", train_size=size, normalize=False)
    assert plain.mean is plain.std is None
    images = torch.cat([x for x, _ in plain.train_dataloader()]).double()
    assert len(images) == size
    assert data.mean == pytest.approx([images.mean().item()])
    assert data.std == pytest.approx([images.std(correction=0).item()])
    normalized = torch.cat([x for x, _ in data.train_dataloader()])
    assert normalized.mean().item() == pytest.approx(0, abs=1e-5)
    assert normalized.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others() -> None:
    settings = {"crop_padding": 2, "horizontal_flip": True, "cutout": 4, "train_size": 100}
    first, same, other = (ImageDataModule("digits", **settings, seed=seed) for seed in (0, 0, 1))
    assert bytes_of(first.train_dataloader()) == bytes_of(same.train_dataloader())
    assert bytes_of(first.train_dataloader()) != bytes_of(other.train_dataloader())
    assert bytes_of(first.val_dataloader()) == bytes_of(same.val_dataloader())
    assert bytes_of(first.val_dataloader()) != bytes_of(other.val_dataloader())
    assert bytes_of(first.test_dataloader()).endswith(bytes_of(other.test_dataloader())[-8:])


def test_training_meets_each_image_once_an_epoch_in_a_new_order(make_trainer: Callable[..., L.Trainer]) -> None:
    data = ImageDataModule("digits", batch_size=100, normalize=False)
    probe = Probe(data)
    trainer = make_trainer()
    trainer.fit(probe, data)
    (first, _), (second, _) = probe.epoch(0), probe.epoch(1)
    assert len(first) == len(second) == 1294
    assert not torch.equal(first, second)
    assert torch.equal(first.flatten(1).unique(dim=0), second.flatten(1).unique(dim=0))
    trainer.test(probe, data)
    assert sum(len(y) for _, _, y in probe.seen["test"]) == 359
    assert sum(len(y) for y in trainer.predict(probe, data)) == 359


def test_overfitting_a_few_batches_meets_the_same_ones_every_epoch(
    make_trainer: Callable[..., L.Trainer],
) -> None:
    data = ImageDataModule("digits", batch_size=20, crop_padding=2, horizontal_flip=True)
    probe = Probe(data)
    make_trainer(overfit_batches=2).fit(probe, data)
    (first, labels), (second, _) = probe.epoch(0), probe.epoch(1)
    assert len(first) == 40
    assert torch.equal(first, second)
    assert torch.bincount(labels, minlength=10).tolist() == [4] * 10


@pytest.mark.parametrize(
    ("limits", "measured"),
    [
        ({}, 1294),  # all, because it asks for all
        ({"limit_train_batches": 3}, 60),
        ({"limit_train_batches": 0.5}, 640),  # 32 of 65 batches
        ({"limit_val_batches": 1}, 50),
        ({"limit_val_batches": 0.4}, 50),  # 1 of 3
        ({"limit_train_batches": 2, "limit_val_batches": 1}, 40),
        ({"limit_test_batches": 1}, 1294),
        ({"overfit_batches": 2}, 40),
    ],
)  # fmt: skip
def test_clean_training_numbers_are_measured_within_the_trainers_limits(
    limits: dict[str, Any], measured: int, make_trainer: Callable[..., L.Trainer]
) -> None:
    data = ImageDataModule("digits", batch_size=20, eval_batch_size=50, train_eval_size="all")
    make_trainer(max_epochs=1, **limits).fit(Probe(data), data)
    assert data.train_eval_images == sum(len(labels) for _, labels in data.train_eval_dataloader()) == measured


def test_resumed_training_goes_on_with_the_next_epochs_order(
    make_trainer: Callable[..., L.Trainer], tmp_path: Path
) -> None:
    def fit(epochs: int, **kwargs: Any) -> Probe:
        data = ImageDataModule("digits", train_size=100, crop_padding=2)
        probe = Probe(data)
        trainer = make_trainer(max_epochs=epochs)
        trainer.fit(probe, data, **kwargs)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return probe

    whole = fit(2)
    fit(1)
    resumed = fit(2, ckpt_path=tmp_path / "1.ckpt", weights_only=True)
    for before, after in zip(whole.epoch(1), resumed.epoch(1), strict=True):
        assert torch.equal(before, after)


def test_a_checkpoint_carries_the_preprocessing(make_trainer: Callable[..., L.Trainer], tmp_path: Path) -> None:
    data = ImageDataModule("digits", train_size=100)
    trainer = make_trainer(max_epochs=1)
    trainer.fit(Probe(data), data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)["ImageDataModule"]
    assert state == {
        "class_names": list("0123456789"), "image_shape": [1, 28, 28], "mean": data.mean, "std": data.std,
        "brightness": data.brightness, "levels": None,
    }  # fmt: skip
    other = ImageDataModule("digits", train_size=1000)
    assert other.mean != data.mean
    other.load_state_dict(state)
    assert other.mean == data.mean
    assert bytes_of(other.test_dataloader()) == bytes_of(data.test_dataloader())
    with pytest.raises(CnnexpError, match=r"classes \(cat, dog\) are not those of digits"):
        other.load_state_dict({**state, "class_names": ["cat", "dog"]})


def test_validating_on_the_test_set_trains_on_the_whole_training_set() -> None:
    data = ImageDataModule("digits", validation="test", val_size=10**6)
    assert data.sizes == {"train": 1438, "val": 359, "test": 359}
    assert bytes_of(data.val_dataloader()) == bytes_of(data.test_dataloader())


@pytest.mark.parametrize(("size", "expected"), [("val", 144), ("all", 1294), (50, 50), (10**6, 1294)])
def test_clean_training_images_are_stratified_and_not_augmented(size: Any, expected: int) -> None:
    data = ImageDataModule("digits", train_eval_size=size, crop_padding=3, horizontal_flip=True)
    plain = ImageDataModule("digits", train_eval_size="all")
    loader = data.train_eval_dataloader()
    labels = torch.cat([y for _, y in loader])
    assert len(labels) == expected
    shares = torch.bincount(labels) / expected
    assert (shares - torch.bincount(labels).sum() / expected / 10).abs().max() < 0.03
    images = torch.cat([x for x, _ in loader])
    every = torch.cat([x for x, _ in plain.train_eval_dataloader()])
    assert torch.equal(images, every[:expected])


def test_cutout_blanks_with_the_mean() -> None:
    data = ImageDataModule("digits", cutout=10, train_size=100, batch_size=100)
    ((images, _),) = data.train_dataloader()
    blank = (images.abs() < 0.01).flatten(1).sum(1)
    assert (blank >= 25).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_images_on_a_gpu_that_is_not_trained_on_are_refused() -> None:
    with pytest.raises(CnnexpError, match="data.device=cuda.*data.device=auto"):
        ImageDataModule("digits", device="cuda").train_dataloader()


def test_mnist_is_the_real_one(mnist_root: Path) -> None:
    data = ImageDataModule("mnist", root=str(mnist_root))
    assert data.sizes == {"train": 54000, "val": 6000, "test": 10000}
    assert data.class_names == list("0123456789")
    assert data.mean == pytest.approx([0.1307], abs=1e-3)
    assert data.std == pytest.approx([0.3081], abs=1e-3)
    assert torch.cat([y for _, y in data.test_dataloader()])[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("limit", [1, 2, 0.5])
def test_a_limited_validation_is_of_all_classes(limit, make_trainer):
    sorted_images = torch.arange(240, dtype=torch.uint8).view(-1, 1, 1, 1)
    labels = torch.arange(3).repeat_interleave(80)

    def by_class(root: str) -> Images:
        return Images(sorted_images, labels, list("abc"), sorted_images, labels, sorted_images, labels)

    data = ImageDataModule(by_class, eval_batch_size=12)
    make_trainer(max_epochs=1, limit_val_batches=limit, limit_test_batches=limit).validate(Probe(data), data)
    for loader in (data.val_dataloader(), data.test_dataloader()):
        _, met = next(iter(loader))
        assert torch.bincount(met, minlength=3).tolist() == [4, 4, 4]


def test_the_baseline_is_the_share_of_the_largest_training_class_in_the_test(tmp_path: Path) -> None:
    labels = {"train": [0] * 6 + [1] * 9, "test": [0] * 3 + [1] * 1}
    arrays = {}
    for part, values in labels.items():
        arrays[f"x_{part}"] = np.random.default_rng(0).integers(0, 256, (len(values), 4, 4), np.uint8)
        arrays[f"y_{part}"] = np.array(values)
    np.savez(tmp_path / "a.npz", **arrays)
    assert ImageDataModule("arrays", str(tmp_path / "a.npz"), val_size=2).majority_baseline == 0.25

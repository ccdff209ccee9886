"""Many batches a call do what Lightning's own loop does, bit for bit: each row is trained by both."""

import inspect
import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, Timer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn

from cnnexp import FFNN, ImageDataModule
from cnnexp.models.losses import CrossEntropy
from cnnexp.training import epoch_loop, schedules
from cnnexp.training.callbacks import SeedSteps, WarmedUpEMA
from cnnexp.training.checkpoints import SaveEvery, WholeCheckpointIO, checkpoint_callbacks
from cnnexp.training.epoch_loop import many_batches, why_not
from cnnexp.training.muon import Muon
from cnnexp.training.profiler import NoProfiler

BATCHES = 7
EPOCHS = 2
LOOPS = {"Lightning's": lambda trainer: trainer, "many": many_batches}


class Drawing(FFNN):
    """Draws at random in each step, as dropout does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.layers.append(nn.Dropout(0.1))


def data(**settings: Any) -> ImageDataModule:
    """Seven batches, the last of which is smaller."""
    return ImageDataModule("digits", batch_size=16, train_size=100, val_size=40, train_eval_size=40, **settings)


def network(kind: type[FFNN] = Drawing, optimizer: Any = None, scheduler: Any = None, **training: Any) -> FFNN:
    torch.manual_seed(0)
    optimizer = optimizer or partial(torch.optim.Adam, lr=0.003, fused=True)
    return kind((1, 28, 28), 10, hidden=(12,)).train_with(optimizer, scheduler, **training)


def fit(
    folder: Path,
    loop: str,
    model: FFNN | None = None,
    images: ImageDataModule | None = None,
    callbacks: tuple[L.Callback, ...] = (),
    resume: Path | None = None,
    logger: Any = False,
    **settings: Any,
) -> L.Trainer:
    """Train, and leave last.ckpt in the folder."""
    folder.mkdir(exist_ok=True)
    plugins: list[Any] = [WholeCheckpointIO()]
    if (
        settings.get("precision") == "16-mixed"
    ):  # on the CPU too: Lightning would take bfloat16, which has no scaler
        plugins.append(MixedPrecision(settings.pop("precision"), "cpu"))
    arguments = {"max_epochs": EPOCHS, "profiler": NoProfiler(), "log_every_n_steps": 2, **settings}
    trainer = L.Trainer(
        default_root_dir=folder, accelerator="cpu", logger=logger, enable_progress_bar=False,
        num_sanity_val_steps=0, enable_model_summary=False, plugins=plugins,
        callbacks=[SeedSteps(3), *callbacks, *checkpoint_callbacks(folder / "checkpoints")], **arguments,
    )  # fmt: skip
    LOOPS[loop](trainer).fit(model or network(), datamodule=images or data(), ckpt_path=resume)
    return trainer


def left(folder: Path, *counters: str) -> str:
    """What a checkpoint holds of weights, of what moves them and of the epochs; of Lightning's counters some."""
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    numbers = {
        key: saved[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", *counters)
    }
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in saved["history"]]
    parts = {**numbers, "history": rows, "epoch": saved["epoch"], "scaler": saved.get("MixedPrecision")}
    parts["ema"] = [state for name, state in saved["callbacks"].items() if "EMA" in name]
    parts["average"] = saved.get("averaging_state") or saved.get("current_model_state")
    return json.dumps(parts, default=lambda value: (str(value.dtype), value.double().tolist()), sort_keys=True)


def both(tmp_path: Path, patch: pytest.MonkeyPatch, row: dict[str, Any]) -> str | None:
    """Train by both loops, which leave the same, and return why ours left a row to Lightning's, if it did."""
    ends, reasons = {}, []
    patch.setattr(epoch_loop, "why_not", lambda *args: reasons.append(why_not(*args)) or reasons[-1])
    for loop in LOOPS:
        made = {key: value() if callable(value) else value for key, value in row.items()}
        fit(tmp_path / loop, loop, **made)
        ends[loop] = left(tmp_path / loop, "loops")
    assert ends["many"] == ends["Lightning's"]
    [reason] = set(reasons)
    return reason


ROWS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one validation in two epochs": {"check_val_every_n_epoch": 2},
    "several validations": {"val_check_interval": 3},
    "a share of an epoch": {"val_check_interval": 0.5},
    "validations across epochs": {"val_check_interval": 5, "check_val_every_n_epoch": None},
    "validation by the clock": {"val_check_interval": {"hours": 1}, "check_val_every_n_epoch": None},
    "limited batches": {"limit_train_batches": 3},
    "a share of the batches": {"limit_train_batches": 0.5},
    "overfitting two batches": {"overfit_batches": 2},
    "max_steps within an epoch": {"max_steps": 10},
    "max_steps of accumulated batches": {"max_steps": 4, "accumulate_grad_batches": 3, "max_epochs": 5},
    "max_time": {"callbacks": lambda: (Timer({"hours": 1}),)},
    "momentum": {
        "model": lambda: network(optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True))
    },
    "Muon": {"model": lambda: network(optimizer=partial(Muon, lr=0.02))},
    "LBFGS, which asks for the loss again": {
        "model": lambda: network(FFNN, partial(torch.optim.LBFGS, max_iter=3))
    },
    "label smoothing": {"model": lambda: network(loss=CrossEntropy(label_smoothing=0.1))},
    "a plateau": {"model": lambda: network(scheduler=partial(schedules.plateau, patience=0))},
    "an average of the weights": {"callbacks": lambda: (WarmedUpEMA(0.9),)},
    "saving within epochs": {"callbacks": lambda: (SaveEvery(steps=3),)},
    "augmented images": {"images": lambda: data(crop_padding=2, horizontal_flip="alternating", cutout=3)},
    "double precision": {"precision": "64-true"},
    "half precision": {"precision": "bf16-true"},
}


@pytest.mark.parametrize("name", ROWS)
def test_weights_numbers_and_counters_are_lightnings(tmp_path, monkeypatch, name):
    assert bool(both(tmp_path, monkeypatch, ROWS[name])) == (name == "validation by the clock")


CLIPPING = {
    "": {},
    "norm": {"gradient_clip_val": 0.1},
    "value": {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
}
SCHEDULES = {"": None, "one cycle": schedules.onecycle}
PRECISION = ("32-true", "bf16-mixed", "16-mixed")


@pytest.mark.filterwarnings("ignore:Checkpoint directory", "ignore:You.re resuming")
@pytest.mark.parametrize(
    ("clip", "together", "schedule", "precision"),
    list(itertools.product(CLIPPING, (1, 3), SCHEDULES, PRECISION)),
)
def test_a_step_s_settings_together_and_after_a_resume(tmp_path, clip, together, schedule, precision):
    def settings() -> dict[str, Any]:
        # float16's scaler refuses to clip for optimizers that undo the scale by themselves
        optimizer = partial(torch.optim.Adam, lr=0.003, fused=precision != "16-mixed")
        model = network(optimizer=optimizer, scheduler=SCHEDULES[schedule])
        return {**CLIPPING[clip], "accumulate_grad_batches": together, "precision": precision, "model": model}

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(whole, "Lightning's", **settings())
    # stopped within the first epoch by one loop, where gradients may be half accumulated, and gone on with by ours
    with pytest.raises(_Died):
        fit(parts, "many", callbacks=(_Dies(steps=4),), **settings())
    fit(parts, "many", resume=parts / "checkpoints" / "last.ckpt", **settings())
    assert left(parts) == left(whole)


class _Died(Exception):
    pass


class _Dies(SaveEvery):
    """Die after saving within an epoch, as a killed process does."""

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)
        if batch_idx + 1 == self.steps:
            raise _Died


class Sees(L.Callback):
    """Writes down each hook with what it can see of the course of training."""

    def __init__(self) -> None:
        self.seen: list[Any] = []


def _sees(name: str) -> Any:
    def hook(self: Sees, trainer: L.Trainer, module: Any, *args: Any, **kwargs: Any) -> None:
        loop = trainer.fit_loop.epoch_loop
        values = [value for value in args if isinstance(value, int)]
        if args and isinstance(args[0], dict) and "loss" in args[0]:
            values.append(args[0]["loss"].item())
        logged = {key: float(value) for key, value in trainer.callback_metrics.items() if key != "seconds"}
        self.seen.append(
            (
                name, trainer.global_step, trainer.current_epoch, module._current_fx_name, values, logged,
                repr(loop.batch_progress), repr(loop.automatic_optimization.optim_progress), trainer.is_last_batch,
                loop._batches_that_stepped, module.layers[1].weight.sum().item(),
                None if module.layers[1].weight.grad is None else module.layers[1].weight.grad.sum().item(),
            )
        )  # fmt: skip

    return hook


for name, _ in inspect.getmembers(L.Callback, inspect.isfunction):
    if name.startswith("on_") and "checkpoint" not in name and name != "on_exception":
        setattr(Sees, name, _sees(name))


class Hooked(Drawing):
    """A network that has hooks of its own, and logs in each."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        objective = super().training_step(batch, batch_idx)
        self.log("step_loss", objective, on_step=True, on_epoch=False)
        self.log("both", objective, on_step=True, on_epoch=True)
        return {"loss": objective, "more": len(batch[1])}

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.log("gradient", self.layers[1].weight.grad.norm(), on_step=True, on_epoch=True)

    def on_after_backward(self) -> None:
        self.log("after", 1.0, on_step=True)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.log("images", float(outputs["more"]), on_step=True, on_epoch=True, reduce_fx="sum")

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        nn.utils.clip_grad_norm_(self.parameters(), 0.05)


@pytest.mark.parametrize("kind", [Drawing, Hooked])
@pytest.mark.parametrize(
    "settings", [{}, {"accumulate_grad_batches": 3}, {"precision": "16-mixed"}, {"val_check_interval": 3}], ids=str
)
def test_hooks_see_what_they_see_with_lightning(tmp_path, kind, settings):
    seen, rows = {}, {}
    for loop in LOOPS:
        sees, logger = Sees(), CSVLogger(tmp_path / loop, name="", version="", flush_logs_every_n_steps=1)
        optimizer = partial(torch.optim.SGD, lr=0.05)
        fit(
            tmp_path / loop,
            loop,
            network(kind, optimizer),
            callbacks=(sees, LearningRateMonitor("step")),
            logger=logger,
            **settings,
        )
        seen[loop] = sees.seen
        rows[loop] = (tmp_path / loop / "metrics.csv").read_text().splitlines()
    assert len(seen["many"]) > 8 * BATCHES
    for many, lightnings in zip(seen["many"], seen["Lightning's"], strict=True):
        assert many == lightnings
    column = rows["many"][0].split(",").index("seconds")
    assert [without(row, column) for row in rows["many"]] == [without(row, column) for row in rows["Lightning's"]]


def without(row: str, column: int) -> list[str]:
    """A line's cells but for the clock's."""
    cells = row.split(",")
    return cells[:column] + cells[column + 1 :]


class OwnStep(Drawing):
    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)


class SkipsTheRest(Drawing):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if batch_idx == 4 else None


class Moves(Drawing):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0].flip(-1), batch[1]


OWN: dict[str, Any] = {"optimizer_step": OwnStep, "on_train_batch_start": SkipsTheRest, None: Moves}


@pytest.mark.filterwarnings("ignore:You have overridden")
@pytest.mark.parametrize("method", OWN)
def test_a_network_that_decides_on_its_steps_is_lightnings(tmp_path, monkeypatch, method):
    reason = both(tmp_path, monkeypatch, {"model": lambda: network(OWN[method])})
    assert reason == (f"the network has its own {method}" if method else None)


def test_the_usual_run_takes_many_batches_a_call(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(epoch_loop, "MOST", 4)
    advance = epoch_loop.ManyBatches.advance

    def counted(self: Any, data_fetcher: Any) -> None:
        before = self.batch_progress.current.ready
        advance(self, data_fetcher)
        calls.append(self.batch_progress.current.ready - before)

    monkeypatch.setattr(epoch_loop.ManyBatches, "advance", counted)
    fit(tmp_path, "many")
    assert calls == [4, 3] * EPOCHS

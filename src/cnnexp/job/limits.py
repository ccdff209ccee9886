"""Whether the Trainer's limits leave batches to train on, to choose the best epoch by, and to test on."""

import math
from typing import Any

import lightning as L

from cnnexp import contract
from cnnexp.errors import CnnexpError


def check_limits(trainer: L.Trainer, data: Any) -> None:
    """Raise CnnexpError for a limit that is too low, or an interval too long, for the batches that there are.

    Args:
        trainer: before it trains.
        data: the data module, set up for training. Loaders that don't know their length are passed over.
    """
    train = _length(data, "train")
    lengths = {"train": train, "val": _length(data, "val")}
    share = trainer.limit_test_batches
    if contract.has_test(data) and isinstance(share, float) and 0 < share < 1:
        data.setup("test")
        lengths["test"] = _length(data, "test")
    for part, length in lengths.items():
        limit = getattr(trainer, f"limit_{part}_batches")
        if length is None or isinstance(limit, int) or not limit or int(length * limit) > 0:
            continue
        overfits = getattr(trainer, "overfit_batches", 0) > 0
        key = "overfit_batches" if overfits and part != "test" else f"limit_{part}_batches"
        raise CnnexpError(f"trainer.{key}={limit} of {_batches(length)} leaves none; type 1 for one batch")
    if train is None:
        return
    limit = trainer.limit_train_batches
    batches = min(train, limit) if isinstance(limit, int) else int(train * limit)
    epochs = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs > 0 else math.inf
    if trainer.max_steps > 0:
        epochs = min(epochs, trainer.max_steps / math.ceil(batches / trainer.accumulate_grad_batches))
    interval, every = trainer.val_check_interval, trainer.check_val_every_n_epoch
    most = batches if every is not None else epochs * batches
    if isinstance(interval, int) and interval > most:
        raise CnnexpError(
            f"trainer.val_check_interval={interval}, but {'an epoch' if every is not None else 'training'} has "
            f"{_batches(int(most))}: nothing would be validated; type {int(most)} or less"
        )
    # an end within an epoch is validated
    if every is not None and every > epochs and epochs == int(epochs):
        raise CnnexpError(
            f"trainer.check_val_every_n_epoch={every}, but training has {int(epochs)} epochs: nothing would be "
            f"validated; type {int(epochs)} or less"
        )


def _length(data: Any, part: str) -> int | None:
    try:
        return len(getattr(data, f"{part}_dataloader")())
    except (TypeError, NotImplementedError):
        return None


def _batches(number: int) -> str:
    return "1 batch" if number == 1 else f"{number} batches"

"""Whether the Trainer's limits leave batches to train on, to choose the best epoch by, and to test on."""

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
    interval = trainer.val_check_interval
    if isinstance(interval, int) and trainer.check_val_every_n_epoch is not None and interval > batches:
        raise CnnexpError(
            f"trainer.val_check_interval={interval}, but an epoch has {_batches(batches)}: nothing would be "
            f"validated; type {batches} or less"
        )


def _length(data: Any, part: str) -> int | None:
    try:
        return len(getattr(data, f"{part}_dataloader")())
    except (TypeError, NotImplementedError):
        return None


def _batches(number: int) -> str:
    return "1 batch" if number == 1 else f"{number} batches"

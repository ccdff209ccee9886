"""The optimizer and the schedule that the settings describe; apart, because they need torch alone."""

from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from cnnexp.errors import CnnexpError


def build_optimization(config: DictConfig) -> tuple[Any, Any]:
    """Return the optimizer and the schedule as functions of what only a run knows.

    Both are tried on a single number first: torch checks their ranges (a negative learning rate) only then.
    """
    optimizer = instantiate(config.optimizer, _convert_="all")
    scheduler = instantiate(config.scheduler, _convert_="all")
    try:
        trial = optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (ValueError, RuntimeError, TypeError) as error:
        raise CnnexpError(f"optimizer: {error}") from None
    try:
        scheduler(trial, epochs=2, steps_per_epoch=10)
    except (ValueError, TypeError) as error:
        raise CnnexpError(f"scheduler: {error}") from None
    return optimizer, scheduler

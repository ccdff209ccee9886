"""The optimizer and the schedule that the settings describe; a file of its own, because they need torch alone."""

from typing import Any

from omegaconf import DictConfig

from cnnexp.command.call import instantiate


def build_optimization(config: DictConfig) -> tuple[Any, Any]:
    """Return the optimizer and the schedule as functions of what only a run knows: the weights, the length."""
    return instantiate(config.optimizer, _convert_="all"), instantiate(config.scheduler, _convert_="all")

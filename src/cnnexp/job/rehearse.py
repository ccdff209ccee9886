"""The one place where settings are tried that only torch and Lightning can judge, before there is a folder."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig

from cnnexp.command.explain import nearest
from cnnexp.errors import CnnexpError, first_line

if TYPE_CHECKING:
    import lightning as L

log = logging.getLogger(__name__)


def rehearse(config: DictConfig) -> "L.Trainer":
    """Build everything that needs neither data nor a folder, and return the Trainer, which knows the processes.

    Raises CnnexpError for what torch, Lightning or this machine refuses. What passes isn't checked again.
    """
    _try_optimizer(config)  # first: it needs torch alone, which is imported in half of Lightning's time

    import torch

    from cnnexp.job.build import build_data, build_model, build_trainer
    from cnnexp.job.run_log import quiet_lightning

    quiet_lightning()
    callbacks = _build_callbacks(config)
    trial = config.copy()
    trial.trainer.profiler = None  # torch's profiler records from its construction on
    trainer = build_trainer(trial, Path.cwd())
    _check_length(trainer)
    data = build_data(config)
    if hasattr(data, "check"):
        data.check(trainer.strategy.root_device)
    if (shape := getattr(data, "trial_shape", None)) is None:
        return trainer
    try:
        with torch.device("meta"):  # no memory and no time, whatever the size
            model = build_model(config, *shape)
    except CnnexpError:
        raise
    except Exception as error:  # an own network may not support the meta device
        if "overflow" in str(error):  # torch counts bytes in 64 bits
            raise CnnexpError(f"model: its weights don't fit into any memory: {first_line(error)}") from None
        log.debug("not tried beforehand: %s", error)
        return trainer
    _check_memory(sum(weight.numel() * weight.element_size() for weight in model.parameters()))
    _check_monitored(callbacks, config, model, trainer)
    return trainer


def _build_callbacks(config: DictConfig) -> dict[str, Any]:
    import lightning as L
    from hydra.utils import instantiate

    callbacks = {}
    for key, node in config.callbacks.items():
        try:
            callbacks[key] = instantiate(node, _convert_="all")
        except InstantiationException as error:
            raise CnnexpError(f"callbacks.{key}: {first_line(error.__cause__ or error)}") from None
        if not isinstance(callbacks[key], L.Callback):
            raise CnnexpError(f"callbacks.{key}: {node._target_} isn't a lightning.Callback")
    return callbacks


def _check_memory(weights: int) -> None:
    """Raise CnnexpError for weights, in bytes, that don't fit into the machine's memory with their gradients."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 2 * weights > there:
        raise CnnexpError(
            f"model: its weights and their gradients take {2 * weights / 2**30:,.0f} GiB, and this machine has "
            f"{there / 2**30:,.0f} GiB; type fewer channels or narrower layers"
        )


def _check_monitored(callbacks: Mapping[str, Any], config: DictConfig, model: Any, trainer: "L.Trainer") -> None:
    """Raise CnnexpError for a callback that waits for a number which a network of ours doesn't measure."""
    if not type(model).__module__.startswith("cnnexp."):
        return  # it may log further ones
    names = ["loss", "accuracy", *map(str, config.get("metrics", {}))]
    there = [f"{part}_{name}" for part in ("train", "val") for name in names]
    there += ["running_loss", "running_accuracy", "running_objective", "learning_rate", "seconds"]
    for key, callback in callbacks.items():
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor not in there:
            raise CnnexpError(
                f"callbacks.{key}.monitor={monitor}: nothing of that name is measured{nearest(monitor, there)}"
            )
        if isinstance(monitor, str):
            _check_moment(key, callback, monitor, trainer)


def _check_moment(key: str, callback: Any, monitor: str, trainer: "L.Trainer") -> None:
    """Raise CnnexpError for a callback that looks at a number when it isn't measured yet."""
    names = ("check_on_train_epoch_end", "save_on_train_epoch_end")
    if (name := next((name for name in names if hasattr(callback, f"_{name}")), None)) is None:
        return
    validated, every = monitor.startswith(("val_", "train_")), trainer.check_val_every_n_epoch
    at_end = getattr(callback, f"_{name}")
    if at_end is None:  # Lightning's own choice
        at_end = every == 1 and trainer.val_check_interval == 1.0
    if at_end == validated and (not validated or every != 1):
        type_instead = f"leave {name} out" if validated else f"type +callbacks.{key}.{name}=true"
        when = "not measured in each epoch" if validated else "measured at an epoch's end, not at each validation"
        raise CnnexpError(f"callbacks.{key}: {monitor} is {when}; {type_instead}")


def _try_optimizer(config: DictConfig) -> None:
    """Try the optimizer and the schedule on a single number: torch checks their ranges only then."""
    import torch

    from cnnexp.job.optimization import build_optimization

    optimizer, scheduler = build_optimization(config)
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    try:
        trial = optimizer([weight])
        trial.step()
    except (ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise CnnexpError(f"optimizer: {first_line(error)}") from None
    if not weight.isfinite().all():
        raise CnnexpError("optimizer: its first step leaves no finite weight; type a smaller lr, or weight_decay")
    try:
        scheduler(trial, epochs=2, steps_per_epoch=10)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise CnnexpError(f"scheduler: {first_line(error)}") from None


def _check_length(trainer: "L.Trainer") -> None:
    if trainer.max_epochs == -1:
        raise CnnexpError(
            "trainer.max_epochs=-1: the learning-rate schedule needs to know its end; type the most it may be, "
            "beside trainer.max_time or trainer.max_steps"
        )
    if trainer.max_epochs == 0 or trainer.max_steps == 0:
        key = "max_epochs" if trainer.max_epochs == 0 else "max_steps"
        raise CnnexpError(f"trainer.{key}=0 trains nothing; type 1 or more")

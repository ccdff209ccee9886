"""The one place where settings are tried that only torch and Lightning can judge, before there is a folder."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig

from cnnexp.command.call import instantiate
from cnnexp.command.explain import explain, nearest
from cnnexp.errors import CnnexpError, first_line

if TYPE_CHECKING:
    import lightning as L

log = logging.getLogger(__name__)


def rehearse(config: DictConfig) -> "L.Trainer":
    """Build everything that needs neither data nor a folder, and return the Trainer, which knows the processes.

    Raises CnnexpError for what torch, Lightning or this machine refuses. What passes isn't checked again.
    """
    # first: it needs torch alone, which is imported in half of Lightning's time
    monitored = try_optimization(config)

    from cnnexp.job.loggers import check_servers
    from cnnexp.job.run_log import quiet_lightning

    quiet_lightning()
    check_servers(config.logger)
    monitored |= try_callbacks(config)
    trainer = try_trainer(config)
    try_network(config, monitored, trainer)
    return trainer


def try_optimization(config: DictConfig) -> dict[str, Any]:
    """Try the optimizer and the schedule on three numbers: torch checks their ranges only then.

    Returns, by the schedule's name, which number it waits for (``monitor``), and its ``mode``.
    """
    import torch

    from cnnexp.job.optimization import build_optimization

    optimizer, scheduler = build_optimization(config)
    # as a bias, a linear layer and a filter bank have it
    weights = [torch.nn.Parameter(torch.ones((1,) * dimensions)) for dimensions in (1, 2, 4)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    try:
        trial = optimizer(weights)
        trial.step()
    except (ValueError, RuntimeError, TypeError, OverflowError, AssertionError) as error:
        raise CnnexpError(f"optimizer: {first_line(error)}") from None
    if not all(weight.isfinite().all() for weight in weights):
        raise CnnexpError("optimizer: its first step leaves no finite weight; type a smaller lr, or weight_decay")
    try:
        schedule = scheduler(trial, epochs=2, steps_per_epoch=10)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise CnnexpError(f"scheduler: {first_line(error)}") from None
    if not isinstance(schedule, Mapping):
        return {}  # in a user's own form
    mode = getattr(schedule.get("scheduler"), "mode", None)
    return {"scheduler": SimpleNamespace(monitor=schedule.get("monitor"), mode=mode)}


def try_callbacks(config: DictConfig) -> dict[str, Any]:
    """Build the callbacks; return each by its name."""
    import lightning as L

    monitored = {}
    for key, node in config.callbacks.items():
        try:
            callback = instantiate(node, _convert_="all")
        except InstantiationException as error:
            raise CnnexpError(f"callbacks.{key}: {first_line(error.__cause__ or error)}") from None
        if not isinstance(callback, L.Callback):
            raise CnnexpError(f"callbacks.{key}: {node._target_} isn't a lightning.Callback")
        monitored[f"callbacks.{key}"] = callback
    return monitored


def try_trainer(config: DictConfig) -> "L.Trainer":
    """Build the Trainer, and see that it would train."""
    from lightning.pytorch.callbacks import Timer

    from cnnexp.job.build import build_trainer

    trial = config
    if config.trainer.get("profiler") is not None:  # torch's profiler records from its construction on
        trial = config.copy()
        trial.trainer.profiler = None
    trainer = build_trainer(trial, Path.cwd())
    if trainer.max_epochs == -1 and trainer.max_steps == -1:
        raise CnnexpError(
            "trainer.max_epochs=-1: the learning-rate schedule needs to know its end; type the most it may be, "
            "or trainer.max_steps"
        )
    timers = (callback for callback in trainer.callbacks if isinstance(callback, Timer))  # type: ignore[attr-defined]
    limits = [("max_epochs", trainer.max_epochs), ("max_steps", trainer.max_steps)]
    for key, limit in [*limits, *(("max_time", timer._duration) for timer in timers)]:
        if limit == 0:
            raise CnnexpError(f"trainer.{key}={config.trainer[key]} trains nothing; type 1 or more")
    return trainer


def try_network(config: DictConfig, monitored: Mapping[str, Any], trainer: "L.Trainer") -> None:
    """Build the network without memory; see that what is ``monitored`` is there when it is looked at."""
    import torch

    from cnnexp.job.build import build_data, build_model

    data = build_data(config)
    if hasattr(data, "check"):
        data.check(trainer.strategy.root_device)
    if (shape := getattr(data, "trial_shape", None)) is None:
        return
    try:
        with torch.device("meta"):  # no memory and no time, whatever the size
            model = build_model(config, *shape)
    except CnnexpError:
        raise
    except Exception as error:
        if "overflow" in str(error).lower():  # torch counts bytes in 64 bits
            raise CnnexpError(f"model: its weights don't fit into any memory: {first_line(error)}") from None
        if isinstance(error, InstantiationException) and "meta" not in str(error):
            raise CnnexpError(explain(error)) from None
        if isinstance(error, (OverflowError, TypeError)) and str(config.model._target_).startswith("cnnexp."):
            raise CnnexpError(f"model: {first_line(error)}") from None  # torch's own words on too large a number
        log.debug("not tried beforehand: %s", error)  # an own network may not support the meta device
        return
    _check_memory(sum(weight.numel() * weight.element_size() for weight in model.parameters()))
    if type(model).__module__.startswith("cnnexp."):  # others may log further numbers
        _check_monitored(monitored, model, trainer)


def _check_memory(weights: int) -> None:
    """Raise CnnexpError for weights, in bytes, that don't fit into the machine's memory with their gradients."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 2 * weights > there:
        raise CnnexpError(
            f"model: its weights and their gradients take {2 * weights / 2**30:,.0f} GiB, and this machine has "
            f"{there / 2**30:,.0f} GiB; type fewer channels or narrower layers"
        )


def _check_monitored(monitored: Mapping[str, Any], model: Any, trainer: "L.Trainer") -> None:
    """Raise CnnexpError for what waits for a number that isn't measured, or for it to get worse."""
    higher = {"loss": False, "accuracy": True} | model.evaluated.higher_is_better
    there = {f"{part}_{name}": better for part in ("train", "val") for name, better in higher.items()}
    there |= {f"running_{name}": better for name, better in {**higher, "objective": False}.items()}
    there |= {"learning_rate": None, "seconds": None}
    for key, waiting in monitored.items():
        monitor, mode = (getattr(waiting, name, None) for name in ("monitor", "mode"))
        if not isinstance(monitor, str):
            continue
        if monitor not in there:
            raise CnnexpError(
                f"{key}.monitor={monitor}: nothing of that name is measured{nearest(monitor, there)}"
            )
        better = there[monitor]
        if mode is not None and better is not None and mode != (right := "max" if better else "min"):
            raise CnnexpError(
                f"{key}.mode={mode}: {monitor} is better the {'higher' if better else 'lower'}; "
                f"type {key}.mode={right}, or leave it out"
            )
        _check_moment(key, waiting, monitor, trainer)


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
        type_instead = f"leave {name} out" if validated else f"type +{key}.{name}=true"
        when = "not measured in each epoch" if validated else "measured at an epoch's end, not at each validation"
        raise CnnexpError(f"{key}: {monitor} is {when}; {type_instead}")

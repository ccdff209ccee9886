"""What arguments of other libraries' constructors may be, where their own annotations allow what nobody can mean.

Each function here is never called: its signature stands for those arguments of the class that it is filed under.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

from annotated_types import Ge, Gt, Interval
from pydantic import StringConstraints

Count = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(gt=0, le=1)]
Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[\w][^/\\\\\x00-\x1f]*$", max_length=100)]


def general(
    *,
    seed: Annotated[int, Interval(ge=0, lt=2**32)],
    name: Name | None,
    run: Text | None,
    resume: Text | None,
    fail_fast: bool,
    checkpoint: Literal["best", "last"] | Text,
) -> None:
    """Stand for the settings outside of all groups."""


def _trainer(
    *,
    num_nodes: Count,
    max_epochs: Annotated[int, Ge(-1)],
    min_epochs: Annotated[int, Ge(0)] | None,
    max_steps: Annotated[int, Ge(-1)],
    min_steps: Annotated[int, Ge(0)] | None,
    limit_train_batches: Count | Share | None,
    limit_val_batches: Count | Share | None,
    limit_test_batches: Annotated[int, Ge(0)] | Annotated[float, Interval(ge=0, le=1)] | None,
    limit_predict_batches: Count | Share | None,
    overfit_batches: Annotated[int, Ge(0)] | Annotated[float, Interval(ge=0, le=1)],
    val_check_interval: Count | Share | None,
    check_val_every_n_epoch: Count | None,
    num_sanity_val_steps: Annotated[int, Ge(-1)],
    log_every_n_steps: Annotated[int, Ge(0)] | None,
    accumulate_grad_batches: Count,
    gradient_clip_val: Annotated[float, Gt(0)] | None,
    enable_progress_bar: bool,
    enable_model_summary: bool,
    profiler: Literal["simple", "advanced", "pytorch"] | None,
) -> None: ...


def _momentum(*, momentum: Annotated[float, Interval(ge=0, lt=1)]) -> None: ...


def _early_stopping(
    *, patience: Annotated[int, Ge(0)], min_delta: Annotated[float, Ge(0)], mode: Literal["min", "max"]
) -> None: ...


def _averaging(
    *,
    decay: Annotated[float, Interval(ge=0, le=1)],
    update_every_n_steps: Count,
    update_starting_at_step: Annotated[int, Ge(0)] | None,
    update_starting_at_epoch: Annotated[int, Ge(0)] | None,
) -> None: ...


_NARROWER = {
    "Trainer": _trainer,
    "SGD": _momentum,
    "RMSprop": _momentum,
    "EarlyStopping": _early_stopping,
    "EMAWeightAveraging": _averaging,
}


def narrower(constructor: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the function whose signature narrows that of Lightning's or torch's class, or of a subclass of it."""
    for kind in inspect.getmro(constructor) if inspect.isclass(constructor) else ():
        if kind.__module__.partition(".")[0] in ("lightning", "torch") and kind.__name__ in _NARROWER:
            return cast(Callable[..., Any], _NARROWER[kind.__name__])
    return None


GIVEN = {
    "trainer": {
        "callbacks": "the group callbacks, as in callbacks=[early_stopping]",
        "logger": "the group logger, as in logger=none",
        "enable_checkpointing": "always on; callbacks=[save_every] saves more often",
        "default_root_dir": "hydra.run.dir",
        "plugins": "trainer.strategy and trainer.precision",
        "fast_dev_run": "trainer=debug",
        "barebones": "trainer=auto",
        "model_registry": "nothing here",
        "reload_dataloaders_every_n_epochs": "nothing: the order is drawn anew each epoch",
    },
    "model": dict.fromkeys(("image_shape", "classes"), "the data")
    | {"optimizer": "the group optimizer", "scheduler": "the group scheduler", "metrics": "the group metrics"},
    "optimizer": {"params": "the network"},
    "scheduler": {
        "optimizer": "the group optimizer",
        "epochs": "trainer.max_epochs",
        "steps_per_epoch": "trainer.max_epochs and data.batch_size",
    },
    "task": {"job": "the settings"},
}
"""Arguments that a group's constructor gets from elsewhere, and from where: typed, they would have no effect."""

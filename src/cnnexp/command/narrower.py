"""What arguments of other libraries' constructors may be, where their own annotations allow what nobody can mean.

Each function here is never called: its signature stands for those arguments of the class that it is filed under.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, Len
from pydantic import StringConstraints

Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Devices = Annotated[str, StringConstraints(pattern=r"^(auto|-1|\d{1,4}|\d{1,3}(,\d{1,3})*,?)$")]
Time = Annotated[str, StringConstraints(pattern=r"^\d{1,6}:\d\d:\d\d:\d\d$")]
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
    stop_after_epoch: Annotated[int, Interval(ge=1)] | None,
    question: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None,
    baseline: Text | Annotated[list[Text], Len(1)] | None,
    reveal: bool,
    settle: Mapping[str, Any],
    checkpoint: Literal["best", "last"] | Text,
) -> None:
    """Stand for the settings outside of all groups."""


def settling(*, enabled: bool, max_seeds: Annotated[int, Interval(ge=2, le=1000)]) -> None:
    """Stand for the settings below ``settle``."""


def _trainer(
    *,
    devices: Annotated[int, Interval(ge=-1, le=1024)] | Annotated[list[Natural], Len(1)] | Devices,
    num_nodes: Annotated[int, Interval(ge=1, le=65536)],
    max_time: Time | Annotated[dict[Literal["days", "hours", "minutes", "seconds"], Natural], Len(1)] | None,
    max_epochs: Annotated[int, Ge(-1)],
    min_epochs: Natural | None,
    max_steps: Annotated[int, Ge(-1)],
    min_steps: Natural | None,
    limit_train_batches: Count | Share | None,
    limit_val_batches: Count | Share | None,
    limit_test_batches: Natural | Annotated[float, Interval(ge=0, le=1)] | None,
    overfit_batches: Natural | Annotated[float, Interval(ge=0, le=1)],
    val_check_interval: Count | Share | None,
    check_val_every_n_epoch: Count | None,
    num_sanity_val_steps: Annotated[int, Ge(-1)],
    log_every_n_steps: Natural | None,
    accumulate_grad_batches: Count,
    gradient_clip_val: Annotated[float, Gt(0)] | None,
    enable_progress_bar: bool,
    enable_model_summary: bool,
    profiler: Literal["simple", "advanced", "pytorch"] | None,
) -> None: ...


def _profiler(
    *, row_limit: Annotated[int, Ge(-1)], acc_events: bool, dirpath: Text | None, filename: Text | None
) -> None: ...


def _optimizer(*, lr: Annotated[float, Gt(0)], maximize: Literal[False]) -> None: ...


def _momentum(*, momentum: Annotated[float, Interval(ge=0, lt=1)]) -> None: ...


def _early_stopping(
    *, patience: Natural, min_delta: Annotated[float, Ge(0)], mode: Literal["min", "max"]
) -> None: ...


def _averaging(
    *,
    decay: Annotated[float, Interval(ge=0, le=1)],
    update_every_n_steps: Count,
    update_starting_at_step: Natural | None,
    update_starting_at_epoch: Natural | None,
) -> None: ...


def _wandb(
    *,
    mode: Literal["offline", "online", "disabled", "shared"],
    entity: Text | None,
    group: Text | None,
    settings: Mapping[str, Any] | None,
) -> None: ...


def _comet(*, name: Text | None, offline_directory: Text | None, parse_args: bool) -> None: ...


def _jobs_elsewhere(
    *,
    timeout_min: Count,
    signal_delay_s: Natural,
    max_num_timeout: Natural,
    nodes: Count,
    tasks_per_node: Count,
    cpus_per_task: Count | None,
    gpus_per_node: Natural | None,
    gpus_per_task: Natural | None,
    cpus_per_gpu: Count | None,
    mem_gb: Annotated[float, Gt(0)] | None,
    array_parallelism: Count,
) -> None: ...


def _grid(*, max_batch_size: Count | None, params: Mapping[str, Any] | None) -> None: ...


def _sampler(
    *,
    seed: Annotated[int, Interval(ge=0, lt=2**32)] | None,
    n_startup_trials: Natural,
    n_ei_candidates: Count,
    prior_weight: Annotated[float, Gt(0)] | None,
    sigma0: Annotated[float, Gt(0)] | None,
    popsize: Annotated[int, Ge(2)] | None,
    warn_independent_sampling: bool,
    multivariate: bool | None,
    group: bool,
    constant_liar: bool,
    deterministic_objective: bool,
    consider_pruned_trials: bool,
    use_separable_cma: bool,
    with_margin: bool,
    lr_adapt: bool,
) -> None: ...


_NARROWER: dict[str, Callable[..., Any]] = {
    "Optimizer": _optimizer,
    "Trainer": _trainer,
    "SGD": _momentum,
    "RMSprop": _momentum,
    "EarlyStopping": _early_stopping,
    "EMAWeightAveraging": _averaging,
    "BaseSubmititLauncher": _jobs_elsewhere,
    "BasicSweeper": _grid,
    "BaseSampler": _sampler,
    "WandbLogger": _wandb,
    "CometLogger": _comet,
    "PyTorchProfiler": _profiler,
}


_THEIRS = ("lightning", "torch", "torchmetrics", "hydra", "hydra_plugins", "optuna")


def narrower(constructor: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return the functions whose signatures narrow that of another library's class, or of a subclass of it."""
    kinds = reversed(inspect.getmro(constructor)) if inspect.isclass(constructor) else ()
    theirs = (kind.__name__ for kind in kinds if kind.__module__.partition(".")[0] in _THEIRS)
    return [_NARROWER[name] for name in theirs if name in _NARROWER]


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
        "limit_predict_batches": "task.images, which are all predicted",
    },
    "model": dict.fromkeys(("image_shape", "classes"), "the data")
    | {"optimizer": "the group optimizer", "scheduler": "the group scheduler", "metrics": "the group metrics"},
    "optimizer": {"params": "the network"},
    "scheduler": {
        "optimizer": "the group optimizer",
        "epochs": "trainer.max_epochs",
        "steps_per_epoch": "trainer.max_epochs and data.batch_size",
        "total_steps": "trainer.max_steps",
    },
    "data.dataset": {"root": "data.root"},
    "logger.tensorboard": {"folder": "hydra.run.dir"},
    "task": {"job": "the settings"},
}
"""Arguments that a group's constructor gets from elsewhere, and from where: typed, they would have no effect."""

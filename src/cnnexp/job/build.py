"""From settings to Lightning's objects."""

import inspect
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import get_object
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers.logger import Logger
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torchmetrics import Metric

from cnnexp import contract, runs
from cnnexp.command.call import instantiate
from cnnexp.data.datamodule import ImageDataModule
from cnnexp.data.recorded_split import FILE as SPLIT
from cnnexp.data.recorded_split import decode
from cnnexp.errors import CnnexpError, first_line
from cnnexp.job import ranks
from cnnexp.job.optimization import build_optimization
from cnnexp.models.classifier import Classifier
from cnnexp.models.hyperparameters import check_hyperparameters
from cnnexp.records import read_bytes
from cnnexp.reports.tables import shown
from cnnexp.training.callbacks import ProgressBar
from cnnexp.training.checkpoints import WholeCheckpointIO
from cnnexp.training.epoch_loop import many_batches
from cnnexp.training.profiler import NoProfiler, profiler_into

log = logging.getLogger(__name__)

_LONGEST = 64 << 20  # bytes of a recorded split: millions of files

# with it, which Lightning sets, torch.cuda.is_available() asks the driver; fused optimizers call that each step
os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


def build_trainer(
    config: DictConfig,
    folder: Path,
    callbacks: Sequence[L.Callback] = (),
    loggers: Sequence[Logger] = (),
) -> L.Trainer:
    """Return Lightning's Trainer for a run in ``folder``; raises CnnexpError for what this machine lacks."""
    make = instantiate(config.trainer, _partial_=True, _convert_="all")
    configured = make.keywords.get("profiler")
    arguments: dict[str, Any] = {
        "default_root_dir": folder,
        "profiler": NoProfiler(),
        "callbacks": [*callbacks, *([ProgressBar()] if config.trainer.enable_progress_bar else [])],
        "logger": list(loggers) or False,
        "plugins": [WholeCheckpointIO(), *_slurm()],
        "enable_checkpointing": any(isinstance(c, L.pytorch.callbacks.Checkpoint) for c in callbacks),
    }
    try:
        if configured is not None and ranks.is_first():
            arguments["profiler"] = profiler_into(configured, folder / "profile")
            log.info("profile: %s", shown(folder / "profile"))
        trainer = make(**arguments)
    # ImportError: an accelerator whose package isn't there
    except (MisconfigurationException, ValueError, RuntimeError, TypeError, ImportError) as error:
        if config.trainer.strategy == "fsdp" and not torch.cuda.is_available():
            raise CnnexpError("trainer=fsdp needs NVIDIA GPUs, and there is none here; type trainer=ddp") from None
        told = f"trainer: {' '.join(str(error).split())}"
        if "No supported gpu" in told:
            told = "trainer: there is no GPU here that torch can use; type trainer=auto, or trainer=cpu"
        raise CnnexpError(told) from None
    if config.trainer.sync_batchnorm and trainer.world_size > 1 and trainer.strategy.root_device.type != "cuda":
        raise CnnexpError("trainer.sync_batchnorm=true needs GPUs, because torch's layer does; leave it out")
    return many_batches(trainer)


def _slurm() -> list[ClusterEnvironment]:
    """Return Slurm's environment within a Slurm job, without Lightning's own requeueing.

    A job's tasks are started by srun, which numbers the step. Without it (in a notebook, or a batch script's own
    process) there is this one process, however many tasks the job asked for: Lightning would wait for the others.
    """
    if "SLURM_NTASKS" not in os.environ or TorchElasticEnvironment.detect():
        return []
    if "SLURM_STEP_ID" not in os.environ:
        return [LightningEnvironment()]
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def build_data(config: DictConfig, run: str | Path | None = None, anew: bool = False) -> Any:
    """Return the data module, ours or what ``cnnexp.contract`` describes; nothing is read yet.

    It is split as the run recorded it that is gone on with, or is asked about: ``run``, or the settings'. ``anew``
    leaves but the test as it was: what trains and validates is drawn.
    """
    data = instantiate(config.data, _convert_="all")
    if isinstance(data, ImageDataModule):
        known = run or config.get("resume") or config.get("run")
        if known is not None:
            split, result = None, runs.read_json(Path(known) / runs.RESULT) or {}
            if (file := Path(known) / SPLIT).is_file():
                split = decode(read_bytes(file, _LONGEST))
            data.use_split(split, only_test=anew, fingerprint=result.get("data_fingerprint"))
        return data
    if not isinstance(data, L.LightningDataModule):
        raise CnnexpError(f"data._target_={config.data._target_} isn't a LightningDataModule")
    return contract.repeatable(data, config.seed)


def build_model(
    config: DictConfig, image_shape: Sequence[int], classes: int, scheduled: bool = True
) -> Classifier:
    """Return the network for images of a shape; its weights depend on the seed alone.

    Unless ``scheduled`` its learning rate is left to somebody else.
    """
    optimizer, scheduler = build_optimization(config)
    network, _ = _split(config)
    L.seed_everything(config.seed, verbose=False)
    make = instantiate(network, _partial_=True, _convert_="all")
    model = make(image_shape=tuple(image_shape), classes=classes)
    if not isinstance(model, Classifier):
        raise CnnexpError(f"model._target_={config.model._target_} isn't a cnnexp.Classifier")
    check_hyperparameters(model)
    training = build_training(config, classes)
    model.train_with(optimizer=optimizer, scheduler=scheduler if scheduled else None, **training)
    _try_objective(model)
    return model


def build_training(config: DictConfig, classes: int) -> dict[str, Any]:
    """Return what the settings say to ``Classifier.train_with`` beside the optimizer and the schedule."""
    _, training = _split(config)
    with torch.device("cpu"):
        return {**instantiate(training, _convert_="all"), "metrics": build_metrics(config, classes)}


def build_metrics(config: DictConfig, classes: int) -> dict[str, Metric]:
    """Return the configured metrics by name, told that they are of so many classes where they take that.

    Raises CnnexpError for one that can't be built, can't measure class probabilities or doesn't make one number of
    them.
    """
    metrics = {}
    told = {"task": "multiclass", "num_classes": classes}
    # on the CPU even where networks are built without memory: values decide what a metric does
    with torch.device("cpu"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is rare in two images a class
        for key, node in config.get("metrics", {}).items():
            name = f"metrics.{key}"
            try:
                takes = inspect.signature(get_object(node._target_)).parameters
                missing = {k: v for k, v in told.items() if k in takes and node.get(k) is None}
                metric = instantiate(node, _convert_="all", **missing)
                if not isinstance(metric, Metric):
                    raise CnnexpError(f"{name}: {node._target_} isn't a torchmetrics.Metric")
                metric.update(torch.eye(classes).repeat(2, 1), torch.arange(classes).repeat(2))
                value = metric.compute()
            except CnnexpError:
                raise
            except Exception as error:  # whatever a metric's constructor and its methods may raise
                raise CnnexpError(f"{name}: {first_line(error.__cause__ or error)}") from None
            if not isinstance(value, (Tensor, float, int)) or torch.as_tensor(value).numel() != 1:
                raise CnnexpError(
                    f"{name} isn't one number but {_shape(value)}; choose a metric, or "
                    f"{name}.average=macro, that makes one of all classes"
                )
            metric.reset()
            metrics[str(key)] = metric
    return metrics


def _shape(value: Any) -> str:
    return f"{list(value.shape)} numbers" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _try_objective(model: Classifier) -> None:
    """Raise CnnexpError for an objective that isn't one number, and for what a loss of torch's refuses."""
    own = type(model).objective is not Classifier.objective
    # a loss is on the CPU even where its network is built without memory: torch looks at its options only there
    device = next((parameter.device for parameter in model.parameters()), None) if own else None
    labels = torch.arange(model.classes, device=device)
    logits = torch.zeros(model.classes, model.classes, device=device)
    try:
        with torch.device(device or "cpu"):
            objective = model.objective(logits, labels)
    except (ValueError, TypeError, RuntimeError) as error:
        if own or not type(model.loss).__module__.startswith("torch."):
            raise  # is left to be seen
        raise CnnexpError(f"model.loss: {first_line(error)}") from None
    if not isinstance(objective, Tensor) or objective.numel() != 1:
        raise CnnexpError(
            f"model.loss must return one number, the mean over the batch, not {_shape(objective)}; a loss of "
            "torch's does so with reduction: mean"
        )


def build_parts(config: DictConfig) -> dict[str, Any]:
    """Return a network's arguments that have a ``_target_`` of their own: a checkpoint holds but their names."""
    network, _ = _split(config)
    parts = {key: value for key, value in network.items() if isinstance(value, dict) and "_target_" in value}
    return instantiate(parts, _convert_="all")


def _split(config: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the network's settings that its constructor takes, and those that its ``AFTERWARDS`` method does."""
    settings: dict[str, Any] = OmegaConf.to_container(config.model, resolve=True)  # type: ignore[assignment]
    target = get_object(settings["_target_"])
    method = getattr(target, getattr(target, "AFTERWARDS", ""), Classifier.train_with)
    later = inspect.signature(method).parameters.keys() & settings.keys()
    return (
        {key: value for key, value in settings.items() if key not in later},
        {key: value for key, value in settings.items() if key in later},
    )

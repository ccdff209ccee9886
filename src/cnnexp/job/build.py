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
from hydra.utils import get_object, instantiate
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.profilers import Profiler
from omegaconf import DictConfig, OmegaConf

from cnnexp import contract
from cnnexp.data.datamodule import ImageDataModule
from cnnexp.errors import CnnexpError
from cnnexp.job import ranks
from cnnexp.job.optimization import build_optimization
from cnnexp.models.classifier import Classifier
from cnnexp.reports.tables import shown
from cnnexp.training.callbacks import ProgressBar
from cnnexp.training.checkpoints import WholeCheckpointIO
from cnnexp.training.profiler import NoProfiler, profiler_into

log = logging.getLogger(__name__)

# with it, which Lightning sets, torch.cuda.is_available() asks the driver; fused optimizers call that each step
os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


def build_trainer(
    config: DictConfig,
    folder: Path,
    callbacks: Sequence[L.Callback] = (),
    loggers: Sequence[Logger] = (),
    profiler: Profiler | None = None,
) -> L.Trainer:
    """Return Lightning's Trainer for a run in ``folder``; raises CnnexpError for what this machine lacks.

    A ``profiler`` takes the place of the one in the settings.
    """
    make = instantiate(config.trainer, _partial_=True, _convert_="all")
    configured = make.keywords.get("profiler")
    arguments: dict[str, Any] = {
        "default_root_dir": folder,
        "callbacks": [*callbacks, *([ProgressBar()] if config.trainer.enable_progress_bar else [])],
        "logger": list(loggers) or False,
        "plugins": [WholeCheckpointIO(), *_slurm()],
        "enable_checkpointing": any(isinstance(c, L.pytorch.callbacks.Checkpoint) for c in callbacks),
    }
    try:
        if profiler is None and configured is not None and ranks.is_first():
            profiler = profiler_into(configured, folder / "profile")
            log.info("profile: %s", shown(folder / "profile"))
        arguments["profiler"] = profiler or NoProfiler()
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
    return trainer


def _slurm() -> list[SLURMEnvironment]:
    """Return Slurm's environment within a Slurm job, without Lightning's own requeueing."""
    if "SLURM_NTASKS" not in os.environ or TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    return [SLURMEnvironment(auto_requeue=False)]


def build_data(config: DictConfig) -> Any:
    """Return the data module, ours or what ``cnnexp.contract`` describes; nothing is read yet."""
    data = instantiate(config.data, _convert_="all")
    if isinstance(data, ImageDataModule):
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
    return model.train_with(
        optimizer=optimizer, scheduler=scheduler if scheduled else None, **build_training(config)
    )


def build_training(config: DictConfig) -> dict[str, Any]:
    """Return what the settings say to ``Classifier.train_with`` beside the optimizer and the schedule."""
    _, training = _split(config)
    return instantiate(training, _convert_="all")


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


def quiet_lightning() -> None:
    """Leave out Lightning's remarks that a user of this command can do nothing about."""
    for package in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(package).setLevel(logging.WARNING)
    for message in (
        "does not have many workers",  # the loader draws and augments whole batches, in this process
        "smaller than the logging interval",  # an epoch may have few batches
        "exists and is not empty",  # the folder of a run that is resumed
        "your dataloader is not resumable",  # Classifier skips the batches of a resumed epoch
        "LeafSpec",  # Lightning uses a name that torch deprecated
        "could not find the monitored key",  # an epoch without validation
        "recommended to use `self.log",  # the logged numbers are sums over all processes already
        "callbacks used to create the checkpoint",  # the test runs without weight averaging
        "The .srun. command is available",  # a single process on a cluster's login node
    ):
        warnings.filterwarnings("ignore", f".*{message}")

"""Load a finished run: its network and its data."""

import inspect
import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_object
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig, OmegaConf

from cnnexp.command.recorded import read_record
from cnnexp.data.preprocessing import read_data_state
from cnnexp.errors import CnnexpError, first_line
from cnnexp.job.build import build_data, build_parts, build_training
from cnnexp.job.job import Job
from cnnexp.models.classifier import Classifier
from cnnexp.training.alike import plain
from cnnexp.training.checkpoint_state import check_weights
from cnnexp.training.checkpoints import BEST, FOLDER, LAST
from cnnexp.whole import check_whole

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedRun:
    """A run's network with its trained weights (in eval mode, on the CPU), its data, and its settings."""

    folder: Path
    settings: DictConfig
    checkpoint: Path
    model: Classifier
    data: Any


def load_run(run: str | Path, checkpoint: str = "best", trusted: Collection[str] = ()) -> LoadedRun:
    """Load what a run left behind; a stranger's run can't make it run code.

    Args:
        run: the run's folder.
        checkpoint: ``best``, ``last``, or the path of a checkpoint of the same network.
        trusted: classes and functions of one's own that the run's record may call, such as
            ``mypackage.MyNetwork``; those that conf/ or the command line's own config files name need none.

    Raises:
        CnnexpError: where the folder isn't a run's, or the checkpoint isn't there, is damaged or is another's.
    """
    folder = Path(run)
    settings, _ = read_record(folder, trusted=trusted)
    path = checkpoint_path(folder, checkpoint)
    model = load_model(settings, path, _is_own(folder, path))
    return LoadedRun(folder, settings, path, model, build_data(settings, folder))


def load_for(job: Job) -> LoadedRun:
    """Load the run that a task is about, and its data prepared as its checkpoint says, ready to be predicted.

    What the command line changes, such as another ``data.root``, counts.

    Raises:
        CnnexpError: as ``load_run``, and where the data's classes are not the network's.
    """
    loaded = load_run(job.config.run, job.config.checkpoint)
    data = build_data(job.config)
    if is_overridden("load_state_dict", data):
        data.load_state_dict(data_state(loaded))
    return replace(loaded, settings=job.config, data=data)


def checkpoint_path(folder: Path, checkpoint: str) -> Path:
    """Return the file that ``best``, ``last`` or a path means; raises CnnexpError where there is none."""
    named = {"best": BEST, "last": LAST}.get(checkpoint)
    path = folder / FOLDER / named if named else Path(checkpoint)
    if not path.is_file():
        there = sorted(file.stem for file in (folder / FOLDER).glob("*.ckpt"))
        known = f"{folder} has: {', '.join(there)}" if there else f"{folder} has none yet"
        raise CnnexpError(f"checkpoint={checkpoint}: there is no {path}; {known}")
    return path


def load_model(settings: DictConfig, path: Path, own: bool = False) -> Classifier:
    """Load a network's checkpoint: tensors and plain values only, no code.

    Args:
        settings: those of the network.
        path: the checkpoint's.
        own: whether it is the run's, whose settings it must then have.
    """
    target = get_object(settings.model._target_)
    if not (isinstance(target, type) and issubclass(target, Classifier)):
        raise CnnexpError(f"model._target_={settings.model._target_} isn't a cnnexp.Classifier")
    parts = build_parts(settings)
    try:
        check_whole(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        recorded = dict(checkpoint.get("hyper_parameters") or {})
        network: Any = OmegaConf.to_container(settings.model, resolve=True) if own else {}
        for key, value in network.items():
            if key not in parts and value is not None and key in recorded and plain(recorded[key]) != plain(value):
                raise CnnexpError(
                    f"{path} isn't of this run: {key} is {str(recorded[key])[:60]} in the file and "
                    f"{value} in the record"
                )
        like = _without_memory(target, {**recorded, **parts})
        if like is not None:
            check_weights(path, checkpoint, like)
        model = target.load_from_checkpoint(path, map_location="cpu", weights_only=True, **parts)
        if like is None:
            check_weights(path, checkpoint, model)
    except CnnexpError:
        raise
    # torch and Lightning raise many kinds of errors for a damaged file
    except Exception as error:
        raise CnnexpError(f"{path} can't be loaded as a {target.__name__}: {first_line(error)}") from None
    return model.train_with(**build_training(settings, model.classes)).eval()


def _without_memory(target: type[Classifier], arguments: dict[str, Any]) -> Classifier | None:
    """Return the network that a checkpoint is of, without memory for its weights: it may say any size."""
    takes = inspect.signature(target).parameters
    try:
        with torch.device("meta"):
            return target(**{key: value for key, value in arguments.items() if key in takes})
    except CnnexpError:
        raise
    except Exception as error:  # an own network may not support that device
        log.debug("not tried beforehand: %s", error)
        return None


def data_state(loaded: LoadedRun) -> dict[str, Any]:
    """Return what a run's data module recorded in the checkpoint; see ``read_data_state``."""
    state, normalize = read_data_state(loaded.checkpoint), loaded.settings.data.get("normalize")
    if _is_own(loaded.folder, loaded.checkpoint) and normalize is (state["mean"] is None):
        raise CnnexpError(f"{loaded.checkpoint} isn't of this run: one normalizes its images, the other doesn't")
    return state


def _is_own(folder: Path, checkpoint: Path) -> bool:
    return checkpoint.parent == folder / FOLDER

"""Load a finished run: its network and its data."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig

from cnnexp.command.recorded import read_record
from cnnexp.data.preprocessing import read_data_state
from cnnexp.errors import CnnexpError, first_line
from cnnexp.job.build import build_data, build_parts, build_training
from cnnexp.job.job import Job
from cnnexp.models.classifier import Classifier
from cnnexp.training.checkpoints import BEST, FOLDER, LAST


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
    return LoadedRun(folder, settings, path, load_model(settings, path), build_data(settings, folder))


def load_for(job: Job) -> LoadedRun:
    """Load the run that a task is about, and its data prepared as its checkpoint says, ready to be predicted.

    What the command line changes, such as another ``data.root``, counts.

    Raises:
        CnnexpError: as ``load_run``, and where the data's classes are not the network's.
    """
    loaded = load_run(job.config.run, job.config.checkpoint)
    data = build_data(job.config)
    if is_overridden("load_state_dict", data):
        data.load_state_dict(read_data_state(loaded.checkpoint))
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


def load_model(settings: DictConfig, path: Path) -> Classifier:
    """Load a network's checkpoint: tensors and plain values only, no code."""
    target = get_object(settings.model._target_)
    if not (isinstance(target, type) and issubclass(target, Classifier)):
        raise CnnexpError(f"model._target_={settings.model._target_} isn't a cnnexp.Classifier")
    parts = build_parts(settings)
    try:
        model = target.load_from_checkpoint(path, map_location="cpu", weights_only=True, **parts)
    except CnnexpError:
        raise
    # torch and Lightning raise many kinds of errors for a damaged file
    except Exception as error:
        raise CnnexpError(f"{path} can't be loaded as a {target.__name__}: {first_line(error)}") from None
    return model.train_with(**build_training(settings, model.classes)).eval()

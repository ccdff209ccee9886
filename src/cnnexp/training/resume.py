"""The checkpoint from which a run is resumed, and whether it fits the network."""

import logging
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version

from cnnexp.errors import CnnexpError, first_line
from cnnexp.models.classifier import Classifier
from cnnexp.training.checkpoints import LAST, PREVIOUS
from cnnexp.version import __version__
from cnnexp.whole import check_whole

log = logging.getLogger(__name__)


def checkpoint_to_go_on_from(folder: Path, model: Classifier) -> tuple[Path | None, list[dict[str, float]]]:
    """Return the newest intact checkpoint of a run, and the rows of the epochs before it.

    Where ``last.ckpt`` is damaged or of another network, this warns and takes ``previous.ckpt``. Where nothing was
    saved yet it returns None and no rows: the run starts from its beginning.

    Args:
        folder: the run's ``checkpoints/``.
        model: the network to be trained on.

    Raises:
        CnnexpError: where neither can be used, with the reason.
    """
    passed_over: list[str] = []
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            check_whole(path)
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            history = list(checkpoint["history"])
            if (checkpoint.get("so_far") or {}).get("has_row"):  # of an epoch that may go on
                history.pop()
            check_fits(path, checkpoint, model)
        except CnnexpError as error:
            passed_over.append(str(error))
        except Exception as error:  # torch raises many kinds of errors for a damaged file
            passed_over.append(f"{path} can't be read ({first_line(error)[:120]})")
        else:
            for text in passed_over:
                log.warning("%s; going on from %s, saved after epoch %d", text, name, len(history))
            return path, history
    if passed_over:
        tried = " (previous.ckpt can't be used either)" if len(passed_over) > 1 else ""
        raise CnnexpError(f"{passed_over[0]};\nnothing to go on from{tried}. Train again with run={folder.parent}")
    return None, []


def check_fits(path: Path, checkpoint: dict[str, Any], model: Classifier) -> None:
    """Raise CnnexpError, naming the difference, for another network's or a newer version's checkpoint."""
    version = checkpoint.get("cnnexp_version", "0")
    if Version(version) > Version(__version__):
        raise CnnexpError(
            f"{path} was written by cnnexp {version}, this is {__version__}; update cnnexp to read it"
        )
    theirs = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
    mine = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    # a network of convolutions alone has the same weights for any image size
    recorded = checkpoint.get("hyper_parameters") or {}
    if "image_shape" in recorded:
        theirs["image_shape"], mine["image_shape"] = tuple(recorded["image_shape"]), tuple(model.image_shape)
    if theirs != mine:
        name = next(name for name in (*mine, *theirs) if mine.get(name) != theirs.get(name))
        raise CnnexpError(
            f"{path} isn't of this network: {name} is {theirs.get(name, 'not there')} in the file and "
            f"{mine.get(name, 'not there')} in {type(model).__name__}; use the model and data it was trained with"
        )

"""The checkpoint from which a run is resumed, and whether it fits the network."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
import torch

from cnnexp.errors import CnnexpError, first_line
from cnnexp.models.classifier import Classifier
from cnnexp.training.checkpoint_state import check_state
from cnnexp.training.checkpoints import LAST, PREVIOUS
from cnnexp.whole import check_whole

log = logging.getLogger(__name__)


def checkpoint_to_go_on_from(
    folder: Path, model: Classifier, trainer: L.Trainer, data: Any
) -> tuple[Path | None, list[dict[str, float]]]:
    """Return the newest intact checkpoint of a run, and the rows of the epochs before it.

    Where ``last.ckpt`` is damaged, malformed or of another network, this warns and takes ``previous.ckpt``. Where
    nothing was saved yet it returns None and no rows: the run starts from its beginning.

    Args:
        folder: the run's ``checkpoints/``.
        model: the network to be trained on.
        trainer: the one that will, with its callbacks.
        data: the data module, set up.

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
            check_state(path, checkpoint, model, trainer, data)
            history = list(checkpoint["history"])
            if (checkpoint.get("so_far") or {}).get("has_row"):  # of an epoch that may go on
                history.pop()
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

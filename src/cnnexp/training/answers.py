"""Keep with the best weights which validation images they answer rightly."""

from pathlib import Path
from typing import Any

import lightning as L
import torch

from cnnexp.data.which_images import validated
from cnnexp.errors import CnnexpError
from cnnexp.evaluation.answers import KEY, Answers, unpacked
from cnnexp.models.classifier import Classifier


class KeepAnswers(L.Callback):
    """Put into what is saved right after a validation which of its images were answered rightly.

    ``best.ckpt`` is saved there, so that the answers are those of its weights, whatever became of the run in
    between. They are those that validation has made anyway.
    """

    def __init__(self) -> None:
        self._which: tuple[int, str | None] = 0, None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget another training's images."""
        self._which = 0, None

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the answers, where there are any and it is known on which images."""
        right = pl_module.just_answered() if isinstance(pl_module, Classifier) else None
        if right is None:
            return
        if self._which[0] != len(right):
            self._which = len(right), validated(getattr(trainer, "datamodule", None), len(right))
        if self._which[1] is not None:
            checkpoint[KEY] = Answers(self._which[1], right.numpy()).packed()


def answers_of(checkpoint: Path, accuracy: float) -> Answers | None:
    """Return what a checkpoint's weights answered on their validation images; None where it doesn't say.

    Args:
        checkpoint: the file's path; its weights are left unread.
        accuracy: theirs; answers that have another are another network's.
    """
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    try:
        found = unpacked(content.get(KEY) or {})
    except CnnexpError:  # an earlier version's, or of somebody's own data module
        return None
    return found if found.agrees(accuracy) else None

"""How sure a change of the validation loss is, from the same images' losses at two epochs; and their answers."""

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnexp.distributed import gathered

_MOST = 2**31


class PairedError:
    """The standard error of a validation loss's difference from the lowest one so far, image by image.

    The images are the same at each validation, so their losses rise and fall together: the error of the mean
    difference is that of the n paired differences d, sqrt(var(d) / n), far below that of the loss itself. It
    counts the chance in which images are validated on, not the jitter of the weights. Images in another order or
    number than before can't be paired, and give none.
    """

    def __init__(self) -> None:
        self.lowest: dict[str, Any] | None = None
        """The lowest validation: its ``loss``, its images' ``losses``, and their ``order``, a number."""
        self.right: Tensor | None = None
        """Of each of the last validation's images whether it was answered rightly: bool, on the CPU."""
        self.begin()

    def begin(self) -> "PairedError":
        """Begin a validation, and return it."""
        self._losses: list[Tensor] = []
        self._right: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._sizes: list[int] = []
        return self

    def add(self, logits: Tensor, labels: Tensor, sizes: Sequence[int]) -> None:
        """Take the logits of some images, shape (images, classes), and their labels, of batches of these sizes."""
        self._losses.append(F.cross_entropy(logits, labels, reduction="none"))
        self._right.append(logits.argmax(1) == labels)
        self._labels.append(labels)
        self._sizes += sizes

    def compute(self, loss: float) -> dict[str, float]:
        """End a validation whose mean is ``loss``.

        Returns:
            ``{"val_loss_se": nats}``, nothing where there is no other validation to compare it with.
        """
        none = torch.zeros(0)
        own = [torch.cat(kept or [none]).cpu() for kept in (self._losses, self._right, self._labels)]
        # of several processes each has a part of each batch: put together, they are in the order of one process
        parts = [[kept.split(sizes) for kept in both] for *both, sizes in gathered((*own, self._sizes))]
        losses, right, labels = (
            torch.cat([part for batch in zip_longest(*split, fillvalue=none) for part in batch] or [none])
            for split in zip(*parts, strict=True)
        )
        self.begin()
        self.right = right.bool()
        images = len(losses)
        # nearly every other order of the images has another sum
        places = torch.randint(_MOST, (images,), generator=torch.Generator().manual_seed(0))
        order = int((labels.long() * places).sum()) % _MOST
        known = self.lowest
        paired = known is not None and known["order"] == order and len(known["losses"]) == images > 1
        error = {}
        if known is not None and paired:
            variance = float((losses.double() - known["losses"].double()).var())
            error["val_loss_se"] = math.sqrt(variance / images)
        if known is None or not paired or loss < known["loss"]:
            self.lowest = {"loss": loss, "losses": losses, "order": order}
        return error

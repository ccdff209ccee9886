"""Losses to train on: of a batch's logits and labels they make one number, the mean over its images."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import torch
import torch.nn.functional as F
from annotated_types import Ge, Interval, Len
from torch import Tensor, nn

Smoothing: TypeAlias = Annotated[float, Interval(ge=0, lt=1)]
ClassWeights: TypeAlias = Annotated[Sequence[Annotated[float, Ge(0)]], Len(2)]


class _Weighted(nn.Module):
    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | None) -> None:
        super().__init__()
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        # a buffer goes to the network's device with it; the settings hold its values, so checkpoints needn't
        self.register_buffer("class_weights", weights, persistent=False)


class CrossEntropy(_Weighted):
    """Cross-entropy in nats.

    Weighted losses are divided by the number of images, where ``torch.nn.CrossEntropyLoss`` divides by the sum
    of the weights in the batch: an image then counts the same whatever images it meets in its batch.

    Args:
        label_smoothing: share of the target that is spread evenly over all classes (Szegedy et al., 2016,
            arXiv:1512.00567).
        class_weights: a factor on the loss of each class's images, one for each class; all 1 when None.
    """

    def __init__(self, label_smoothing: Smoothing = 0.0, class_weights: ClassWeights | None = None) -> None:
        super().__init__(class_weights)
        self.label_smoothing = label_smoothing

    @property
    def plain(self) -> bool:
        """Whether this is cross-entropy and nothing else."""
        return self.label_smoothing == 0 and self.class_weights is None

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of logits, shape (batch, classes), for labels, shape (batch,)."""
        if self.class_weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        total = F.cross_entropy(
            logits.float(), labels, self.class_weights, reduction="sum", label_smoothing=self.label_smoothing
        )
        return total / len(labels)


class Focal(_Weighted):
    """Focal loss: −(1 − p)^gamma · log p in nats, where p is the probability that is given to the label.

    Source: Lin, Goyal, Girshick, He & Dollár, Focal Loss for Dense Object Detection, 2017, arXiv:1708.02002,
    equation 5, with the softmax over the classes for p and ``class_weights`` for its α.

    Args:
        gamma: 0 is cross-entropy; the higher, the less images count that are right already.
        class_weights: a factor on the loss of each class's images, one for each class; all 1 when None.
    """

    def __init__(self, gamma: Annotated[float, Ge(0)] = 2.0, class_weights: ClassWeights | None = None) -> None:
        super().__init__(class_weights)
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of logits, shape (batch, classes), for labels, shape (batch,)."""
        cross_entropy = F.cross_entropy(logits.float(), labels, reduction="none")
        # −expm1(−x) is 1 − p without the digits that are lost where p is nearly 1. A power below 1 has an infinite
        # slope at 0, which the smallest positive number keeps finite
        wrong = -torch.expm1(-cross_entropy)
        losses = wrong.clamp_min(torch.finfo(wrong.dtype).tiny) ** self.gamma * cross_entropy
        if self.class_weights is not None:
            losses = losses * self.class_weights[labels]
        return losses.mean()


def remove_loss(saved: dict[str, Any], known: Mapping[str, Any]) -> None:
    """Remove from a network's saved weights those of a loss that has weights of its own and isn't ``known``.

    Such weights are trained and gone on with; a network that is only asked again is built without its loss. In
    place: a state dict carries its modules' versions with it.
    """
    for name in [name for name in saved if name.startswith("loss.") and name not in known]:
        del saved[name]

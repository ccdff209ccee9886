"""Test-time augmentation: several views of an image, whose logits are averaged."""

from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor

TestTimeAugmentation: TypeAlias = Literal["none", "flip", "flip_and_shift"]


def weighted_views(images: Tensor, kind: TestTimeAugmentation) -> list[tuple[float, Tensor]]:
    """Return the views of a batch and the weight of each one's logits; the weights add up to 1.

    The first view is the images themselves. ``flip`` adds their mirror images, with half of the weight.
    ``flip_and_shift`` gives half of the weight to both of these, and shares the other half out among the images
    shifted by one pixel up and left, those shifted down and right, and the mirror images of both; the edge is
    filled by reflection. Source: test-time augmentation of level 2 in ``airbench94_muon.py`` of
    KellerJordan/cifar10-airbench.

    Args:
        images: shape (batch, channels, height, width); for shifts at least two pixels high and wide.
        kind: none, flip or flip_and_shift.
    """
    if kind == "none":
        return [(1.0, images)]
    if kind == "flip":
        return [(0.5, images), (0.5, images.flip(3))]
    height, width = images.shape[2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    shifts = [padded[:, :, 2:, 2:], padded[:, :, :height, :width]]
    views = [(0.25, images), (0.25, images.flip(3))]
    return views + [(0.125, view) for shift in shifts for view in (shift, shift.flip(3))]

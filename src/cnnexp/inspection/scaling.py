"""How the number of parameters grows with the side of the image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

SIDES = (32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Growth:
    """The parameters of one network for images of several sizes.

    Args:
        name: of the network.
        sides: height and width of the images, in pixels.
        parameters: of the whole network, for each side.
        convolutional: those of its convolutions and their batch norms; the rest is the linear layers'.
    """

    name: str
    sides: tuple[int, ...]
    parameters: tuple[int, ...]
    convolutional: tuple[int, ...]

    @property
    def linear(self) -> tuple[int, ...]:
        """The parameters of the linear layers."""
        return tuple(whole - part for whole, part in zip(self.parameters, self.convolutional, strict=True))


def parameters_by_size(
    name: str, make: Callable[[tuple[int, int, int]], nn.Module], sides: Sequence[int] = SIDES, channels: int = 3
) -> Growth:
    """Count a network's parameters for square images of several sides, in pixels.

    ``make`` builds the network for a (channels, height, width); it is called on torch's meta device, where a
    network of billions of parameters takes neither memory nor time.
    """
    whole, convolutional = [], []
    for side in sorted(set(sides)):
        with torch.device("meta"):
            model = make((channels, side, side))
        whole.append(sum(p.numel() for p in model.parameters()))
        parts = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))]
        convolutional.append(sum(p.numel() for part in parts for p in part.parameters()))
    return Growth(name, tuple(sorted(set(sides))), tuple(whole), tuple(convolutional))


def order_of_growth(sides: Sequence[int], parameters: Sequence[int]) -> float:
    """Return the p in parameters ∝ side^p: the slope of a straight line through the upper half, log against log.

    The upper half of the sides, two at least, because terms of a lower order matter less there. NaN for a network
    without parameters.
    """
    count = max(2, (len(sides) + 1) // 2)
    x, y = np.asarray(sides[-count:], float), np.asarray(parameters[-count:], float)
    if len(x) < 2 or not (y > 0).all():
        return float("nan")
    # rounded, so that no growth is 0 and not −2e-15
    return round(float(np.polyfit(np.log(x), np.log(y), 1)[0]), 6) + 0.0

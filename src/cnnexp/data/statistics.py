"""Mean and standard deviation of images, exact: from how often each of the 256 values occurs."""

import torch
from torch import Tensor

_TOGETHER = 8192  # images, some 25 MB


def value_counts(images: Tensor, indices: Tensor | None = None) -> Tensor:
    """Return how often each value occurs in each channel of the chosen images: int64, (channels, 256).

    Args:
        images: uint8, shape (N, channels, height, width), on the CPU.
        indices: int64, the images to take; all of them when None.
    """
    counts = torch.zeros(images.shape[1], 256, dtype=torch.int64)
    if indices is None:
        parts = iter(images.split(_TOGETHER))
    else:  # ascending, because memory-mapped images are read from disk
        parts = (images[chosen] for chosen in indices.sort().values.split(_TOGETHER))
    for part in parts:
        for channel, count in enumerate(counts):
            count += torch.bincount(part[:, channel].flatten(), minlength=256)
    return counts


def mean_and_std(counts: Tensor) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel, of values as fractions of 255.

    A channel that has one value everywhere gets the standard deviation 1, so that it can be divided by.

    Args:
        counts: as ``value_counts`` returns them.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = counts.double() / counts.sum(1, keepdim=True)
    mean = (shares * values).sum(1)
    std = (shares * (values - mean[:, None]).square()).sum(1).sqrt()
    return mean.tolist(), torch.where(std > 0, std, 1.0).tolist()


def image_brightness(images: Tensor) -> list[float]:
    """Return mean and standard deviation, over images, of each one's mean value as a fraction of 255.

    Args:
        images: uint8, shape (N, channels, height, width).
    """
    means = images.double().mean((1, 2, 3)).div(255)
    return [means.mean().item(), means.std(correction=0).item()]

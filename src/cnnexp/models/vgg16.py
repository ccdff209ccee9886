"""VGG16-D: configuration D of Simonyan & Zisserman, 2014, arXiv:1409.1556, table 1."""

from collections.abc import Sequence
from math import prod
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from cnnexp.errors import CnnexpError
from cnnexp.models.classifier import Classes, Classifier, Fraction, ImageShape
from cnnexp.models.shapes import show

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of 3×3 convolutions of each block; a max-pooling by 2 ends it."""
SMALLEST = 8
"""Side of the smallest image taken: less than that would be nearly all padding."""
FIVE_POOLINGS = 2 ** len(BLOCKS)
"""Side of the smallest image of which the poolings leave a pixel."""
LARGEST_MAP = 7
"""Side of the feature map that the paper's 224×224 images leave to the linear layers."""


class VGG16(Classifier):
    """Thirteen 3×3 convolutions in five blocks, each ended by max-pooling, then linear layers.

    The attributes ``features``, ``avgpool`` and ``classifier`` hold what they hold in torchvision's ``vgg16``
    and ``vgg16_bn``. With hidden=(4096, 4096) and dropout=0.5 on (3, 224, 224) the state dicts are
    interchangeable, and with 1000 classes there are 138,357,544 parameters (batch_norm=False) or 138,365,992.
    The defaults are for small images: batch norm, and one linear layer after the last pooling.

    Images with a side under 32, of which five poolings would leave nothing, are padded with zeros to 32, in
    the middle, inside the network. What the last pooling leaves is averaged: with hidden layers down to 7×7 at
    most, as in torchvision; without, down to 1×1.

    Args:
        image_shape: (channels, height, width) of an image; 8×8 at least.
        classes: number of classes.
        hidden: widths of the hidden linear layers; the paper's are (4096, 4096).
        dropout: share of the activations dropped after each hidden layer, or before the only linear layer. The
            paper's is 0.5.
        batch_norm: normalise each convolution's output over the batch (Ioffe & Szegedy, arXiv:1502.03167).
        width: factor on the channels of all convolutions; under 1 for a smaller, faster network, down to 1/64: one
            channel in the first.

    Raises:
        CnnexpError: for images under 8×8.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        classes: Classes,
        hidden: Sequence[Annotated[int, Ge(1)]] = (),
        dropout: Fraction = 0.0,
        batch_norm: bool = True,
        width: Annotated[float, Ge(1 / 64)] = 1.0,
    ) -> None:
        super().__init__(image_shape, classes)
        # as lists, whatever sequences came: a checkpoint holds plain values only
        image_shape, hidden = list(image_shape), list(hidden)
        self.save_hyperparameters()

        in_channels, *shape = image_shape
        if min(shape) < SMALLEST:
            raise CnnexpError(
                f"VGG16 takes images of {SMALLEST}×{SMALLEST} and more, these are {show(shape)}; "
                f"resize them, or use CNN or FFNN"
            )
        top, left = ((max(0, FIVE_POOLINGS - side)) // 2 for side in shape)
        padded = [max(FIVE_POOLINGS, side) for side in shape]
        bottom, right = padded[0] - shape[0] - top, padded[1] - shape[1] - left
        self.padding = nn.ZeroPad2d((left, right, top, bottom)) if padded != shape else nn.Identity()

        layers: list[nn.Module] = []
        for channels, convolutions in BLOCKS:
            out_channels = max(1, round(channels * width))
            for _ in range(convolutions):
                layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(out_channels))
                layers.append(nn.ReLU(inplace=True))
                in_channels = out_channels
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*layers)

        left_over = [side // FIVE_POOLINGS for side in padded]  # the convolutions keep the size
        pooled = tuple(min(side, LARGEST_MAP if hidden else 1) for side in left_over)
        self.avgpool = nn.Identity() if left_over == [1, 1] else nn.AdaptiveAvgPool2d(pooled)
        self.classifier = _head(in_channels * prod(pooled), hidden, classes, dropout)
        self.apply(_initialise)
        # kernels stored channels last: a step of 128 images on two CPU cores takes a sixth less time
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes), of images of shape (batch, *image_shape)."""
        return self.classifier(self.avgpool(self.features(self.padding(images))).flatten(1))


def _head(in_features: int, hidden: Sequence[int], classes: int, dropout: float) -> nn.Sequential:
    # the dropout is there even at 0: a state dict then fits whatever the share is
    layers: list[nn.Module] = [] if hidden else [nn.Dropout(dropout)]
    for width in hidden:
        layers += [nn.Linear(in_features, width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        in_features = width
    return nn.Sequential(*layers, nn.Linear(in_features, classes))


def _initialise(module: nn.Module) -> None:
    """Initialise as torchvision does: He et al., arXiv:1502.01852, over the outputs, for convolutions."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    else:
        return
    assert module.bias is not None
    nn.init.zeros_(module.bias)

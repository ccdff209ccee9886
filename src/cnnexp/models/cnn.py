"""A small convolutional network."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from cnnexp.errors import CnnexpError
from cnnexp.models.activations import Activation, Init, activation_layer, initialise
from cnnexp.models.classifier import Classes, Classifier, Fraction, ImageShape
from cnnexp.models.ffnn import linear_layers
from cnnexp.models.shapes import Window, stack_output_shape

Pixels: TypeAlias = Annotated[int, Ge(1)]
PerConvolution: TypeAlias = Pixels | Sequence[Pixels | tuple[Pixels, Pixels]]
"""One number for all convolutions, or a list of one entry a convolution: a number or a (height, width)."""

Margin: TypeAlias = Annotated[int, Ge(0)]
Padding: TypeAlias = Margin | Literal["same", "valid"]
PaddingPerConvolution: TypeAlias = Padding | Sequence[Padding | tuple[Margin, Margin]]

NO_POOLING = (1, (1, 1))


class CNN(Classifier):
    """Convolutions, each with max-pooling and ReLU, then linear layers with ReLU between, or another activation.

    Unless told otherwise: a 3×3 convolution to 32 channels with padding 1, one to 64 without, max-pooling by 2
    after each, linear layers 600 and 120 wide, then the classes. 1,475,146 parameters for images of
    (1, 28, 28) and 10 classes, 1,974,922 for (3, 32, 32).

    ``kernel_size``, ``padding``, ``stride``, ``dilation`` and ``pool`` are each one value for all convolutions,
    or a list of one entry a convolution, where an entry may be a (height, width) pair.

    Args:
        image_shape: (channels, height, width) of an image.
        classes: number of classes.
        channels: output channels of the convolutions, as many as there are entries.
        kernel_size: of the convolutions.
        padding: zeros around each side, "same" (keeps the size; with stride 1 only) or "valid" (0). None: 1
            around the image itself, 0 after that.
        stride: of the convolutions.
        dilation: of the convolutions.
        pool: side and stride of the max-pooling after a convolution; 1 for none.
        hidden: widths of the hidden linear layers; may be empty.
        dropout: share of the activations dropped after each hidden linear layer, or before the only linear one.
        batch_norm: normalise each convolution's output over the batch, before the pooling (Ioffe & Szegedy,
            arXiv:1502.03167); those convolutions have no bias.
        activation: the function after each convolution and each hidden layer.
        init: the weights to begin with, see ``cnnexp.models.activations.initialise``.

    Raises:
        CnnexpError: for a list of the wrong length, or layers that leave nothing of the image.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        classes: Classes,
        channels: Annotated[Sequence[Pixels], MinLen(1)] = (32, 64),
        kernel_size: PerConvolution = 3,
        padding: PaddingPerConvolution | None = None,
        stride: PerConvolution = 1,
        dilation: PerConvolution = 1,
        pool: PerConvolution = 2,
        hidden: Sequence[Annotated[int, Ge(1)]] = (600, 120),
        dropout: Fraction = 0.0,
        batch_norm: bool = False,
        activation: Activation = "relu",
        init: Init = "default",
    ) -> None:
        super().__init__(image_shape, classes)
        # as lists, whatever sequences came: a checkpoint holds plain values only
        image_shape, channels, hidden = list(image_shape), list(channels), list(hidden)
        kernel_size, padding, stride = _lists(kernel_size), _lists(padding), _lists(stride)
        dilation, pool = _lists(dilation), _lists(pool)
        self.save_hyperparameters()

        count = len(channels)
        margins = [1, *[0] * (count - 1)] if padding is None else padding
        windows = {"kernel_size": kernel_size, "stride": stride, "padding": margins, "dilation": dilation}
        convolutions = list(zip(*(_each(name, value, count) for name, value in windows.items()), strict=True))
        pools = _each("pool", pool, count)

        stack: list[Window] = []
        for geometry, side in zip(convolutions, pools, strict=True):
            stack.append(Window("convolution", *geometry))
            if side not in NO_POOLING:
                stack.append(Window("max-pool", side, side))
        in_channels, *shape = image_shape
        height, width = stack_output_shape(shape, stack)

        layers: list[nn.Module] = []
        for out_channels, convolution, side in zip(channels, convolutions, pools, strict=True):
            kernel, step, margin, spread = convolution
            layers.append(nn.Conv2d(in_channels, out_channels, kernel, step, margin, spread, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(out_channels))
            if side not in NO_POOLING:
                layers.append(nn.MaxPool2d(side))
            layers.append(activation_layer(activation))
            in_channels = out_channels
        features = in_channels * height * width
        layers += [nn.Flatten(), *linear_layers(features, hidden, classes, dropout, activation=activation)]
        # kernels stored channels last: a step on two CPU cores takes 10 to 30 % less time
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        initialise(self.layers, init, activation)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes), of images of shape (batch, *image_shape)."""
        return self.layers(images)


def _lists(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_lists(entry) for entry in value]
    return value


def _each(name: str, value: Any, count: int) -> list[Any]:
    if not isinstance(value, list):
        return [value] * count
    if len(value) != count:
        raise CnnexpError(
            f"{name}={value} is a list of {len(value)} for {count} convolutions; give one value for all, "
            f"or a list of {count} (for a kernel that isn't square, a pair in the list: [[2, 3], …])"
        )
    return [tuple(entry) if isinstance(entry, list) else entry for entry in value]

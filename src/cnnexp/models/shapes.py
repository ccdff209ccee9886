"""Sizes of feature maps and numbers of parameters, by arithmetic alone.

A size is a number of pixels along one axis; a shape is (height, width). Wherever a kernel, a stride, a padding
or a dilation is asked for, one number stands for both axes and a pair for (height, width).

Sources: the documentation of ``torch.nn.Conv2d`` and ``torch.nn.MaxPool2d``; V. Dumoulin & F. Visin, A guide to
convolution arithmetic for deep learning, 2016, arXiv:1603.07285.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, TypeAlias

from cnnexp.errors import CnnexpError

Shape: TypeAlias = tuple[int, int]
PerAxis: TypeAlias = int | Sequence[int]
Margin: TypeAlias = int | Literal["same", "valid"]
Padding: TypeAlias = Margin | Sequence[int]


def conv_output_size(size: int, kernel_size: int, stride: int = 1, padding: Margin = 0, dilation: int = 1) -> int:
    """Return the output size of a convolution or pooling along one axis: ⌊(H + 2p − d(k − 1) − 1) / s⌋ + 1.

    Where the kernel is larger than the padded image nothing is left: 0. The padding ``"same"`` keeps the size
    and needs stride 1; ``"valid"`` is no padding. A last window that doesn't fit whole is left out, which is
    torch's default for poolings too.

    Raises:
        CnnexpError: for a kernel, stride or dilation under 1, a padding under 0, or "same" with a stride.
    """
    amount = _padding(kernel_size, stride, padding, dilation)
    return max(0, (size + amount - dilation * (kernel_size - 1) - 1) // stride + 1)


def conv_parameters(
    in_channels: int, out_channels: int, kernel_size: PerAxis, bias: bool = True, groups: int = 1
) -> int:
    """Return the number of parameters of a convolution: (n·m·d + 1)·k.

    n×m is the kernel, d the number of channels that one kernel sees (``in_channels / groups``), k the number of
    kernels (``out_channels``), and the 1 each kernel's bias.
    """
    return (prod(_pair(kernel_size)) * (in_channels // groups) + bias) * out_channels


def linear_parameters(in_features: int, out_features: int, bias: bool = True) -> int:
    """Return the number of parameters of a linear layer: (inputs + 1)·outputs, the 1 being the bias."""
    return (in_features + bias) * out_features


@dataclass(frozen=True)
class Window:
    """A layer that slides a window over an image, convolution or pooling.

    ``name`` and ``kernel_size`` are what errors call it, as in "max-pool 2".
    """

    name: str
    kernel_size: PerAxis
    stride: PerAxis = 1
    padding: Padding = 0
    dilation: PerAxis = 1

    def output_shape(self, shape: Sequence[int]) -> Shape:
        """Return the (height, width) that this layer makes of one; 0 where nothing is left."""
        height, width = (conv_output_size(size, *axis) for size, axis in zip(shape, self.axes, strict=True))
        return height, width

    def smallest_input(self, shape: Sequence[int]) -> Shape:
        """Return the smallest (height, width) of which this layer makes at least the given one."""
        height, width = (
            max(1, (size - 1) * stride + dilation * (kernel - 1) + 1 - _padding(kernel, stride, padding, dilation))
            for size, (kernel, stride, padding, dilation) in zip(shape, self.axes, strict=True)
        )
        return height, width

    @property
    def axes(self) -> list[tuple[int, int, Margin, int]]:
        """(kernel_size, stride, padding, dilation) of the height and of the width."""
        settings = self.kernel_size, self.stride, self.padding, self.dilation
        return list(zip(*map(_pair, settings), strict=True))


@dataclass(frozen=True)
class ReceptiveField:
    """What of the image one output pixel can see, in pixels of the image; as it stands, the image's own.

    Near the edges a part of it lies in the padding. Source: Araujo, Norris & Sim, Computing receptive fields of
    convolutional neural networks, 2019, doi:10.23915/distill.00021, equations 1 and 2.

    Args:
        size: (height, width) seen.
        jump: how far apart neighbouring output pixels look, (height, width).
    """

    size: Shape = (1, 1)
    jump: Shape = (1, 1)

    def after(self, layer: Window) -> "ReceptiveField":
        """Return the receptive field of the layer's outputs, this being that of its inputs."""
        axes = list(zip(self.size, self.jump, layer.axes, strict=True))
        height, width = (size + dilation * (kernel - 1) * jump for size, jump, (kernel, _, _, dilation) in axes)
        down, right = (jump * stride for _, jump, (_, stride, _, _) in axes)
        return ReceptiveField((height, width), (down, right))


def stack_output_shape(shape: Sequence[int], stack: Sequence[Window]) -> Shape:
    """Return the (height, width) that a stack of convolutions and poolings makes of a (height, width).

    Raises:
        CnnexpError: where a layer leaves nothing; names it (the first is layer 1; only convolutions and
            poolings are counted) and the smallest image that would do.
    """
    height, width = shape
    for number, layer in enumerate(stack, start=1):
        before = (height, width)
        height, width = layer.output_shape(before)
        if not (height and width):
            raise CnnexpError(
                f"layer {number} ({layer.name} {show(layer.kernel_size)}) leaves nothing of a {show(shape)} "
                f"image, which is {show(before)} when it gets there; the smallest image that would do is "
                f"{show(smallest_image(stack))}: take larger images, smaller kernels or fewer poolings"
            )
    return height, width


def smallest_image(stack: Sequence[Window]) -> Shape:
    """Return the smallest (height, width) of which a stack leaves at least one pixel."""
    shape = (1, 1)
    for layer in reversed(stack):
        shape = layer.smallest_input(shape)
    return shape


def show(sizes: PerAxis) -> str:
    """Return a size, or a shape as ``height×width``, as text."""
    return str(sizes) if isinstance(sizes, int) else "×".join(map(str, sizes))


def _padding(kernel_size: int, stride: int, padding: Margin, dilation: int) -> int:
    """Return the padding of both sides together, 2p; "same" may need an odd number."""
    for name, value in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)):
        if value < 1:
            raise CnnexpError(f"{name}={value} is not allowed: it is a number of pixels from 1 up")
    if padding == "valid":
        return 0
    if padding == "same":
        if stride != 1:
            raise CnnexpError(f'padding="same" needs stride=1, not {stride}; give the padding as a number')
        return dilation * (kernel_size - 1)
    if not isinstance(padding, int) or padding < 0:
        raise CnnexpError(f'padding={padding!r} is not allowed: it is a number from 0 up, "same" or "valid"')
    return 2 * padding


def _pair(value: Any) -> tuple[Any, Any]:
    if isinstance(value, (int, str)):
        return value, value
    if len(value) != 2:
        raise CnnexpError(f"{list(value)} is not allowed here: give one number, or a pair (height, width)")
    height, width = value
    return height, width

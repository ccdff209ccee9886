"""The formulas of a layer's size and number of parameters as text, with their numbers filled in.

The values come from ``cnnexp.models.shapes``: arithmetic on the layers' settings, never from torch's count.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from cnnexp.models import shapes


def parameters(layer: nn.Module) -> tuple[str, int] | None:
    """Return a layer's number of parameters as a formula, such as ``(3·3·1 + 1)·32``, and the formula's value.

    That is (n·m·d + 1)·k for a convolution, (inputs + 1)·outputs for a linear layer, and 2·channels for a batch
    norm; the + 1 is the bias, where there is one. None for any other layer.
    """
    if isinstance(layer, nn.Conv2d):
        size: Any = layer.kernel_size
        seen, outputs = "·".join(map(str, (*size, layer.in_channels // layer.groups))), layer.out_channels
        value = shapes.conv_parameters(layer.in_channels, outputs, size, layer.bias is not None, layer.groups)
    elif isinstance(layer, nn.Linear):
        seen, outputs = str(layer.in_features), layer.out_features
        value = shapes.linear_parameters(layer.in_features, outputs, layer.bias is not None)
    elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and layer.affine:
        return f"2·{layer.num_features}", 2 * layer.num_features
    else:
        return None
    return f"{seen}·{outputs}" if layer.bias is None else f"({seen} + 1)·{outputs}", value


def output_shape(shape: Sequence[int], window: shapes.Window) -> tuple[str, shapes.Shape]:
    """Return ⌊(H + 2p − d(k − 1) − 1) / s⌋ + 1 as text, and the output (height, width).

    One text where both axes are alike, else height's and width's; for padding="same" what is added is the
    whole margin, d(k − 1).
    """
    result = window.output_shape(shape)
    texts = []
    for size, (kernel, stride, padding, dilation), out in zip(shape, window.axes, result, strict=True):
        margin = {"same": str(dilation * (kernel - 1)), "valid": "0"}.get(str(padding), f"2·{padding}")
        texts.append(f"⌊({size} + {margin} − {dilation}·({kernel} − 1) − 1) / {stride}⌋ + 1 = {out}")
    return ", ".join(dict.fromkeys(texts)), result

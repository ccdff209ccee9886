"""The formulas of a layer's size and number of parameters as text, with their numbers filled in.

The values come from ``cnnexp.models.shapes``: arithmetic, never from torch.
"""

from collections.abc import Sequence

from cnnexp.models import shapes


def conv_parameters(
    in_channels: int, out_channels: int, kernel_size: Sequence[int], bias: bool = True, groups: int = 1
) -> tuple[str, int]:
    """Return (n·m·d + 1)·k as text, such as ``(3·3·1 + 1)·32``, and its value."""
    value = shapes.conv_parameters(in_channels, out_channels, kernel_size, bias, groups)
    return _with_bias("·".join(map(str, (*kernel_size, in_channels // groups))), out_channels, bias), value


def linear_parameters(in_features: int, out_features: int, bias: bool = True) -> tuple[str, int]:
    """Return (inputs + 1)·outputs as text and its value."""
    value = shapes.linear_parameters(in_features, out_features, bias)
    return _with_bias(str(in_features), out_features, bias), value


def batch_norm_parameters(features: int) -> tuple[str, int]:
    """Return 2·channels as text and its value."""
    return f"2·{features}", 2 * features


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


def _with_bias(inputs: str, outputs: int, bias: bool) -> str:
    return f"({inputs} + 1)·{outputs}" if bias else f"{inputs}·{outputs}"

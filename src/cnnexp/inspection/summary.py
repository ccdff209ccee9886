"""A network layer by layer: shapes, parameters, multiply-adds and receptive fields; nothing is computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from cnnexp.inspection import formulas
from cnnexp.inspection.layers import named_layers, watched
from cnnexp.models.shapes import ReceptiveField, Shape, Window, conv_parameters, linear_parameters, show

OUTSIDE = "outside of layers"
"""Stands for parameters that belong to no layer: a network's own."""


@dataclass(frozen=True)
class LayerSummary:
    """One layer, as one image passes it.

    Args:
        name: as in the state dict.
        kind: such as "convolution 3×3, padding 1".
        input_shape: without the batch.
        output_shape: without the batch, as torch makes it.
        parameters: torch's count; 0 where the same layer was met before.
        formula: the count as a formula with its numbers filled in, such as (3·3·1 + 1)·32; None where there
            are no parameters or no formula is known.
        computed_parameters: the formula's value.
        size_formula: the output's height and width as a formula, for convolutions and poolings.
        multiply_adds: of convolutions and linear layers, for one image; None for the others.
        receptive_field: (height, width) of the pixels that one output sees; None where the layers before it
            are no plain chain.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int = 0
    formula: str | None = None
    computed_parameters: int | None = None
    size_formula: str | None = None
    multiply_adds: int | None = None
    receptive_field: Shape | None = None


def summarize(model: nn.Module, image_shape: Sequence[int] | None = None) -> list[LayerSummary]:
    """Follow one image through a network and return what each layer is, makes and costs.

    The parameters are counted twice, by torch and by the course's formulas, from the layers' settings alone.
    Works on torch's meta device, whatever device the network is on: nothing is computed and nothing is copied.

    Args:
        model: a network; one made under ``torch.device("meta")`` takes no memory.
        image_shape: (channels, height, width) of an image; ``model.image_shape`` when None.
    """
    shape = tuple(image_shape if image_shape is not None else model.image_shape)  # type: ignore[arg-type]
    image = torch.empty(1, *shape, device="meta")
    walk = _Walk(image)
    layers = {name: module for name, module in named_layers(model).items() if not list(module.children())}
    tensors = {name: tensor.to("meta") for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    # tensors that a forward pass makes itself are to be where the others are
    with watched(model, layers, walk.meet), torch.no_grad(), torch.device("meta"):
        torch.func.functional_call(model, tensors, (image,))
    rest = sum(p.numel() for p in model.parameters()) - sum(layer.parameters for layer in walk.rows)
    return walk.rows if not rest else [*walk.rows, LayerSummary(OUTSIDE, "", (), (), rest)]


class _Walk:
    """The layers that were called so far, and the receptive field of each tensor between them."""

    def __init__(self, image: Tensor) -> None:
        self.rows: list[LayerSummary] = []
        self._image = image
        self._met: set[nn.Module | nn.Parameter] = set()
        # the tensors themselves are kept, or another one could get the same id
        self._seen: dict[int, tuple[Tensor, ReceptiveField | None]] = {id(image): (image, ReceptiveField())}

    def meet(self, name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not (inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)):
            return  # one whose size says nothing; its parameters are counted among the rest
        entered = inputs[0]
        facts: dict[str, Any] = {}
        field = self._seen.get(id(entered), (None, None))[1]
        window = _window(layer, entered)
        if window is not None:
            field = field.after(window) if field else None
            if not getattr(layer, "ceil_mode", False) and not isinstance(layer, nn.AdaptiveAvgPool2d):
                facts["size_formula"], computed = formulas.output_shape(entered.shape[-2:], window)
                assert computed == tuple(output.shape[-2:]), f"{name}: {computed} is not {output.shape}"
        elif isinstance(layer, nn.Linear) and entered.dim() == 2:
            height, width = self._image.shape[2:]
            field = ReceptiveField((height, width))
        self._seen[id(output)] = (output, field)
        if layer not in self._met:
            new = set(layer.parameters()) - self._met
            self._met |= {layer, *new}
            facts["parameters"] = sum(p.numel() for p in new)
            facts["formula"], facts["computed_parameters"] = formulas.parameters(layer) or (None, None)
        shapes = tuple(entered.shape[1:]), tuple(output.shape[1:])
        facts["multiply_adds"] = _multiply_adds(layer, *shapes)
        facts["receptive_field"] = field.size if field else None
        self.rows.append(LayerSummary(name, _kind(layer, window), *shapes, **facts))


def _window(layer: nn.Module, entered: Tensor) -> Window | None:
    """Return a convolution or a pooling as what slides over the image."""
    if isinstance(layer, nn.Conv2d):
        return Window("convolution", layer.kernel_size, layer.stride, layer.padding, layer.dilation)  # type: ignore[arg-type]
    if isinstance(layer, nn.MaxPool2d):
        return Window("max-pool", layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    if isinstance(layer, nn.AvgPool2d):
        return Window("average-pool", layer.kernel_size, layer.stride, layer.padding)
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        sides, out = entered.shape[-2:], layer.output_size
        wanted = [side if o is None else o for side, o in zip(sides, _pair(out), strict=True)]
        # torch's windows run from ⌊i·H/o⌋ to ⌈(i + 1)·H/o⌉; the largest one counts
        kernels = [
            max(-(-(i + 1) * side // o) - i * side // o for i in range(o))
            for side, o in zip(sides, wanted, strict=True)
        ]
        return Window("average-pool", kernels, [max(1, side // o) for side, o in zip(sides, wanted, strict=True)])
    return None


def _pair(value: Any) -> tuple[Any, Any]:
    return tuple(value) if isinstance(value, Sequence) else (value, value)


def _multiply_adds(layer: nn.Module, entered: Sequence[int], left: Sequence[int]) -> int | None:
    """Return one for each weight and each position it is at; adding the bias isn't counted, as is usual."""
    if isinstance(layer, nn.Conv2d):
        weights = conv_parameters(layer.in_channels, layer.out_channels, layer.kernel_size, False, layer.groups)
        return weights * prod(left[-2:])
    if isinstance(layer, nn.Linear):
        return linear_parameters(layer.in_features, layer.out_features, False) * prod(entered[:-1])
    return None


def _kind(layer: nn.Module, window: Window | None) -> str:
    if window is None:
        named = {nn.Linear: "linear", nn.BatchNorm1d: "batch norm", nn.BatchNorm2d: "batch norm"}
        return next((text for kind, text in named.items() if isinstance(layer, kind)), type(layer).__name__)
    parts = [f"{window.name} {show(_pair(window.kernel_size))}"]
    usual = {"stride": 1 if isinstance(layer, nn.Conv2d) else window.kernel_size, "padding": 0, "dilation": 1}
    for key, default in usual.items():
        value = getattr(window, key)
        if isinstance(value, str):
            parts.append(f"{key} {value}")
        elif _pair(value) != _pair(default):
            parts.append(f"{key} {show(value if len(set(_pair(value))) > 1 else _pair(value)[0])}")
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        parts.append(f"groups {layer.groups}")
    return ", ".join(parts)

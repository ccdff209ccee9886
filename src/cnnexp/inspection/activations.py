"""The outputs of a network's layers for an image, recorded by forward hooks that are removed afterwards."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cnnexp.errors import CnnexpError
from cnnexp.inspection.layers import choose_layers, layers_of, watched


def record_activations(model: nn.Module, images: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Return the outputs of layers for a batch of images; the network stays as it was.

    Args:
        model: the network; it runs in eval mode and without gradients.
        images: as the network takes them: floats of shape (batch, channels, height, width).
        layers: names as in the state dict, such as "layers.0"; all convolutions when None.

    Returns:
        For each layer its output, (batch, channels, height, width) for a convolution: before the activation
        function after it, with a copy's own memory, so that an in-place one doesn't change it.

    Raises:
        CnnexpError: for an unknown name, a network without convolutions, or a layer that is never called itself.
    """
    chosen = choose_layers(model, convolutions(model) if layers is None else layers)
    outputs: dict[str, Tensor] = {}

    def keep(name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise CnnexpError(f"the output of {name} is a {type(output).__name__}; name one of the layers in it")
        outputs[name] = output.detach().clone()

    with watched(model, chosen, keep), torch.no_grad():
        model(images)
    for name in chosen:
        if name not in outputs:
            raise CnnexpError(f"the network never calls {name} itself; name one of the layers in it")
    return {name: outputs[name] for name in chosen}


def convolutions(model: nn.Module) -> list[str]:
    """Return the names of a network's convolutions.

    Raises:
        CnnexpError: where it has none; the message names its linear layers.
    """
    names = layers_of(model, nn.Conv2d)
    if not names:
        linear = layers_of(model, nn.Linear)
        raise CnnexpError(
            f"{type(model).__name__} has no convolution to look at; name layers yourself: its linear ones are "
            f"{', '.join(linear)}, so type task.layer=[{','.join(linear)}]"
        )
    return names


def strongest_channels(activation: Tensor, count: int | None) -> list[int]:
    """Return the channels of the largest mean activation over the image, negative values counted as 0.

    ReLU stops what lies below 0, and all common activation functions but tanh nearly do. The strongest channel
    comes first.

    Args:
        activation: one image's, shape (channels, height, width) or (features,).
        count: how many; all of them, in their own order, when None.
    """
    if count is None:
        return list(range(len(activation)))
    means = activation.clamp(min=0).flatten(1).mean(1) if activation.dim() > 1 else activation.clamp(min=0)
    return means.argsort(descending=True, stable=True)[:count].tolist()

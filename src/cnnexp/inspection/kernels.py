"""The weights of a network's first layer, in the image's shape."""

from math import prod

from torch import Tensor, nn

from cnnexp.errors import CnnexpError
from cnnexp.inspection.layers import named_layers
from cnnexp.models.shapes import show


def first_kernels(model: nn.Module) -> tuple[str, Tensor]:
    """Return the name and the weights of the first layer, of shape (kernels, channels, height, width).

    The kernels of a first convolution; or, of a first linear layer, each output's weights laid out as the
    image whose pixels they weigh (``model.image_shape``).

    Raises:
        CnnexpError: where the first layer with weights is of another kind, or doesn't take the pixels themselves.
    """
    for name, layer in named_layers(model).items():
        if isinstance(layer, nn.Conv2d):
            return name, layer.weight.detach().clone()
        if isinstance(layer, nn.Linear):
            shape: tuple[int, ...] = tuple(model.image_shape)  # type: ignore[arg-type]
            if layer.in_features != prod(shape):
                raise CnnexpError(f"{name} takes {layer.in_features} numbers, which are no image's {show(shape)}")
            return name, layer.weight.detach().clone().view(-1, *shape)
        if list(layer.parameters(recurse=False)) and not list(layer.children()):
            raise CnnexpError(f"{name} ({type(layer).__name__}) comes before any convolution or linear layer")
    raise CnnexpError(f"{type(model).__name__} has no layer with weights")


def largest_kernels(kernels: Tensor, count: int | None) -> list[int]:
    """Return the numbers of the kernels of the largest Euclidean norm, the largest first; all in order if None."""
    if count is None or count >= len(kernels):
        return list(range(len(kernels)))
    return kernels.flatten(1).norm(dim=1).argsort(descending=True, stable=True)[:count].tolist()

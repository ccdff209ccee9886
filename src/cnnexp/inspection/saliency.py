"""Which parts of an image a class's score rests on."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnexp.errors import CnnexpError
from cnnexp.inspection.layers import choose_layers, evaluating, named_layers


def gradient_times_input(model: nn.Module, image: Tensor, label: int) -> Tensor:
    """Return how much each pixel adds to a class's logit, to first order: gradient × input, over the channels.

    Source: Shrikumar et al., 2016, arXiv:1605.01713. Positive speaks for the class, negative against it. A
    pixel that is 0 to the network (the mean, where images are normalized; else black) gets 0.

    Args:
        model: the network; it runs in eval mode and its gradients stay as they are.
        image: as the network takes it, shape (channels, height, width).
        label: of the class asked about.

    Returns:
        Shape (height, width).
    """
    batch = image.detach().clone().unsqueeze(0).requires_grad_()
    with evaluating(model), torch.enable_grad():
        logit = model(batch)[0, label]
        (gradient,) = torch.autograd.grad(logit, batch)
    return (gradient * batch).detach()[0].sum(0)


def grad_cam(model: nn.Module, image: Tensor, label: int, layer: str) -> Tensor:
    """Return Grad-CAM: the channels of a layer, weighted by the mean gradient of a class's logit, above 0.

    Source: Selvaraju et al., 2017, arXiv:1610.02391, equations 1 and 2.

    Args:
        model: the network; it runs in eval mode and its gradients stay as they are.
        image: as the network takes it, shape (channels, height, width).
        label: of the class asked about.
        layer: name of a layer whose output is a map; as a rule ``last_map``.

    Returns:
        Shape (height, width) of the layer's own map; ``enlarge`` makes it the image's.

    Raises:
        CnnexpError: for a layer that isn't there or whose output is no map.
    """
    chosen = choose_layers(model, [layer])[layer]
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        kept.append(output)
        # pass a copy on: an in-place ReLU would change the kept output
        return output.clone()

    handle = chosen.register_forward_hook(keep)
    try:
        # the image requires a gradient, so that there is one even where all weights are frozen
        with evaluating(model), torch.enable_grad():
            logit = model(image.detach().unsqueeze(0).requires_grad_())[0, label]
            if not kept or kept[0].dim() != 4:
                raise CnnexpError(
                    f"the output of {layer} is no map: Grad-CAM needs a convolution's, or a ReLU's after one"
                )
            (gradient,) = torch.autograd.grad(logit, kept[0])
    finally:
        handle.remove()
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * kept[0]).sum(1).clamp(min=0).detach()[0]


def last_map(model: nn.Module) -> str | None:
    """Return the name of the ReLU after the last convolution, or of that convolution where no ReLU follows.

    Negative outputs are 0 after that ReLU and have no part in the decision. None where nothing convolves.
    """
    found: str | None = None
    rectified = True
    for name, layer in named_layers(model).items():
        if isinstance(layer, nn.Linear):
            rectified = True
        elif isinstance(layer, nn.Conv2d):
            found, rectified = name, False
        elif isinstance(layer, nn.ReLU) and not rectified:
            found, rectified = name, True
    return found


def enlarge(heat: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return a (height, width) map resized to another (height, width), bilinearly."""
    return F.interpolate(heat[None, None], shape, mode="bilinear", align_corners=False)[0, 0]

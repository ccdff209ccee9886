"""Which parts of an image a class's score rests on."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnexp.errors import CnnexpError
from cnnexp.inspection.layers import choose_layers, is_activation, named_layers, watched
from cnnexp.models.eval_mode import evaluating


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

    Source: Selvaraju et al., 2017, arXiv:1610.02391, equations 1 and 2. Model, image and label are those of
    ``gradient_times_input``; the layer is one whose output is a map, as a rule ``last_map``. Its height and width
    are the result's; ``enlarge`` makes them the image's.

    Raises:
        CnnexpError: for a layer that isn't there or whose output is no map.
    """
    chosen = choose_layers(model, [layer])
    kept: list[Tensor] = []

    def keep(name: str, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        kept.append(output)
        # pass a copy on: an in-place ReLU would change the kept output
        return output.clone()

    with watched(model, chosen, keep), torch.enable_grad():
        # the image requires a gradient, so that there is one even where all weights are frozen
        logit = model(image.detach().unsqueeze(0).requires_grad_())[0, label]
        if not kept or kept[-1].dim() != 4:
            raise CnnexpError(f"the output of {layer} is no map: Grad-CAM needs a convolution's, or one after it")
        (gradient,) = torch.autograd.grad(logit, kept[-1])
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * kept[-1]).sum(1).clamp(min=0).detach()[0]


def last_map(model: nn.Module) -> str | None:
    """Return the layer whose output Grad-CAM weighs by default; None where no convolution is passed.

    That is the last convolution an image passes, or what its output becomes before it is pooled further: the
    activation function after it, or the block that it ends, whose output has the same height and width.

    Args:
        model: the network, with an ``image_shape``; a blank image is passed through it in eval mode.
    """
    passed: list[tuple[str, nn.Module, tuple[int, ...]]] = []

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        passed.append((name, module, tuple(getattr(output, "shape", ()))))

    shape: tuple[int, ...] = tuple(model.image_shape)  # type: ignore[arg-type]
    with watched(model, named_layers(model), note), torch.no_grad():
        model(torch.zeros(1, *shape, device=next(model.parameters()).device))
    found, channels, size = None, 0, shape[1:]
    for name, module, (_, *output) in (call for call in passed if len(call[2]) == 4):
        if isinstance(module, nn.Conv2d):
            channels = output[0]
        elif found is None or not (
            (is_activation(module) and output[0] == channels)
            or (list(module.children()) and tuple(output[1:]) == size)
        ):
            continue
        found, size = name, tuple(output[1:])
    return found


def enlarge(heat: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return a (height, width) map resized to another (height, width), bilinearly."""
    return F.interpolate(heat[None, None], shape, mode="bilinear", align_corners=False)[0, 0]

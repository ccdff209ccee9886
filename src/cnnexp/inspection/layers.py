"""The layers of a network by name and by kind."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import nn
from torchmetrics import Metric

from cnnexp.errors import CnnexpError
from cnnexp.models.eval_mode import evaluating
from cnnexp.models.metrics import LossAndAccuracy


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return every module but the loss and the metrics, by the name that its weights have in the state dict."""
    loss = getattr(model, "loss", None)
    kept_beside = {
        part
        for module in model.modules()
        if module is loss or isinstance(module, (LossAndAccuracy, Metric))
        for part in module.modules()
    }
    return {name: module for name, module in model.named_modules() if name and module not in kept_beside}


def layers_of(model: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> list[str]:
    """Return the names of all layers of a kind, in the order they were made."""
    return [name for name, module in named_layers(model).items() if isinstance(module, kind)]


def is_activation(module: nn.Module) -> bool:
    """Whether a layer is an activation function, such as ReLU: one of those that torch defines together."""
    return type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, nn.MultiheadAttention)


def choose_layers(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    """Return layers by their names.

    Raises:
        CnnexpError: for an unknown name; the message suggests the nearest one.
    """
    known = named_layers(model)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            leaves = [key for key, module in known.items() if not list(module.children())]
            raise CnnexpError(
                f"{type(model).__name__} has no layer {name!r}; {hint}Its layers: {', '.join(leaves)}"
            )
    return {name: known[name] for name in names}


@contextmanager
def watched(model: nn.Module, layers: Mapping[str, nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    """Call ``hook(name, layer, inputs, output)`` after each layer, in eval mode; then all is as before."""
    with evaluating(model), ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(layer.register_forward_hook(partial(hook, name)))
        yield

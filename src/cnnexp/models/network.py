"""Any network from elsewhere, a torchvision or timm model or a module of one's own, as a Classifier."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cnnexp.errors import CnnexpError, first_line
from cnnexp.models.classifier import Classes, Classifier, ImageShape
from cnnexp.models.eval_mode import evaluating
from cnnexp.models.shapes import show


class GreyToRGB(nn.Module):
    """The one channel of grey images, three times."""

    def forward(self, images: Tensor) -> Tensor:
        """Return images of shape (batch, 3, height, width) for those of shape (batch, 1, height, width)."""
        return images.expand(-1, 3, -1, -1)


class Network(Classifier):
    """Somebody else's network: any function or class that makes an ``nn.Module`` for a number of classes.

    The module takes float images of shape (batch, channels, height, width) and returns logits of shape
    (batch, classes). One blank image is passed through it as it is built, in eval mode. A module that
    doesn't take grey images is given their one channel three times, and the attribute ``grey_to_rgb`` then holds
    the layer that does so; elsewhere it is None.

    In a training batch of one image, which has no variance, batch norms over a single pixel normalise by their
    running statistics; torch would refuse the batch.

    Args:
        image_shape: (channels, height, width) of an image.
        classes: number of classes.
        network: called with the number of classes, such as ``torchvision.models.resnet18`` or
            ``functools.partial(MyModule, width=32)``. A checkpoint holds its name and its arguments. From those
            alone only torchvision's classification models are built again; to load another, give ``network``.
        classes_argument: the argument of ``network`` that is the number of classes.

    Raises:
        CnnexpError: where the module can't be built, doesn't take such images or returns something else; for
            arguments of ``network`` that a checkpoint can't hold; for a name without its function.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        classes: Classes,
        network: Callable[..., nn.Module] | Mapping[str, Any],
        classes_argument: str = "num_classes",
    ) -> None:
        super().__init__(image_shape, classes)
        factory = _torchvision_model(network) if isinstance(network, Mapping) else network
        # plain values, as a checkpoint holds them
        image_shape, network = list(image_shape), _plain_call(factory)
        self.save_hyperparameters()
        name = network["_target_"]
        try:
            self.network = factory(**{classes_argument: classes})
        except (TypeError, ValueError) as error:
            hint = "; name the argument for the number of classes: model.classes_argument=…, not "
            hint = hint + classes_argument if classes_argument in str(error) else ""
            raise CnnexpError(f"{name} can't be built for {classes} classes: {first_line(error)}{hint}") from error
        if not isinstance(self.network, nn.Module):
            raise CnnexpError(f"{name} returns a {type(self.network).__name__}, not a torch.nn.Module")
        self.grey_to_rgb: GreyToRGB | None = None
        wrong = self._try()
        if wrong and image_shape[0] == 1:
            self.grey_to_rgb = GreyToRGB()
            wrong = (other := self._try()) and f"{wrong}; with grey repeated to three channels: {other}"
        if wrong:
            raise CnnexpError(
                f"{name} takes no images of {show(self.image_shape)}: {wrong}.\n"
                "If it needs larger ones, choose other data, or data.image_size=…; if its number of classes isn't "
                f"{classes_argument}, name what is: model.classes_argument=…"
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes), of images of shape (batch, *image_shape)."""
        if self.grey_to_rgb is not None:
            images = self.grey_to_rgb(images)
        alone = self._one_value if self.training and len(images) == 1 else []
        for norm in alone:
            norm.training = False
        logits = self.network(images)
        for norm in alone:
            norm.training = True
        if not isinstance(logits, Tensor):
            raise CnnexpError(
                f"the network returns a {type(logits).__name__} instead of logits; switch off what it adds to "
                "them, in torchvision's models by model.network.aux_logits=false"
            )
        return logits

    def _try(self) -> str:
        """Pass a blank image through the module; return what is wrong with it or its answer, or ""."""
        self._one_value: list[nn.Module] = []

        def note(norm: Any, inputs: Any, output: Tensor) -> None:
            if output.numel() == norm.num_features:
                self._one_value.append(norm)

        norms = [module for module in self.network.modules() if isinstance(module, _BatchNorm)]
        device = next((parameter.device for parameter in self.network.parameters()), None)
        image = torch.zeros(1, *self.image_shape, device=device)
        try:
            # what a module draws at random on the way changes nothing that comes after
            with ExitStack() as hooks, evaluating(self), torch.no_grad(), torch.random.fork_rng(devices=[]):
                for norm in norms:
                    hooks.enter_context(norm.register_forward_hook(note))
                logits = self(image)
        except CnnexpError:
            raise
        except Exception as error:  # whatever somebody's module may raise
            return first_line(error).rstrip(".")
        if tuple(logits.shape) == (1, self.classes):
            return ""
        return f"it makes {tuple(logits.shape)} of one, not (1, {self.classes}), a logit for each class"


def _plain_call(factory: Callable[..., nn.Module]) -> dict[str, Any]:
    """Return a function and the arguments set for it as a checkpoint holds them: {"_target_": name, …}."""
    call = factory if isinstance(factory, partial) else partial(factory)
    function = call.func
    if call.args:
        raise CnnexpError(f"network: give the arguments of {function} by name, so that a checkpoint can hold them")
    name = getattr(function, "__qualname__", type(function).__qualname__)
    arguments = {key: _plain(key, value) for key, value in call.keywords.items()}
    return {"_target_": f"{function.__module__}.{name}", **arguments}


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(key, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(key, entry) for entry in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise CnnexpError(
        f"network: {key}={value!r} can't be held by a checkpoint, which takes numbers, strings, lists and dicts; "
        f"write a function that fixes {key}, and name that as the network"
    )


def _torchvision_model(call: Mapping[str, Any]) -> Callable[..., nn.Module]:
    """Return the torchvision model that a checkpoint names; nothing else is looked up, imported or called."""
    from torchvision import models

    arguments = dict(call)
    target = arguments.pop("_target_", None)
    name = str(target).rpartition(".")[2]
    if name in models.list_models(module=models) and arguments.get("weights") is None:
        builder = models.get_model_builder(name)
        if target in (f"torchvision.models.{name}", f"{builder.__module__}.{name}"):
            return partial(builder, **arguments)
    raise CnnexpError(
        f"the checkpoint only names its network, {target}; give it too: load_from_checkpoint(…, network=…)"
    )

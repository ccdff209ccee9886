"""The network of ``airbench94_muon.py`` in KellerJordan/cifar10-airbench: it learns CIFAR-10 in a few epochs."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from cnnexp.errors import CnnexpError
from cnnexp.models.classifier import Classes, Classifier, ImageShape
from cnnexp.models.shapes import Window, stack_output_shape

WHITENING_IMAGES = 5000
WHITENING_SIDE = 2
"""Side of the patches that the first convolution whitens, in pixels."""


class Airbench(Classifier):
    """A whitening 2×2 convolution, groups of two 3×3 convolutions, and a linear layer without bias.

    A group is convolution, max-pooling by 2, batch norm, GELU, convolution, batch norm, GELU. The batch norms
    have no scale that learns and follow the last batches closely. A max-pooling over what is left of the
    image and the linear layer end the network; the logits are divided by the number of channels. The
    convolutions of the groups begin as the identity, as far as they can (``torch.nn.init.dirac_``).

    The filters of the first convolution don't learn: they are the principal components of 2×2 patches of the
    training images, each scaled to unit variance, and their negatives. ``fit`` finds them in its data module
    before the first epoch, once: a checkpoint has them. Where there is no data module, call ``whiten``.

    Source: ``airbench94_muon.py`` of KellerJordan/cifar10-airbench (MIT); K. Jordan, 94% on CIFAR-10 in 3.29
    seconds on a single GPU, 2024, arXiv:2404.00498.

    Args:
        image_shape: (channels, height, width) of an image; with three groups 9×9 at least.
        classes: number of classes.
        channels: output channels of the groups, as many as there are entries.
        whitening_bias_epochs: epochs in which the bias of the first convolution learns; without it, the first
            layers need no backward pass. On several devices it learns to the end.

    Raises:
        CnnexpError: for images of which the poolings leave nothing.
    """

    whitened: Tensor

    def __init__(
        self,
        image_shape: ImageShape,
        classes: Classes,
        channels: Annotated[Sequence[Annotated[int, Ge(1)]], MinLen(1)] = (64, 256, 256),
        whitening_bias_epochs: Annotated[int, Ge(0)] = 3,
    ) -> None:
        super().__init__(image_shape, classes)
        # as lists, whatever sequences came: a checkpoint holds plain values only
        image_shape, channels = list(image_shape), list(channels)
        self.save_hyperparameters()
        self.whitening_bias_epochs = whitening_bias_epochs

        in_channels, *shape = image_shape
        same = Window("convolution", 3, padding=1)
        group = [same, Window("max-pool", 2, 2), same]
        left = stack_output_shape(shape, [Window("convolution", WHITENING_SIDE), *group * len(channels)])

        out_channels = 2 * in_channels * WHITENING_SIDE**2
        self.whitening = nn.Conv2d(in_channels, out_channels, WHITENING_SIDE)
        self.whitening.weight.requires_grad = False
        self.register_buffer("whitened", torch.tensor(False))  # in checkpoints, so that it happens once
        layers: list[nn.Module] = [nn.GELU()]
        for width in channels:
            layers += [_convolution(out_channels, width), nn.MaxPool2d(2), _batch_norm(width), nn.GELU()]
            layers += [_convolution(width, width), _batch_norm(width), nn.GELU()]
            out_channels = width
        self.layers = nn.Sequential(*layers, nn.MaxPool2d(left), nn.Flatten())
        self.head = nn.Linear(out_channels, classes, bias=False)
        nn.init.uniform_(self.head.weight, -(3**0.5), 3**0.5)  # of standard deviation 1
        for part in (self.whitening, self.layers):
            part.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes), of images of shape (batch, *image_shape)."""
        return self.head(self.layers(self.whitening(images))) / self.head.in_features

    @torch.no_grad()
    def whiten(self, images: Tensor, eps: float = 5e-4) -> None:
        """Take the filters of the first convolution from images such as it will be given.

        Args:
            images: floats, shape (images, *image_shape).
            eps: added to the variances, so that components without any aren't blown up.
        """
        values = self.whitening.weight[0].numel()
        covariance, patches = torch.zeros(values, values, dtype=torch.float64, device=images.device), 0
        for part in images.float().split(500):
            # (values of a patch, patches)
            columns = F.unfold(part, WHITENING_SIDE).transpose(0, 1).flatten(1).double()
            covariance += columns @ columns.T
            patches += columns.shape[1]
        variances, components = torch.linalg.eigh((covariance / patches).cpu())
        filters = (components / (variances + eps).sqrt()).T.reshape(-1, *self.whitening.weight.shape[1:])
        self.whitening.weight.copy_(torch.cat([filters, -filters]))
        self.whitened.fill_(True)

    def setup(self, stage: str) -> None:
        """Let the bias of the first convolution learn, before the optimizer is given the parameters."""
        super().setup(stage)
        self._let_bias_learn(self.whitening_bias_epochs > 0)

    def on_fit_start(self) -> None:
        """Whiten, unless that has been done: weights from a checkpoint are in place by now."""
        if self.whitened:
            return
        sample = getattr(getattr(self.trainer, "datamodule", None), "training_images", None)
        if sample is None:
            raise CnnexpError(
                "Airbench takes its first filters from the training images: fit it with datamodule="
                "ImageDataModule(…), or call whiten(images) first"
            )
        self.whiten(sample(WHITENING_IMAGES).to(self.device))

    def on_train_epoch_start(self) -> None:
        """Stop the bias of the first convolution when its epochs are over."""
        super().on_train_epoch_start()
        # several devices wait for the gradient of every parameter that learned when they began
        if self.trainer.world_size == 1:
            self._let_bias_learn(self.current_epoch < self.whitening_bias_epochs)

    def on_train_start(self) -> None:
        """Decide whether the bias learns in an epoch that is gone on with, of which no start is announced."""
        super().on_train_start()
        if self.trainer.world_size == 1:
            self._let_bias_learn(self.current_epoch < self.whitening_bias_epochs)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """On several devices, leave the bias out of the step instead."""
        if self.trainer.world_size > 1 and self.current_epoch >= self.whitening_bias_epochs:
            assert self.whitening.bias is not None
            self.whitening.bias.grad = None

    def _let_bias_learn(self, learns: bool) -> None:
        assert self.whitening.bias is not None
        self.whitening.bias.requires_grad_(learns)


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    with torch.no_grad():
        # the first of the filters pass the channels on, the others begin at random
        nn.init.dirac_(convolution.weight[:in_channels])
    return convolution


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad = False
    return norm

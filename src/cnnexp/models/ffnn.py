"""A feed-forward network: linear layers over the image's pixels."""

from collections.abc import Sequence
from math import prod
from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from cnnexp.models.activations import Activation, Init, activation_layer, initialise
from cnnexp.models.classifier import Classes, Classifier, Fraction, ImageShape


class FFNN(Classifier):
    """Linear layers with activations between: 32, 64, 128 and 64 wide unless told otherwise, then the classes.

    44,458 parameters for images of (1, 28, 28) and 10 classes, 117,674 for (3, 32, 32).

    Args:
        image_shape: (channels, height, width) of an image; all its numbers are the first layer's inputs.
        classes: number of classes.
        hidden: widths of the hidden layers; none of them makes a linear classifier.
        dropout: share of the activations dropped after each hidden layer, or before the only layer.
        batch_norm: normalise each hidden layer over the batch before its activation function (Ioffe & Szegedy,
            arXiv:1502.03167).
        activation: the function after each hidden layer.
        init: the weights to begin with, see ``cnnexp.models.activations.initialise``.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        classes: Classes,
        hidden: Sequence[Annotated[int, Ge(1)]] = (32, 64, 128, 64),
        dropout: Fraction = 0.0,
        batch_norm: bool = False,
        activation: Activation = "relu",
        init: Init = "default",
    ) -> None:
        super().__init__(image_shape, classes)
        # as lists, whatever sequences came: a checkpoint holds plain values only
        image_shape, hidden = list(image_shape), list(hidden)
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Flatten(), *linear_layers(prod(image_shape), hidden, classes, dropout, batch_norm, activation)
        )
        initialise(self.layers, init, activation)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes), of images of shape (batch, *image_shape)."""
        return self.layers(images)


def linear_layers(
    in_features: int,
    hidden: Sequence[int],
    classes: int,
    dropout: float = 0.0,
    batch_norm: bool = False,
    activation: Activation = "relu",
) -> list[nn.Module]:
    """Return linear layers with activations between, batch norm before those and dropout after where wanted."""
    layers: list[nn.Module] = [nn.Dropout(dropout)] if dropout and not hidden else []
    for width in hidden:
        # the normalisation takes the mean away, and a bias with it
        layers.append(nn.Linear(in_features, width, bias=not batch_norm))
        if batch_norm:
            layers.append(BatchNorm1d(width))
        layers.append(activation_layer(activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
        in_features = width
    return [*layers, nn.Linear(in_features, classes)]


class BatchNorm1d(nn.BatchNorm1d):
    """torch's, but a training batch of one image is normalised by the running statistics.

    One image has no variance and torch refuses it, which would end a run whenever the last batch of an epoch
    holds a single image.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return features of shape (batch, features), normalised."""
        if self.training and len(features) == 1:
            return F.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(features)

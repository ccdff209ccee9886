"""A network of one's own: layers and a forward; training, metrics and history come from cnnexp.Classifier.

    python examples/own_network.py

98 % of the digits, which come with scikit-learn, after five epochs: seconds on two CPU cores. By the command, in
examples/: `python -m cnnexp model=own model._target_=own_network.Residual optimizer.lr=0.01 scheduler=onecycle`
"""

from functools import partial

import lightning as L
import torch
from torch import Tensor, nn

from cnnexp import Classifier, ImageDataModule
from cnnexp.training.schedules import onecycle


def convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3×3 convolution that keeps the image's size, and its batch norm."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out_channels))


class Block(nn.Module):
    """Two 3×3 convolutions whose output is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = convolution(width, width), convolution(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the shape they came in."""
        return (maps + self.second(self.first(maps).relu())).relu()


class Residual(Classifier):
    """A convolution, residual blocks with pooling before each, the mean of each map, one linear layer."""

    def __init__(self, image_shape: list[int], classes: int, width: int = 16, blocks: int = 3) -> None:
        super().__init__(image_shape, classes)
        self.save_hyperparameters()
        body = [layer for _ in range(blocks) for layer in (nn.MaxPool2d(2), Block(width))]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
        self.layers = nn.Sequential(convolution(image_shape[0], width), nn.ReLU(), *body, *head)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes)."""
        return self.layers(images)


if __name__ == "__main__":
    L.seed_everything(0)
    data = ImageDataModule("digits", batch_size=32)
    adam = partial(torch.optim.Adam, lr=0.01)
    model = Residual(list(data.image_shape), data.classes).train_with(optimizer=adam, scheduler=onecycle)
    trainer = L.Trainer(max_epochs=5, logger=False, enable_checkpointing=False)
    trainer.fit(model, data)
    trainer.test(model, data)

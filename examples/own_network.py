"""A network of one's own: layers and a forward; training, metrics and history come from cnnexp.Classifier.

    python examples/own_network.py --epochs 5

A small residual network that averages its last maps, so that its size doesn't depend on the image's. About
twenty seconds on two CPU cores, on digits, which come with scikit-learn.
"""

import argparse

import lightning as L
from torch import Tensor, nn

from cnnexp import Classifier, ImageDataModule
from cnnexp.inspection.summary import summarize


class Block(nn.Module):
    """Two 3×3 convolutions whose output is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the shape they came in."""
        return (maps + self.second(self.first(maps).relu())).relu()


class Residual(Classifier):
    """A convolution, residual blocks with pooling between, the mean of each map, one linear layer."""

    def __init__(self, image_shape: list[int], classes: int, width: int = 16, blocks: int = 2) -> None:
        super().__init__(image_shape, classes)
        self.save_hyperparameters()
        body = [layer for _ in range(blocks) for layer in (Block(width), nn.MaxPool2d(2))]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
        self.layers = nn.Sequential(nn.Conv2d(image_shape[0], width, 3, padding=1), nn.ReLU(), *body, *head)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes)."""
        return self.layers(images)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--epochs", type=int, default=5)
    data = ImageDataModule("digits", batch_size=32)
    model = Residual(list(data.image_shape), data.classes)
    for layer in summarize(model):
        print(f"{layer.name:20} {layer.kind:30} {layer.output_shape!s:16} {layer.formula or ''}")
    trainer = L.Trainer(max_epochs=arguments.parse_args().epochs, logger=False, enable_checkpointing=False)
    trainer.fit(model, data)
    trainer.test(model, data)

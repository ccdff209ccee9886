"""Train a CNN with a plain Lightning Trainer and draw its curves.

    python examples/train_and_draw.py --epochs 5

On digits it takes about ten seconds on two CPU cores and downloads nothing; `--data mnist` takes minutes. Loss and
accuracy of training (clean and running) and of validation go to curves.png, one line an epoch to the terminal.
"""

import argparse
from pathlib import Path

import lightning as L

from cnnexp import CNN, ImageDataModule
from cnnexp.reports.curves import draw_curves
from cnnexp.reports.figures import png


def main() -> None:
    """Train, say how it went, draw."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", default="digits", help="digits, mnist, fashion_mnist, cifar10 or cifar100")
    arguments.add_argument("--epochs", type=int, default=5)
    arguments.add_argument("--out", type=Path, default=Path("curves.png"))
    given = arguments.parse_args()

    L.seed_everything(0)
    data = ImageDataModule(given.data, batch_size=32)
    model = CNN(data.image_shape, data.classes, channels=[16, 32], hidden=[64], dropout=0.2)
    trainer = L.Trainer(max_epochs=given.epochs, logger=False, enable_checkpointing=False)
    trainer.fit(model, data)
    trainer.test(model, data)

    for row in model.history:
        print(
            f"epoch {row['epoch']}: training {row['train_accuracy']:.1%} (running {row['running_accuracy']:.1%}), "
            f"validation {row['val_accuracy']:.1%}"
        )
    given.out.write_bytes(
        png(draw_curves(model.history, f"CNN on {given.data}, {model.parameter_count:,} parameters"))
    )
    print(given.out)


if __name__ == "__main__":
    main()

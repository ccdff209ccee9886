"""One contender, one setting, one process: prints a line of JSON with its seconds, its memory and its weights."""

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.yardsticks import Measured, notebook, tuned
from cnnexp.seeds import mix

LR = 1e-3
CONTENDERS = ("notebook", "tuned", "cnnexp")


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("--model", choices=("cnn", "ffnn", "vgg16"), required=True)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--root", default="data")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--steps", type=int, help="steps of an epoch; all when not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", type=float, default=2.0, help="stop at this test accuracy; tests each epoch")
    a = parser.parse_args()
    measured, weights = (cnnexp_run if a.contender == "cnnexp" else loop)(a)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "seconds": measured.seconds,
                "evaluation": measured.evaluation,
                "accuracy": measured.accuracy,
                "weights": weights,
                "peak_mib": peak,
                "device_peak_mib": torch.cuda.max_memory_allocated() / 2**20
                if torch.cuda.is_available()
                else None,
            }
        )
    )


def loop(a: argparse.Namespace) -> tuple[Measured, str]:
    """Run a yardstick on cnnexp's own network and split, so that the arithmetic is the same."""
    from cnnexp.data.datamodule import ImageDataModule

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = ImageDataModule(
        a.data, a.root, batch_size=a.batch_size, validation="test", normalize=False, seed=a.seed
    )
    images, labels, order = training_set(data, a.seed)
    net = network(a, data)
    common = {
        "batch_size": a.batch_size, "epochs": a.epochs, "steps": a.steps, "order": order, "device": device,
        "precision": a.precision, "lr": LR,
    }  # fmt: skip
    if a.contender == "tuned":
        measured = tuned(net, images, labels, **common)
    else:
        train, test = pixel_by_pixel(a)
        measured = notebook(net, train, test if a.until < 2 else None, **common, until=a.until)
    return measured, fingerprint(dict(net.named_parameters()))


def network(a: argparse.Namespace, data: object) -> nn.Module:
    """Return the network as plain layers, with the weights that the seed gives."""
    from cnnexp import CNN, FFNN, VGG16

    torch.manual_seed(a.seed)
    kind = {"cnn": CNN, "ffnn": FFNN, "vgg16": VGG16}[a.model]
    model = kind(image_shape=data.image_shape, classes=data.classes)  # type: ignore[attr-defined]
    # the layers alone, without the LightningModule around them; VGG16 has its own forward
    return model.layers if hasattr(model, "layers") else model


def training_set(data: object, seed: int) -> tuple[Tensor, Tensor, Callable[[int], Tensor]]:
    """Return the images, the labels, and the order in which cnnexp meets them."""
    loader = data.train_dataloader()  # type: ignore[attr-defined]
    source = data._source  # type: ignore[attr-defined]
    indices = loader._indices

    def order(epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(mix(seed, epoch))
        return indices[torch.randperm(len(indices), generator=generator)]

    return source.train_images, source.train_labels, order


def pixel_by_pixel(a: argparse.Namespace) -> tuple:
    """Return the data as course notebooks read them: torchvision's, ``ToTensor`` on each image."""
    from torchvision import datasets
    from torchvision.transforms import ToTensor

    kinds = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}
    kind = kinds[a.data]
    return tuple(kind(a.root, train=part, transform=ToTensor()) for part in (True, False))


def cnnexp_run(a: argparse.Namespace) -> tuple[Measured, str]:
    """Run the command with everything on: metrics, CSV, TensorBoard, checkpoints."""
    from cnnexp import load_run
    from cnnexp.app import run

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        limit = [] if a.steps is None else [f"trainer.limit_train_batches={a.steps}"]
        with contextlib.redirect_stdout(io.StringIO()):
            status = run(
                [
                    f"model={a.model}", f"data={a.data}", f"data.root={Path(a.root)}", f"seed={a.seed}",
                    f"data.batch_size={a.batch_size}", "data.normalize=false", "data.validation=test",
                    f"optimizer.lr={LR}", f"trainer.max_epochs={a.epochs}", f"trainer.precision={a.precision}",
                    "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "data.train_eval_size=1000",
                    *limit,
                ]
            )  # fmt: skip
        assert status == 0
        [done] = Path("outputs").glob("*/*")
        with (done / "metrics.csv").open() as file:
            seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        model = load_run(done, "last").model
    return Measured(seconds=seconds), fingerprint(dict(model.named_parameters()))


def fingerprint(parameters: dict[str, Tensor]) -> str:
    """Return a hash of all weights, in order, bit for bit."""
    digest = hashlib.sha256()
    for parameter in parameters.values():
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()

"""Small image-classification experiments on Lightning and Hydra.

The names below are what a notebook needs. They are imported when first used, so that the command line
answers ``--help`` without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnnexp.errors import CnnexpError
from cnnexp.version import __version__ as __version__

if TYPE_CHECKING:
    from cnnexp.data.datamodule import ImageDataModule as ImageDataModule
    from cnnexp.data.sets import Images as Images
    from cnnexp.job.load import load_run as load_run
    from cnnexp.models.airbench import Airbench as Airbench
    from cnnexp.models.classifier import Classifier as Classifier
    from cnnexp.models.cnn import CNN as CNN
    from cnnexp.models.ffnn import FFNN as FFNN
    from cnnexp.models.network import Network as Network
    from cnnexp.models.vgg16 import VGG16 as VGG16

_HOME = {
    "Airbench": "cnnexp.models.airbench",
    "CNN": "cnnexp.models.cnn",
    "Classifier": "cnnexp.models.classifier",
    "FFNN": "cnnexp.models.ffnn",
    "ImageDataModule": "cnnexp.data.datamodule",
    "Images": "cnnexp.data.sets",
    "Network": "cnnexp.models.network",
    "VGG16": "cnnexp.models.vgg16",
    "load_run": "cnnexp.job.load",
}

__all__ = [
    "CNN", "FFNN", "VGG16", "Airbench", "Classifier", "CnnexpError", "ImageDataModule", "Images", "Network",
    "__version__", "load_run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])

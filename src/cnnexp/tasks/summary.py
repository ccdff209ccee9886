"""``task=summary``: how big a network is, layer by layer, or how it grows with the image."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from hydra.utils import get_class
from omegaconf import OmegaConf

from cnnexp import contract
from cnnexp.command.recorded import read_record
from cnnexp.data.preprocessing import Preprocessing
from cnnexp.errors import CnnexpError
from cnnexp.inspection.scaling import SIDES, parameters_by_size
from cnnexp.inspection.summary import summarize
from cnnexp.job.build import build_data, build_model
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.job.load import checkpoint_path
from cnnexp.models.classifier import Classifier
from cnnexp.models.cnn import CNN
from cnnexp.models.ffnn import FFNN
from cnnexp.models.shapes import show
from cnnexp.models.vgg16 import VGG16
from cnnexp.reports.summary import draw_scaling, layer_table, scaling_table, write_layers, write_scaling
from cnnexp.reports.tables import shown

log = logging.getLogger(__name__)


def summary(job: Job, scaling: bool | Annotated[Sequence[Annotated[int, Ge(1)]], MinLen(2)] = False) -> None:
    """Show a network's layers: shapes, parameters by formula and by torch's count, multiply-adds.

    Nothing is computed and no weights are made: a network of any size takes no memory. The data are read only
    where their shape isn't known without (an image folder's).
    """
    image_shape, classes = _shape(job)
    if scaling is not False:
        _scaling(job, SIDES if scaling is True else tuple(scaling), image_shape[0], classes)
        return
    try:
        with torch.device("meta"):
            model = build_model(job.config, image_shape, classes)
    except NotImplementedError:  # it computes with tensors as it is built, as torchvision's regnets do
        model = build_model(job.config, image_shape, classes)
    layers = summarize(model)
    write_layers(layers, job.folder / "summary.csv")
    job.record(
        parameters=sum(layer.parameters for layer in layers),
        multiply_adds=sum(layer.multiply_adds or 0 for layer in layers),
    )
    log.info("%s for images of %s and %d classes", type(model).__name__, show(image_shape), classes)
    log.info("%s", layer_table(layers))
    log.info("files: %s", shown(job.folder))


def _shape(job: Job) -> tuple[tuple[int, int, int], int]:
    """Return (channels, height, width) and the number of classes, without reading the data where that can be."""
    config = job.config
    data = build_data(config)
    if (known := getattr(data, "known_shape", None)) is not None:
        return known
    if config.run is not None and read_record(Path(config.run))[0].data == config.data:
        try:
            recorded = Preprocessing.of_checkpoint(checkpoint_path(Path(config.run), config.checkpoint))
            return recorded.image_shape, len(recorded.class_names)
        except CnnexpError:  # a run that didn't come as far as a checkpoint
            pass
    data.prepare_data()
    data.setup("fit")
    return contract.image_shape(data), contract.classes(data)


def _scaling(job: Job, sides: Sequence[int], channels: int, classes: int) -> None:
    """Compare the three networks as they come, but the one that is chosen as it is set."""
    chosen = get_class(job.config.model._target_)
    makers: dict[str, Callable[[tuple[int, int, int]], Classifier]] = {
        kind.__name__: partial(kind, classes=classes) for kind in (CNN, FFNN, VGG16)
    }
    makers[chosen.__name__] = partial(build_model, job.config, classes=classes)
    growths = [parameters_by_size(name, make, sides, channels) for name, make in makers.items()]
    write_scaling(growths, job.folder / "scaling.csv")
    save_figures(job, {"scaling": draw_scaling(growths, channels)})
    settings: dict[str, Any] = OmegaConf.to_container(job.config.model)  # type: ignore[assignment]
    said = ", ".join(
        f"{key}={value}" for key, value in settings.items() if not key.startswith("_") and key != "loss"
    )
    log.info("%s with %s; the others as they come", chosen.__name__, said)
    log.info("%s", scaling_table(growths))
    log.info("growth: the slope of log parameters over log side n, in the upper half; n² is the number of pixels")
    log.info("files: %s", shown(job.folder))

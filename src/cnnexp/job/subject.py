"""What tasks that look inside a trained network share: the run, an image to look at, the untrained weights."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from cnnexp.contract import require_images
from cnnexp.data.preprocessing import Preprocessing
from cnnexp.errors import CnnexpError
from cnnexp.job.build import build_data, build_model
from cnnexp.job.job import Job
from cnnexp.job.load import LoadedRun, data_state, load_run
from cnnexp.models.classifier import Classifier


@dataclass(frozen=True)
class Subject:
    """An image to look at.

    Args:
        pixels: uint8, shape ``image_shape``.
        floats: as the network takes it, shape (1, *image_shape).
        title: where it comes from.
        label: its class; None for a photo.
    """

    pixels: Tensor
    floats: Tensor
    title: str
    label: int | None


def load_trained(job: Job) -> tuple[LoadedRun, Preprocessing]:
    """Return the run that ``run`` names, and the preprocessing that its checkpoint records."""
    loaded = load_run(job.config.run, job.config.checkpoint)
    return loaded, Preprocessing.of_state(data_state(loaded))


def untrained(loaded: LoadedRun) -> Classifier:
    """Return the run's network as it was before its first step: the weights are a function of the seed."""
    return cast(Classifier, build_model(loaded.settings, loaded.model.image_shape, loaded.model.classes).eval())


def choose_image(job: Job, preprocessing: Preprocessing, image: str | None, index: int | None) -> Subject:
    """Return a photo, or a test image by its number, the first when neither is given.

    Raises:
        CnnexpError: for both, a photo that can't be read, or a number that the test set doesn't have.
    """
    if image is not None:
        if index is not None:
            raise CnnexpError(
                "task.image= is an image of your own, task.index= one of the test set; give one of them"
            )
        pixels = preprocessing.load(image)
        return Subject(pixels, preprocessing(pixels[None]), image, None)
    data = build_data(job.config)
    require_images(data)
    if data.image_shape != preprocessing.image_shape:
        raise CnnexpError(
            f"the network takes images of {preprocessing.image_shape}, the data's are {data.image_shape}; "
            "give the data it was trained on, or a photo with task.image=…"
        )
    index = 0 if index is None else index
    labels = data.labels("test")
    if index >= len(labels):
        raise CnnexpError(f"task.index={index}: there are {len(labels)} test images, 0 to {len(labels) - 1}")
    label = int(labels[index])
    pixels = data.images("test", [index])[0]
    name = preprocessing.class_names[label]
    return Subject(pixels, preprocessing(pixels[None]), f"test image {index} ({name})", label)


def said_of(model: Classifier, subject: Subject, preprocessing: Preprocessing) -> tuple[str, Tensor]:
    """Return the class that a network takes an image for, with its probability, and all probabilities."""
    with torch.no_grad():
        probabilities = model(subject.floats).softmax(dim=1)[0]
    best = int(probabilities.argmax())
    return f"{preprocessing.class_names[best]} ({float(probabilities[best]):.1%})", probabilities

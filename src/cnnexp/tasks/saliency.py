"""``task=saliency``: which parts of an image the network's answer rests on."""

import csv
import logging
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from cnnexp.command.explain import nearest
from cnnexp.errors import CnnexpError
from cnnexp.inspection.saliency import enlarge, grad_cam, gradient_times_input, last_map
from cnnexp.job.build import quiet_lightning
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.job.subject import choose_image, load_trained, said_of
from cnnexp.models.classifier import Classifier
from cnnexp.models.shapes import show
from cnnexp.reports.columns import in_columns
from cnnexp.reports.saliency import Saliency, draw_saliency
from cnnexp.reports.tables import shown

log = logging.getLogger(__name__)


def saliency(
    job: Job,
    image: str | None = None,
    index: Annotated[int, Ge(0)] | None = None,
    target: str | int | None = None,
    layer: str | None = None,
) -> None:
    """Draw gradient × input and Grad-CAM for the class that the network takes an image for.

    For the right class too, where that is another one.

    Args:
        job: the settings and the folder.
        image: an image file; prepared as the images in training were.
        index: instead, the number of a test image.
        target: the class to ask about instead, by its name or its number.
        layer: of Grad-CAM; what the last convolution's output becomes before it is pooled, its activation or its
            block, when None. A network without convolutions has none.
    """
    quiet_lightning()
    loaded, preprocessing = load_trained(job)
    model, names = loaded.model, preprocessing.class_names
    subject = choose_image(job, preprocessing, image, index)
    said, probabilities = said_of(model, subject, preprocessing)
    if target is not None:
        labels = [_label(target, names)]
    else:
        labels = list(
            dict.fromkeys([int(probabilities.argmax()), *([] if subject.label is None else [subject.label])])
        )
    layer = layer or last_map(model)
    maps = [_maps(model, subject.floats[0], label, layer, names[label], probabilities) for label in labels]
    size = show(tuple(grad_cam(model, subject.floats[0], labels[0], layer).shape)) if layer else ""
    figure = draw_saliency(
        subject.pixels, maps, f"{type(model).__name__} on {subject.title}: taken for {said}",
        f"Grad-CAM, {layer} ({size})",
    )  # fmt: skip
    save_figures(job, {"saliency": figure})
    with (job.folder / "saliency.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class", "row", "column", "gradient_times_input", "grad_cam"])
        for label, found in zip(labels, maps, strict=True):
            for (row, column), value in _pixels(found.attribution):
                heat = "" if found.heat is None else f"{float(found.heat[row, column]):.7g}"
                writer.writerow([names[label], row, column, f"{value:.7g}", heat])
    log.info("%s: taken for %s", subject.title, said)
    rows = [["class", "probability", "pixels for", "pixels against"]]
    for label, found in zip(labels, maps, strict=True):
        values = found.attribution
        rows.append([
            names[label], f"{float(probabilities[label]):.2%}",
            f"{float(values.clamp(min=0).sum()):.3g}", f"{float(values.clamp(max=0).sum()):.3g}",
        ])  # fmt: skip
    log.info("%s", in_columns(rows, "lrrr"))
    log.info("pixels for and against: sums of gradient × input; files: %s", shown(job.folder))


def _maps(
    model: Classifier, pixels: Tensor, label: int, layer: str | None, name: str, probabilities: Tensor
) -> Saliency:
    height, width = pixels.shape[1:]
    heat = None if layer is None else enlarge(grad_cam(model, pixels, label, layer), (height, width))
    title = f"{name} ({float(probabilities[label]):.1%})"
    return Saliency(title, gradient_times_input(model, pixels, label), heat)


def _label(target: str | int, names: tuple[str, ...]) -> int:
    # a digit is its own class's name, and Hydra reads it as a number
    if str(target) in names:
        return names.index(str(target))
    if isinstance(target, int) and 0 <= target < len(names):
        return target
    raise CnnexpError(f"task.target={target}: there is no such class{nearest(str(target), names)}")


def _pixels(values: Tensor) -> list[tuple[tuple[int, int], float]]:
    height, width = values.shape
    return [((row, column), float(values[row, column])) for row in range(height) for column in range(width)]

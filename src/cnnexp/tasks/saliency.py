"""``task=saliency``: which parts of an image the network's answer rests on."""

import logging
from itertools import product
from typing import Annotated

from annotated_types import Ge

from cnnexp.command.explain import nearest
from cnnexp.errors import CnnexpError
from cnnexp.inspection.saliency import enlarge, grad_cam, gradient_times_input, last_map
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.job.subject import choose_image, load_trained, said_of
from cnnexp.models.shapes import show
from cnnexp.reports.saliency import Saliency, draw_saliency
from cnnexp.reports.tables import in_columns, shown, write_csv

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
    """
    loaded, preprocessing = load_trained(job)
    model, names = loaded.model, preprocessing.class_names
    subject = choose_image(job, preprocessing, image, index)
    said, probabilities = said_of(model, subject, preprocessing)
    asked = [int(probabilities.argmax()), subject.label] if target is None else [_label(target, names)]
    labels = [label for label in dict.fromkeys(asked) if label is not None]
    layer = layer or last_map(model)
    pixels = subject.floats[0]
    maps = [
        Saliency(
            f"{names[label]} ({float(probabilities[label]):.1%})",
            gradient_times_input(model, pixels, label),
            enlarge(grad_cam(model, pixels, label, layer), (pixels.shape[1], pixels.shape[2])) if layer else None,
        )
        for label in labels
    ]
    size = show(grad_cam(model, pixels, labels[0], layer).shape) if layer else ""
    title = f"{type(model).__name__} on {subject.title}: taken for {said}"
    save_figures(job, {"saliency": draw_saliency(subject.pixels, maps, title, f"Grad-CAM, {layer} ({size})")})
    write_csv(job.folder / "saliency.csv", [
        {
            "class": names[label], "row": row, "column": column,
            "gradient_times_input": f"{float(found.attribution[row, column]):.7g}",
            "grad_cam": "" if found.heat is None else f"{float(found.heat[row, column]):.7g}",
        }
        for label, found in zip(labels, maps, strict=True)
        for row, column in product(*map(range, found.attribution.shape))
    ])  # fmt: skip
    log.info("%s: taken for %s", subject.title, said)
    rows = [["class", "probability", "pixels for", "pixels against"]]
    for label, found in zip(labels, maps, strict=True):
        sums = (found.attribution.clamp(min=0).sum(), found.attribution.clamp(max=0).sum())
        rows.append([names[label], f"{probabilities[label]:.2%}", *(f"{float(value):.3g}" for value in sums)])
    log.info("%s", in_columns(rows, "lrrr"))
    log.info("pixels for and against: sums of gradient × input; files: %s", shown(job.folder))


def _label(target: str | int, names: tuple[str, ...]) -> int:
    # a digit is its own class's name, and Hydra reads it as a number
    if str(target) in names:
        return names.index(str(target))
    if isinstance(target, int) and 0 <= target < len(names):
        return target
    raise CnnexpError(f"task.target={target}: there is no such class{nearest(str(target), names)}")

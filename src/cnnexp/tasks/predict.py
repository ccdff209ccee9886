"""``task=predict``: what a run's network says of images of one's own."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from cnnexp.data.find_images import find_images
from cnnexp.data.preprocessing import Preprocessing
from cnnexp.data.unlike import COLOURED, FAR, why_unlike
from cnnexp.errors import CnnexpError
from cnnexp.job.build import build_trainer
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.job.subject import load_trained
from cnnexp.models.classifier import Classifier
from cnnexp.reports.figures import VAL
from cnnexp.reports.gallery import draw_gallery
from cnnexp.reports.tables import in_columns, shown, write_csv

log = logging.getLogger(__name__)

MOST_ROWS, MOST_SHOWN, MOST_NAMED = 40, 24, 5
"""Lines in the terminal, images in the figure, unreadable files in the warning; the files have all of them."""
_TOGETHER = 256  # images in memory


@dataclass(frozen=True)
class Prediction:
    """What a network says of a photo.

    Args:
        path: the file.
        image: as the network was given it but for its preparation: uint8, (channels, height, width).
        top: the likeliest classes with their probabilities, the likeliest first.
        warning: what sets the photo apart from the training images; "" where nothing does.
    """

    path: Path
    image: Tensor
    top: list[tuple[str, float]]
    warning: str


def predict(
    job: Job, images: str | Annotated[list[str], MinLen(1)], top: Annotated[int, Ge(1)] = 3, invert: bool = False
) -> None:
    """Classify images of one's own with the checkpoint that ``checkpoint`` names."""
    loaded, preprocessing = load_trained(job)
    paths = find_images(images)
    device = build_trainer(job.config, job.folder).strategy.root_device
    predictions, unreadable = _classify(loaded.model.to(device), preprocessing, paths, top, invert)
    job.record(
        images=len(predictions), unreadable=[*map(str, unreadable)], device=str(device),
        checkpoint=str(loaded.checkpoint),
    )  # fmt: skip
    if unreadable:
        for reason in list(unreadable.values())[:MOST_NAMED]:
            log.warning("skipped: %s", reason)
        more = f", {MOST_NAMED} of them named here" if len(unreadable) > MOST_NAMED else ""
        log.warning("%d of %d files can't be read%s", len(unreadable), len(paths), more)
    if not predictions:
        raise CnnexpError(f"none of the {len(paths)} files can be read as an image")
    write_csv(job.folder / "predictions.csv", list(map(_row, predictions)))
    some = predictions[:MOST_SHOWN]
    first = f", the first {len(some)}" if len(some) < len(predictions) else ""
    title = f"{job.choices['model']} trained on {job.choices['data']}: {len(predictions)} images{first}"
    figure = draw_gallery(
        torch.stack([prediction.image for prediction in some]), list(map(_caption, some)),
        f"{title}\nas the network sees them", colours=[VAL if one.warning else "black" for one in some],
    )  # fmt: skip
    save_figures(job, {"predictions": figure})
    log.info("%s\n%s", loaded.checkpoint, _table(predictions, preprocessing, invert))
    log.info("files: %s", shown(job.folder))


def _classify(
    model: Classifier, preprocessing: Preprocessing, paths: Sequence[Path], top: int, invert: bool
) -> tuple[list[Prediction], dict[Path, str]]:
    """Return a network's predictions for image files, on its device, and why other files can't be read."""
    predictions: list[Prediction] = []
    unreadable: dict[Path, str] = {}
    for start in range(0, len(paths), _TOGETHER):
        read: dict[Path, tuple[Tensor, str]] = {}
        for path in paths[start : start + _TOGETHER]:
            try:
                image = preprocessing.load(path)
                if invert:
                    image = 255 - image
                read[path] = image, why_unlike(path, image, preprocessing)
            except CnnexpError as error:
                unreadable[path] = str(error)
        if not read:
            continue
        batch = torch.stack([image for image, _ in read.values()])
        with torch.inference_mode():
            probabilities = model.eval()(preprocessing(batch.to(model.device))).softmax(1).cpu()
        best = probabilities.topk(min(top, len(preprocessing.class_names)))
        for (path, (image, warning)), values, labels in zip(
            read.items(), best.values.tolist(), best.indices.tolist(), strict=True
        ):
            named = [preprocessing.class_names[label] for label in labels]
            predictions.append(Prediction(path, image, list(zip(named, values, strict=True)), warning))
    return predictions, unreadable


def _row(prediction: Prediction) -> dict[str, Any]:
    row: dict[str, Any] = {"file": prediction.path}
    for place, (name, probability) in enumerate(prediction.top, start=1):
        row |= {f"class_{place}": name, f"probability_{place}": f"{probability:.6f}"}
    return {**row, "warning": prediction.warning}


def _caption(prediction: Prediction) -> str:
    name, probability = prediction.top[0]
    file = prediction.path.name
    file = file if len(file) <= 22 else f"{file[:10]}…{file[-11:]}"
    warning = prediction.warning.split(":")[0].split(",")[0]
    return f"{file}\n{name} {probability:.1%}" + (f"\n{warning}" if warning else "")


def _table(predictions: Sequence[Prediction], preprocessing: Preprocessing, inverted: bool) -> str:
    some = predictions[:MOST_ROWS]
    rows = []
    for one in some:
        named = [cell for name, probability in one.top for cell in (name, f"{probability:.2%}")]
        rows.append([str(one.path), *named, one.warning])
    lines = [in_columns(rows, f"l{'lr' * len(some[0].top)}l")]
    if len(some) < len(predictions):
        lines.append(f"… and {len(predictions) - len(some)} more, in predictions.csv")
    warned = sum(bool(prediction.warning) for prediction in predictions)
    if warned:
        lines.append(
            f"{warned} of {len(predictions)} are unlike the training images: don't trust them. The rules:"
        )
        if preprocessing.image_shape[0] == 1:
            lines.append(
                f"  in colour: trained on grey, and the channels differ by more than {COLOURED:.0f} of 255"
            )
        remedy = "" if inverted else "; task.invert=true takes the negatives"
        lines += [
            f"  brighter, darker: mean brightness over {FAR:.0f} standard deviations from the training images'",
            f"  inverted: the same, and its negative's isn't{remedy}",
        ]
    if preprocessing.brightness is None:
        lines.append("the checkpoint doesn't say how bright its training images were: not checked")
    return "\n".join(lines)

"""``task=mistakes``: what a run's network gets wrong on the test set."""

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge

from cnnexp.contract import class_names, require_images
from cnnexp.evaluation.intervals import wilson_interval
from cnnexp.evaluation.mistakes import (
    Calibration,
    accuracy_per_class,
    calibration,
    confusion_matrix,
    most_confident_mistakes,
    rates,
)
from cnnexp.evaluation.predictions import Predictions, predict_test
from cnnexp.job.build import build_trainer
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.job.load import load_for
from cnnexp.job.looks import count_looks
from cnnexp.reports.gallery import draw_gallery
from cnnexp.reports.mistakes import draw_calibration, draw_class_accuracy, draw_confusion
from cnnexp.reports.tables import INTERVAL, in_columns, shown, write_csv

log = logging.getLogger(__name__)

MOST_ROWS = 20
"""Classes in the terminal's table; the file has all of them."""


def mistakes(job: Job, images: Annotated[int, Ge(1)] = 24, bins: Annotated[int, Ge(2)] = 15) -> None:
    """Show a network's confusions, its accuracy class by class, its worst mistakes and its calibration."""
    loaded = load_for(job)
    require_images(loaded.data)
    names = class_names(loaded.data)
    predictions = predict_test(build_trainer(job.config, job.folder), loaded.model, loaded.data)
    matrix = confusion_matrix(predictions)
    rows = accuracy_per_class(matrix, names)
    measured = calibration(predictions, bins)
    title = f"{job.choices['model']} on {job.choices['data']}, {len(predictions.labels):,} test images"

    write_csv(job.folder / "accuracy_per_class.csv", rows)
    for file, table in (("confusion", matrix), ("confusion_rates", rates(matrix))):
        named = zip(names, table.tolist(), strict=True)
        lines = [{"true": name, **dict(zip(names, row, strict=True))} for name, row in named]
        write_csv(job.folder / f"{file}.csv", lines)
    figures = {
        "confusion": draw_confusion(matrix, names, title),
        "accuracy_per_class": draw_class_accuracy(rows, predictions.accuracy, title),
        "calibration": draw_calibration(measured, title),
    }
    wrong = _mistakes(predictions, names)
    write_csv(job.folder / "mistakes.csv", wrong, MISTAKE_COLUMNS)
    if worst := wrong[:images]:
        texts = [
            f"{row['class']}, taken for\n{row['predicted']} ({float(row['confidence']):.1%})" for row in worst
        ]
        heading = f"{title}: the {len(worst)} most confident of {len(wrong)} mistakes"
        shown_images = loaded.data.images("test", [row["index"] for row in worst])
        figures["mistakes"] = draw_gallery(shown_images, texts, heading)
    save_figures(job, figures)
    job.record(
        test_accuracy=predictions.accuracy, mistakes=len(wrong), expected_calibration_error=measured.error,
        calibration_error_by_chance=measured.by_chance[0], calibration_error_by_chance_95=measured.by_chance[1],
        mean_confidence=predictions.confidence.double().mean().item(),
        parameters=loaded.model.parameter_count, checkpoint=str(loaded.checkpoint),
    )  # fmt: skip
    count_looks(job, loaded.data, len(predictions.labels), predictions.accuracy)
    log.info("%s\n%s", loaded.checkpoint, _table(rows, predictions, measured))
    log.info("files: %s", shown(job.folder))


MISTAKE_COLUMNS = ("index", "class", "predicted", "confidence", "probability_of_class")


def _mistakes(predictions: Predictions, names: Sequence[str]) -> list[dict[str, Any]]:
    """Every mistake, the most confident first; the index is the image's place in the test set."""
    labels, predicted = predictions.labels.tolist(), predictions.predicted.tolist()
    return [
        {
            "index": index, "class": names[labels[index]], "predicted": names[predicted[index]],
            "confidence": f"{predictions.probabilities[index, predicted[index]]:.6f}",
            "probability_of_class": f"{predictions.probabilities[index, labels[index]]:.6f}",
        }
        for index in most_confident_mistakes(predictions, len(labels)).tolist()
    ]  # fmt: skip


def _table(rows: Sequence[Mapping[str, Any]], predictions: Predictions, measured: Calibration) -> str:
    right, count = int(predictions.correct.sum()), len(predictions.labels)
    low, high = wilson_interval(right, count)
    ranked = sorted((row for row in rows if row["images"]), key=lambda row: row["accuracy"])
    whole = {"class": "all", "images": count, "right": right, "accuracy": right / count, "low": low, "high": high}
    table = [["class", "images", "right", "accuracy", "95 % interval", "most often taken for"]]
    table += [
        [
            row["class"], f"{row['images']}", f"{row['right']}", f"{row['accuracy']:.2%}",
            INTERVAL.format_map(row), f"{row['mistaken_for']} ({row['times']})" if row.get("times") else "",
        ]
        for row in (*ranked[:MOST_ROWS], whole)
    ]  # fmt: skip
    lines = in_columns(table, "lrrrrl").splitlines()
    if len(ranked) > MOST_ROWS:
        left = len(ranked) - MOST_ROWS
        lines.insert(-1, f"… and {left} classes with a higher accuracy, in accuracy_per_class.csv")
    confidence = predictions.confidence.double().mean().item()
    tendency = "more sure than right" if confidence > right / count else "less sure than right"
    lines.append(
        f"expected calibration error {measured.error:.2%} ({len(measured.images)} bins); mean confidence "
        f"{confidence:.2%}: {tendency}"
    )
    chance, most = measured.by_chance
    within = "no larger than that" if measured.error <= most else "larger than that"
    lines.append(
        f"perfectly calibrated, {count:,} such answers would show {chance:.2%} by chance, and up to {most:.2%} in "
        f"95 % of draws: this error is {within}"
    )
    return "\n".join(lines)

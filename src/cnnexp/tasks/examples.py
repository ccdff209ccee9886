"""``task=examples``: one image of each class."""

import csv
import logging
from typing import Literal

import torch

from cnnexp.job.build import build_data
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.reports.columns import in_columns
from cnnexp.reports.examples import draw_examples
from cnnexp.reports.tables import shown

log = logging.getLogger(__name__)


def examples(job: Job, part: Literal["train", "val", "test"] = "train") -> None:
    """Draw one image of each class, and count the classes.

    The first of each class is taken: of the training images, whose order is drawn by the seed, another seed
    shows others; the test images have an order of their own.

    Args:
        job: the settings and the folder.
        part: which images.
    """
    data = build_data(job.config)
    labels = data.labels(part)
    first = [int((labels == label).nonzero()[0]) for label in range(data.classes)]
    figure = draw_examples(
        data.images(part, first),
        data.class_names,
        f"one image of each class of {job.choices['data']} ({part})",
    )
    save_figures(job, {"examples": figure})
    counts = {
        name: torch.bincount(data.labels(name), minlength=data.classes).tolist()
        for name in ("train", "val", "test")
    }
    header = ["label", "class", "shown", *counts]
    rows = [
        [str(label), data.class_names[label], str(first[label]), *(str(n[label]) for n in counts.values())]
        for label in range(data.classes)
    ]
    with (job.folder / "examples.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    log.info("%s", in_columns([header, *rows], "rlrrrr"))
    log.info("shown: the number of the image in %s; files: %s", part, shown(job.folder))

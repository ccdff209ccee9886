"""``task=examples``: one image of each class."""

import logging
from typing import Literal

import torch

from cnnexp.contract import require_images
from cnnexp.job.build import build_data
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.reports.gallery import draw_examples
from cnnexp.reports.tables import in_columns, shown, write_csv

log = logging.getLogger(__name__)


def examples(job: Job, part: Literal["train", "val", "test"] = "train") -> None:
    """Draw one image of each class, and count the classes.

    The first of each class is taken: of the training images, whose order is drawn by the seed, another seed
    shows others; the test images have an order of their own.
    """
    data = build_data(job.config)
    require_images(data)
    labels = data.labels(part)
    first = [int((labels == label).nonzero()[0]) for label in range(data.classes)]
    title = f"one image of each class of {job.choices['data']} ({part})"
    save_figures(job, {"examples": draw_examples(data.images(part, first), data.class_names, title)})
    counts = {
        name: torch.bincount(data.labels(name), minlength=data.classes).tolist()
        for name in ("train", "val", "test")
    }
    rows = [
        {"label": label, "class": name, "shown": first[label], **{part: n[label] for part, n in counts.items()}}
        for label, name in enumerate(data.class_names)
    ]
    write_csv(job.folder / "examples.csv", rows)
    log.info("%s", in_columns([list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)], "rlrrrr"))
    log.info("shown: the number of the image in %s; files: %s", part, shown(job.folder))

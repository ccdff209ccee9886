"""``task=batch_size_find``: the batch size that trains fastest, and the largest that fits."""

import logging
from typing import Annotated

from annotated_types import Ge

from cnnexp.command.typed import command_with
from cnnexp.errors import CnnexpError
from cnnexp.job.build import build_data, build_model, build_trainer
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.job.rehearse import rehearse
from cnnexp.reports.tables import in_columns, shown, write_csv
from cnnexp.reports.tuning import draw_batch_sizes
from cnnexp.training.batch_sizes import StepTimer, scale_batch_size

log = logging.getLogger(__name__)

NEARLY = 0.95
"""Share of the highest speed from which a smaller batch is as good: it takes more steps an epoch."""


def batch_size_find(
    job: Job,
    smallest: Annotated[int, Ge(1)] = 8,
    largest: Annotated[int, Ge(1)] = 4096,
    steps: Annotated[int, Ge(2)] = 10,
) -> None:
    """Double the batch size until the memory is full, time each, and suggest one."""
    if smallest > largest:
        raise CnnexpError(f"task.smallest={smallest} must not be above task.largest={largest}")
    config = job.config
    rehearse(config)
    config.trainer.update(max_epochs=-1, max_time=None, check_val_every_n_epoch=10**9, val_check_interval=None)
    config.trainer.profiler = None  # the timer takes its place
    trainer = build_trainer(config, job.folder)
    if trainer.world_size > 1:
        raise CnnexpError("the batch size is found on one device; type trainer.devices=1 trainer.num_nodes=1")
    data = build_data(config)
    trainer.profiler = timer = StepTimer(data)  # type: ignore[attr-defined]
    data.prepare_data()
    data.setup("fit")
    model = build_model(config, data.image_shape, data.classes, scheduled=False)
    rows = scale_batch_size(trainer, model, data, timer, smallest, largest, steps)
    if not rows:
        raise CnnexpError(
            f"not even batches of {smallest} fit into the memory; type task.smallest=1, or take a smaller network"
        )
    write_csv(job.folder / "batch_size_find.csv", rows)
    best = max(row["samples_per_second"] for row in rows)
    fastest = next(row["batch_size"] for row in rows if row["samples_per_second"] >= NEARLY * best)
    device = str(trainer.strategy.root_device)
    title = f"{job.choices['model']} on {job.choices['data']}, {device}, precision {config.trainer.precision}"
    save_figures(job, {"batch_size_find": draw_batch_sizes(rows, fastest, title)})
    job.record(suggestion=fastest, largest=rows[-1]["batch_size"], device=device)
    cells = [
        [f"{row['batch_size']}", f"{1000 * row['seconds_per_step']:.2f}", f"{row['samples_per_second']:,.0f}"]
        for row in rows
    ]
    log.info("%s", in_columns([["batch size", "ms a step", "images a second"], *cells], "rrr"))
    log.info(
        "the largest that fits (up to %d): %d; the smallest within %.0f %% of the highest speed: %d",
        min(largest, data.sizes["train"]), rows[-1]["batch_size"], 100 * (1 - NEARLY), fastest,
    )  # fmt: skip
    log.info("%s", command_with(f"data.batch_size={fastest}"))
    then = command_with("task=lr_find", f"data.batch_size={fastest}")
    log.info("another batch size wants another learning rate: %s", then)
    log.info("files: %s", shown(job.folder))

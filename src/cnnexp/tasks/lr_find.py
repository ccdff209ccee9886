"""``task=lr_find``: a learning rate to begin with, from a range test."""

import logging
from typing import Annotated

from annotated_types import Ge, Gt

from cnnexp.command.typed import command_with
from cnnexp.errors import CnnexpError
from cnnexp.job.build import build_data, build_model, build_trainer
from cnnexp.job.figures import save_figures
from cnnexp.job.job import Job
from cnnexp.job.rehearse import rehearse
from cnnexp.reports.tables import shown, write_csv
from cnnexp.reports.tuning import draw_range_test
from cnnexp.training.lr_range import lr_range_test

log = logging.getLogger(__name__)


def lr_find(
    job: Job,
    min_lr: Annotated[float, Gt(0)] = 1e-6,
    max_lr: Annotated[float, Gt(0)] = 1.0,
    steps: Annotated[int, Ge(20)] = 100,
) -> None:
    """Raise the learning rate step by step, draw the loss against it, and suggest one."""
    if min_lr >= max_lr:
        raise CnnexpError(f"task.min_lr={min_lr:g} must be below task.max_lr={max_lr:g}")
    config = job.config
    rehearse(config)
    # as many epochs as the steps take, unvalidated; the schedule would get in the way of the rising rate
    config.trainer.update(max_epochs=-1, max_time=None, check_val_every_n_epoch=10**9, val_check_interval=None)
    trainer = build_trainer(config, job.folder)
    data = build_data(config)
    data.prepare_data()
    data.setup("fit")
    model = build_model(config, data.image_shape, data.classes, scheduled=False)
    test = lr_range_test(trainer, model, data, min_lr, max_lr, steps)
    rows = [
        {"learning_rate": f"{rate:.6g}", "loss": f"{loss:.6g}", "smoothed_loss": f"{smoothed:.6g}"}
        for rate, loss, smoothed in zip(test.learning_rates, test.losses, test.smoothed, strict=True)
    ]
    write_csv(job.folder / "lr_find.csv", rows, ("learning_rate", "loss", "smoothed_loss"))
    job.record(suggestion=test.suggestion, lowest=test.lowest, device=str(trainer.strategy.root_device))
    if test.suggestion is None:
        raise CnnexpError(
            f"the loss never fell between task.min_lr={min_lr:g} and task.max_lr={max_lr:g}; "
            "give other bounds, or more task.steps"
        )
    model_name, data_name, optimizer = (job.choices[group] for group in ("model", "data", "optimizer"))
    title = f"{model_name} on {data_name}, {optimizer}, batches of {data.batch_size}"
    save_figures(job, {"lr_find": draw_range_test(test, title)})
    rate = f"{test.suggestion:.2g}"
    log.info(
        "%d steps from %.2g to %.2g: the loss falls most steeply at %s and is lowest at %.2g",
        len(test.losses), test.learning_rates[0], test.learning_rates[-1], rate, test.lowest,
    )  # fmt: skip
    if test.lowest >= test.learning_rates[-1] / 2 and len(test.losses) >= steps:
        log.info("the loss was still falling at the end: task.max_lr=%.2g would show more", 10 * max_lr)
    log.info("%s", command_with(f"optimizer.lr={rate}"))
    log.info("files: %s", shown(job.folder))

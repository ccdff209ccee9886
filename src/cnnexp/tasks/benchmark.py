"""``task=benchmark``: where the time of a training step goes, for one's own network and data."""

import logging
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge

from cnnexp.data.datamodule import ImageDataModule
from cnnexp.job.build import build_data, build_model, build_trainer
from cnnexp.job.job import Job
from cnnexp.job.optimization import build_optimization
from cnnexp.job.rehearse import rehearse
from cnnexp.models.classifier import Classifier
from cnnexp.reports.tables import in_columns, shown, write_csv
from cnnexp.training.callbacks import SeedSteps

log = logging.getLogger(__name__)

PARTS = ("data", "forward", "backward", "optimizer")


def benchmark(job: Job, steps: Annotated[int, Ge(1)] = 100, rounds: Annotated[int, Ge(1)] = 5) -> None:
    """Time a bare loop part by part and the Trainer as a whole, in turn, and show the medians."""
    config = job.config
    rehearse(config)
    data = build_data(config)
    data.prepare_data()
    model = build_model(config, data.image_shape, data.classes)
    data.setup("fit")
    steps = min(steps, len(data.train_dataloader()))
    readings: list[dict[str, float]] = []
    for _ in range(rounds + 1):
        whole = _whole(job, model, data, steps)
        parts = _parts(job, model, data, steps)
        readings.append({**parts, "everything else": whole - sum(parts.values()), "whole": whole})
    medians = {part: statistics.median(r[part] for r in readings[1:]) for part in readings[0]}
    images = data.batch_size / medians["whole"]
    write_csv(job.folder / "benchmark.csv", readings[1:])
    device = str(model.device)
    job.record(
        samples_per_second=images, parameters=model.parameter_count, device=device, seconds_per_step=medians
    )
    log.info("%s", _table(medians, images, data.batch_size, steps, rounds))
    log.info("files: %s", shown(job.folder))


def _whole(job: Job, model: Classifier, data: ImageDataModule, steps: int) -> float:
    """Seconds a step of the Trainer, with everything a run has in its inner loop."""
    job.config.trainer.update(limit_train_batches=steps, limit_val_batches=1, max_epochs=1)
    model.history.clear()
    trainer = build_trainer(job.config, job.folder, [SeedSteps(job.config.seed)])
    trainer.fit(model, datamodule=data)
    return model.history[-1]["seconds"] / steps


def _parts(job: Job, model: Classifier, data: ImageDataModule, steps: int) -> dict[str, float]:
    """Seconds a step of each part, in a loop with nothing else in it."""
    trainer = build_trainer(job.config, job.folder)
    device = trainer.strategy.root_device
    model.to(device).train()
    optimizer = build_optimization(job.config)[0](model.parameters())
    seconds = dict.fromkeys(PARTS, 0.0)

    def timed(part: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds[part] += time.perf_counter() - begin
        return result

    batches = iter(data.train_dataloader())
    for _ in range(steps):
        images, labels = (part.to(device) for part in timed("data", lambda: next(batches)))

        def forward(images: torch.Tensor = images, labels: torch.Tensor = labels) -> torch.Tensor:
            with trainer.precision_plugin.train_step_context():
                return model.objective(model(images), labels)

        loss = timed("forward", forward)
        timed("backward", loss.backward)
        timed("optimizer", lambda: (optimizer.step(), optimizer.zero_grad()))
    return {part: total / steps for part, total in seconds.items()}


def _table(medians: dict[str, float], images: float, batch_size: int, steps: int, rounds: int) -> str:
    rows = [["", "ms a step", "share"]]
    rows += [[part, f"{1000 * value:.3f}", f"{value / medians['whole']:.1%}"] for part, value in medians.items()]
    speed = f"{images:,.0f} images a second at batch size {batch_size}; medians of {rounds} × {steps} steps"
    return f"{in_columns(rows, 'lrr')}\n{speed}"

"""``task=fit``: train, validate each epoch, and test once at the end with the best checkpoint."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loggers.logger import Logger
from omegaconf import OmegaConf

from cnnexp import contract
from cnnexp.command.call import instantiate
from cnnexp.data.datamodule import ImageDataModule
from cnnexp.data.recorded_split import FILE as SPLIT
from cnnexp.data.recorded_split import encode
from cnnexp.errors import CnnexpError, Stopped
from cnnexp.evaluation.answers import FILE as ANSWERS
from cnnexp.interrupts import Interrupted
from cnnexp.job import ranks
from cnnexp.job.build import build_data, build_model, build_trainer
from cnnexp.job.job import Job
from cnnexp.job.limits import check_limits
from cnnexp.job.loggers import begin, build_loggers, end
from cnnexp.job.looks import count_looks
from cnnexp.models.classifier import Classifier
from cnnexp.reports.curves import draw_curves
from cnnexp.reports.figures import png
from cnnexp.reports.majority import beside_majority
from cnnexp.reports.tables import final_table
from cnnexp.reports.verdicts import best_row, judge
from cnnexp.runs import write_whole
from cnnexp.training.answers import KeepAnswers, answers_of
from cnnexp.training.callbacks import SeedSteps, StaysStopped, StopAfterEpoch, StopOnSignal
from cnnexp.training.checkpoints import BEST, FOLDER, EndWithinEpoch, checkpoint_callbacks
from cnnexp.training.compilation import Compile
from cnnexp.training.loggers import COLUMNS, CsvLogger, Status, TensorBoardLogger, TerminalLogger, flatten
from cnnexp.training.resume import checkpoint_to_go_on_from

log = logging.getLogger(__name__)


def fit(job: Job) -> None:
    """Train the network that the settings describe, and leave a run folder behind."""
    config = job.config
    table = CsvLogger(job.folder / "metrics.csv")
    always = [table, TerminalLogger(config.trainer.max_epochs)] if job.writes else []
    stop = config.get("stop_after_epoch")
    callbacks: list[L.Callback] = [SeedSteps(config.seed), KeepAnswers()]
    callbacks += [] if stop is None else [StopAfterEpoch(stop)]
    callbacks += [instantiate(node, _convert_="all") for node in config.callbacks.values()]
    callbacks += [EndWithinEpoch(), *checkpoint_callbacks(job.folder / FOLDER), StopOnSignal(), StaysStopped()]
    trainer = build_trainer(config, job.folder, callbacks, always)
    data = build_data(config, anew=config.resume is None)
    data.prepare_data()
    data.setup("fit")
    contract.check_processes(data, trainer.world_size, config.trainer.get("use_distributed_sampler", True))
    check_limits(trainer, data)
    model = build_model(config, contract.image_shape(data), contract.classes(data))
    device = str(trainer.strategy.root_device)
    facts = contract.facts(data)
    job.record(
        parameters=model.parameter_count,
        classes=model.classes,
        device=device,
        processes=trainer.world_size,
        **facts,
    )
    where = device if trainer.world_size == 1 else f"{device}, {trainer.world_size} processes"
    _announce(job, data, model, where)

    checkpoint, behind = None, None
    if config.resume is not None:
        checkpoint, behind = checkpoint_to_go_on_from(job.folder / FOLDER, model, trainer, data)
        log.info(
            "%s", f"going on after epoch {len(behind)}" if checkpoint else "nothing was saved yet: from the start"
        )
    status: Status = "failed"
    configured: list[Logger] = []
    try:
        # not before the data are there: some trackers begin a run as their logger is built
        if job.writes:
            configured = build_loggers(config.logger, job.folder)
            trainer.loggers = [*always, *configured]
            if behind is not None:
                table.start_again(behind)
            begin(configured, _hyperparameters(job), OmegaConf.to_yaml(config, resolve=True), behind)
        # a run that has begun to train keeps its folder, whatever becomes of it
        (job.folder / FOLDER).mkdir(exist_ok=True)
        if job.writes and isinstance(data, ImageDataModule) and (split := data.split_record()) is not None:
            write_whole(job.folder / SPLIT, encode(split))
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        for callback in callbacks:
            if isinstance(callback, Compile):
                job.record(compile_seconds=callback.seconds)
        # of all epochs: the checkpoint that is tested brings its own history, which ends at the best one
        history = list(model.history)
        _raise_unless_finished(history)
        best = best_row(history)
        more = _further_numbers(job, best)
        if job.writes:
            _keep_answers(job, best)
        job.record(**more, **_numbers(history, best))
        # once it has trained, Lightning's averaging would have the test take the weights that aren't averaged
        trainer.callbacks[:] = [c for c in trainer.callbacks if not isinstance(c, WeightAveraging)]  # type: ignore[attr-defined]
        test: dict[str, float] = {}
        if contract.has_test(data) and trainer.limit_test_batches != 0:
            tested = str(job.folder / FOLDER / BEST)
            # Lightning would put the test at the number of steps; all loggers are told below, at an epoch
            trainer.loggers = [logger for logger in trainer.loggers if logger not in configured]
            test |= trainer.test(model, datamodule=data, ckpt_path=tested, weights_only=True, verbose=False)[0]
        tested_images = int(test.pop("test_images", 0))
        job.record(**test, **({"test_images": tested_images} if test else {}))
        count_looks(job, data, tested_images, test.get("test_accuracy"))
        kept = ("val_accuracy", "train_accuracy", "generalization_gap", *more, *test)
        for logger in configured:
            logger.log_metrics({f"best/{key}": job.result[key] for key in kept}, step=len(history))
        verdict = judge(history, job.result.get("train_eval_images"), job.result.get("val_images"))
        title = f"{job.choices['model']} on {job.choices['data']}, seed {config.seed}"
        figure = draw_curves(history, title, verdict)
        image = png(figure)
        if job.writes:
            write_whole(job.folder / "curves.png", image)
        for logger in configured:
            if isinstance(logger, TensorBoardLogger):
                logger.log_png("curves", image, len(history))
        status = "completed"
    except (Interrupted, KeyboardInterrupt):
        status = "interrupted"
        raise
    except Stopped:
        status = "interrupted"
        history = list(model.history)
        _raise_unless_finished(history)
        job.record(**_numbers(history, best_row(history)))
        raise
    finally:
        end(configured, status)
        ranks.wait_for_others(trainer)
    log.info("\n%s", final_table(job.result, job.folder, beside_majority(job.result), verdict.text))


def _further_numbers(job: Job, best: Mapping[str, float]) -> dict[str, float]:
    """Return what the best epoch's row has beyond every run's: metrics, and what a network logged itself."""
    row = {key: value for key, value in best.items() if key not in COLUMNS and not key.startswith("running_")}
    # not what result.json says otherwise, such as its status
    return {key: value for key, value in row.items() if isinstance(job.result.get(key, value), float)}


def _keep_answers(job: Job, best: Mapping[str, float]) -> None:
    """Write which validation images the best checkpoint answers rightly; leave no earlier file without that."""
    answers = answers_of(job.folder / FOLDER / BEST, best["val_accuracy"])
    if answers is None:
        (job.folder / ANSWERS).unlink(missing_ok=True)
    else:
        write_whole(job.folder / ANSWERS, answers.text().encode())


def _numbers(history: Sequence[Mapping[str, float]], best: Mapping[str, float]) -> dict[str, Any]:
    seconds = sum(row["seconds"] for row in history)
    images = [row.get("running_images", math.nan) for row in history]  # an older checkpoint's epochs don't say
    return {
        "epochs": len(history),
        "best_epoch": int(best["epoch"]),
        **{key: best[key] for key in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")},
        "generalization_gap": best["train_accuracy"] - best["val_accuracy"],
        "train_seconds": seconds,
        "samples_per_second": None if math.isnan(sum(images)) else sum(images) / seconds,
        # those that were measured, which a limit makes fewer than there are
        **{key: int(best[key]) for key in ("train_eval_images", "val_images") if key in best},
    }


def _hyperparameters(job: Job) -> dict[str, Any]:
    groups = ("model", "data", "optimizer", "scheduler", "trainer")
    settings = job.settings
    flat = flatten({key: settings[key] for key in (*groups, "seed")})
    repeated = ("data.seed", "data.dataset", "data.root")
    kept = {key: value for key, value in flat.items() if not key.startswith(repeated)}
    return {**{group: job.choices[group] for group in groups}, **kept}


def _announce(job: Job, data: Any, model: Classifier, device: str) -> None:
    called = {"train": "training", "val": "validation", "test": "test"}
    sizes = contract.sizes(data, ("train", "val"))  # the test's data module may not be set up yet
    told = ", ".join(f"{'?' if size is None else size} {called[part]}" for part, size in sizes.items())
    log.info(
        "%s images of %d×%d×%d in %d classes",
        " and ".join(told.rsplit(", ", 1)),
        *model.image_shape,
        model.classes,
    )
    log.info("%d parameters, on %s", model.parameter_count, device)
    if getattr(data, "validation", None) == "test":
        log.warning("validating on the test set: the best epoch is chosen by what it is tested on")


def _raise_unless_finished(history: Sequence[Mapping[str, float]]) -> None:
    if not history:
        raise CnnexpError("no epoch was finished; give more time (trainer.max_time, trainer.max_steps)")
    if not any("val_accuracy" in row for row in history):
        raise CnnexpError("no epoch was validated; lower trainer.check_val_every_n_epoch")

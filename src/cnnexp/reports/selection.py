"""Validation chooses the epoch and the configuration, and so looks better than it is: by how much, in words."""

import math

from cnnexp.evaluation.differences import half_width
from cnnexp.evaluation.intervals import newcombe_interval
from cnnexp.reports.study import Configuration, Study


def optimism(study: Study) -> str | None:
    """Return by how much the best configuration's validation lies above test; None where nothing was chosen."""
    if not study.configurations or study.configurations[0].mean("val_accuracy") is None:
        return None
    best = study.configurations[0]
    runs = [run for run in best.counted if run.completed]
    if any(
        "data.val_size" in run.record.settings and run.record.settings["data.val_size"] is None for run in runs
    ):
        return "Validation is the test set here: what it chose, the epoch at least, it can't be a test of."
    chosen = ["the epoch"] if any((run.numbers["epochs"] or 0) > 1 for run in runs) else []
    chosen += ["the configuration"] if len(study.configurations) > 1 else []
    if not chosen:
        return None
    why = f"it chose {' and '.join(chosen)}, and is too high on average for that"
    if (found := _above_test(best)) is None:
        return f"Validation is no test: {why} (docs/overfitting.md says more)."
    mean, low, high, count = found
    return (
        f"Validation is no test: {why}; here it lies {100 * mean:+.1f} points from test (95 % interval "
        f"{100 * low:+.1f} to {100 * high:+.1f}; {best.label}, {count} run{'s' * (count > 1)})."
    )


def _above_test(best: Configuration) -> tuple[float, float, float, int] | None:
    """Return validation less test accuracy, its 95 % interval, and over how many runs.

    The images are a part of the uncertainty: those of the test are the same for each seed, so that more seeds
    don't lessen it. It is added in quadrature to the seeds' t-interval, from three seeds on; of fewer the interval
    is Newcombe's, of two accuracies on so many images.
    """
    val, test = best.numbers.get("val_accuracy"), best.numbers.get("test_accuracy")
    if val is None or test is None or val.count != test.count or not (val.images and test.images):
        return None
    mean = val.mean - test.mean
    seeds = half_width([one - other for one, other in zip(val.values, test.values, strict=True)])
    if val.count < 3 or seeds is None:
        return mean, *newcombe_interval(val.mean, val.images, test.mean, test.images), val.count
    same_split = len({run.record.settings.get("data.seed") for run in best.counted}) < 2
    squares = [_variance(test.mean, test.images)] + ([_variance(val.mean, val.images)] if same_split else [])
    width = math.hypot(seeds, 1.96 * math.sqrt(sum(squares)))
    return mean, mean - width, mean + width, val.count


def _variance(accuracy: float, images: int) -> float:
    return accuracy * (1 - accuracy) / images

"""A network's accuracy beside that of always answering the most frequent class."""

from collections.abc import Mapping
from typing import Any

from cnnexp.evaluation.intervals import wilson_interval
from cnnexp.reports.study import Study
from cnnexp.reports.swept import is_number


def beside_majority(result: Mapping[str, Any]) -> str | None:
    """Return the baseline's test accuracy, and whether the network's own is told apart from it.

    By Wilson's 95 % interval of the network's accuracy.

    Args:
        result: of a run; the content of result.json.

    Returns:
        None where the baseline, the accuracy or the number of images isn't known.
    """
    baseline, accuracy, images = (result.get(key) for key in ("majority_baseline", "test_accuracy", "test_images"))
    if not (is_number(baseline) and is_number(accuracy) and is_number(images) and 0 <= accuracy <= 1 <= images):
        return None
    told = f"always answering the most frequent class: {baseline:.2%} of {int(images):,} test images"
    low, high = wilson_interval(round(accuracy * images), int(images))
    if low > baseline:
        return told
    is_worse = "is worse" if high < baseline else "isn't told apart from that"
    return f"{told}; {accuracy:.2%} {is_worse} (95 % interval {low:.2%} to {high:.2%})"


def no_better(study: Study) -> str | None:
    """Return a sentence where no run of the best configuration is better than the most frequent class."""
    results = [run.record.result for run in study.configurations[0].counted] if study.configurations else []
    told = [text for result in results if (text := beside_majority(result)) is not None and ";" in text]
    if not told or len(told) < len(results):
        return None
    best = max(results, key=lambda result: float(result["test_accuracy"]))
    return f"No better than a constant answer, {study.configurations[0].label}: {beside_majority(best)}."

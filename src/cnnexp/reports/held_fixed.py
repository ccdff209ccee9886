"""What a study asks, and what all its runs have in common."""

from collections.abc import Iterable
from typing import Any

from cnnexp.reports.study import Study
from cnnexp.reports.swept import shown_value

_SETTINGS = {
    "data": "data set", "model": "network", "trainer.max_epochs": "epochs", "trainer.max_steps": "steps at most",
    "data.batch_size": "batch size", "optimizer": "optimizer", "optimizer.lr": "learning rate",
    "scheduler": "schedule", "trainer.precision": "precision",
}  # fmt: skip
_IMAGES = {"train_images": "training", "val_images": "validation", "test_images": "test"}


def question(study: Study) -> str | None:
    """Return the question that the runs were made for, None where they don't name one, or name several."""
    asked = _shared(run.record.settings.get("question") for run in study.runs)
    return asked if isinstance(asked, str) and asked.strip() else None


def held_fixed(study: Study) -> dict[str, str]:
    """Return by name what didn't differ: data and their sizes, training, and what else was typed."""
    facts = {}
    for key, name in _SETTINGS.items():
        value = _shared(run.record.settings.get(key) for run in study.runs)
        if key not in study.swept and value not in (None, -1):
            facts[name] = shown_value(key, value)
    for key, name in _IMAGES.items():
        if (count := _shared(run.record.result.get(key) for run in study.runs)) is not None:
            facts[f"{name} images"] = f"{count:,}" if isinstance(count, int) else str(count)
    if (baseline := _shared(run.record.result.get("majority_baseline") for run in study.runs)) is not None:
        facts["always the most frequent class"] = f"{100 * float(baseline):.2f} % of the test images"
    for key in dict.fromkeys(key for run in study.runs for key in run.record.typed):
        # of a config group the choice is among the above
        value = _shared(run.record.settings.get(key) for run in study.runs)
        if (
            value is not None
            and "." in key
            and key not in (*study.swept, *_SETTINGS, "data.root", "data.seed", "data.train_size")
        ):
            facts[key] = shown_value(key, value)
    return facts


def _shared(values: Iterable[Any]) -> Any:
    """Return the value that all have, None where they differ or there is none."""
    first, *others = list(values) or [None]
    return first if all(type(other) is type(first) and other == first for other in others) else None

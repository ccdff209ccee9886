"""What each change to a baseline does: one setting at a time, with the interval of each difference."""

import math
from dataclasses import dataclass

from cnnexp.reports.study import Configuration, Study
from cnnexp.reports.swept import key_of, short_names, shown_value
from cnnexp.reports.tables import in_columns

TITLES = ("what was changed", "n", "val acc %", "difference, points", "told apart?")


@dataclass(frozen=True)
class Change:
    """A configuration that differs from the baseline in one setting.

    Args:
        text: the setting, its value in the baseline and its value here.
        configuration: the changed one.
        difference: its validation accuracy less the baseline's, a fraction, over the seeds that both have; None
            where there is none.
        half_width: of the difference's 95 % interval; None where there are too few seeds.
        of_images: the interval, where a network each was compared by its answers on the same images.
        pairs: how many seeds both have.
        told_apart: whether the difference is more than chance, after Holm for all changes; None where there are
            too few seeds to tell.
    """

    text: str
    configuration: Configuration
    difference: float | None
    half_width: float | None
    pairs: int
    told_apart: bool | None
    of_images: tuple[float, float] | None = None

    @property
    def cells(self) -> list[str]:
        """The table's row."""
        val = self.configuration.numbers.get("val_accuracy")
        difference = "–" if self.difference is None else f"{100 * self.difference:+.2f}"
        if self.half_width is not None:
            difference += f" ± {100 * self.half_width:.2f}"
        elif self.of_images is not None:
            difference += f" [{100 * self.of_images[0]:+.2f}, {100 * self.of_images[1]:+.2f}]"
        known = {None: "too few seeds", True: "yes", False: "no"}
        shown = "–" if val is None else val.shown(percent=True, digits=2)
        return [self.text, str(self.pairs), shown, difference, known[self.told_apart]]

    @property
    def sorted_by(self) -> list[float | None]:
        """The numbers that the row's cells are sorted by; None for a text."""
        return [None, self.pairs, self.configuration.mean("val_accuracy"), self.difference, None]


def ablation(study: Study) -> list[Change]:
    """Return the changes to a baseline, the largest gain in validation accuracy first, the unknown ones last.

    None at all unless a baseline was named, and each of two other configurations or more differs from it in one
    setting: of what differs in two nobody could say which one did it.
    """
    if study.baseline is None or len(study.configurations) < 3:
        return []
    baseline, names, changes = study.configurations[study.baseline], short_names(study.swept), []
    for index, found in study.comparisons.items():
        configuration = study.configurations[index]
        here, there = configuration.values, baseline.values
        keys = [
            key
            for key in study.swept
            if (key in here) != (key in there) or (key in here and key_of(here[key]) != key_of(there[key]))
        ]
        if len(keys) != 1:
            return []
        key, difference = keys[0], found.difference
        old, new = (shown_value(key, values[key]) if key in values else "none" for values in (there, here))
        width = difference.half_width if difference else None
        changes.append(
            Change(
                f"{names[key]}: {old} → {new}",
                configuration,
                -difference.mean if difference else None,
                width if width is not None and math.isfinite(width) else None,
                difference.pairs if difference else 0,
                None if found.p_value is None else found.is_real,
                None if found.of_images is None else (-found.of_images[1], -found.of_images[0]),
            )
        )
    return sorted(
        changes, key=lambda change: -math.inf if change.difference is None else change.difference, reverse=True
    )


def ablation_note(study: Study) -> str:
    """Return what the table's columns mean; empty where there is no baseline."""
    if study.baseline is None:
        return ""
    baseline = study.configurations[study.baseline]
    val = baseline.numbers.get("val_accuracy")
    shown = "" if val is None else f", {val.shown(percent=True, digits=2)} %"
    compared = max((found.compared for found in study.comparisons.values()), default=0)
    adjusted = f", p < 0.05 after Holm for {compared} comparisons" if compared > 1 else ""
    less = f"Validation accuracy less that of the baseline ({baseline.label}{shown})"
    images = next((found.images for found in study.comparisons.values() if found.images is not None), None)
    if images is not None:
        return (
            f"{less}, of one network each, and its 95 % interval; told apart by McNemar's exact test on the same "
            f"{images:,} validation images{adjusted}. Another seed may turn it round."
        )
    test = "e-values, which hold whenever one stops" if study.sequential else "the paired t-test"
    half = f", ± half of its 95 % interval; told apart by {test}{adjusted}." if compared else "."
    return f"{less}, over the n seeds that both have{half}"


def ablation_table(study: Study) -> str:
    """Return the table as text, with its note; empty where there is none."""
    changes = ablation(study)
    if not changes:
        return ""
    return in_columns([TITLES, *(change.cells for change in changes)], "lrrrl", rule=True)

"""The report's answer in words: which configurations overfit, from which epoch on, and by how much."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cnnexp.evaluation.ledger import told
from cnnexp.evaluation.trends import slope
from cnnexp.reports.is_it_real import is_it_real
from cnnexp.reports.learning_curve import SIZE, learning_curve
from cnnexp.reports.majority import no_better
from cnnexp.reports.selection import optimism
from cnnexp.reports.study import Configuration, Judged, Study
from cnnexp.reports.swept import is_number, short_names, shown_value
from cnnexp.reports.verdicts import Verdict

HIDDEN = (
    "Test numbers are shown of the best by validation only: the best of several test results is too good by "
    "chance (reveal=true shows them all)."
)
MOST = 8  # overfitting configurations that have a sentence each; the leaderboard has them all


def headline(study: Study) -> str:
    """Return one sentence: how many configurations overfit, and how many runs have been completed."""
    judged = [c for c in study.configurations if any(run.verdict.word != "unknown" for run in c.counted)]
    if not judged:
        return "No run has finished an epoch yet."
    overfit = sum(map(_overfits, judged))
    completed = sum(run.completed for run in study.runs)
    if len(study.configurations) == 1:
        answer = f"{study.configurations[0].label} {'overfits' if overfit else 'does not overfit'}"
    else:
        answer = f"{overfit} of {len(judged)} configurations {'overfits' if overfit == 1 else 'overfit'}"
    statuses = Counter(run.record.status for run in study.runs if not run.completed)
    others = "".join(f", {count} {status}" for status, count in sorted(statuses.items()))
    return f"{answer} ({completed} of {len(study.runs)} runs completed{others})."


def findings(study: Study) -> list[str]:
    """Return the sentences below the headline.

    The overfitting configurations, the largest final gap first; the best by validation accuracy; and how the gap
    moves with each swept number, on average over everything else.
    """
    overfit = sorted(
        (c for c in study.configurations if _overfits(c)), key=lambda c: c.mean("final_gap") or 0.0, reverse=True
    )
    lines = [_told(configuration) for configuration in overfit[:MOST]]
    if len(overfit) > MOST:
        lines.append(f"… and {len(overfit) - MOST} more, see the leaderboard.")
    if len(study.configurations) > 1 and study.configurations[0].mean("val_accuracy") is not None:
        lines += [_best(study), *is_it_real(study)]
    lines += filter(None, [
        no_better(study), optimism(study), HIDDEN if study.hides_test else None, looks_told(study)
    ])  # fmt: skip
    return [*lines, *_trends(study), *filter(None, [learning_curve(study)])]


def _best(study: Study) -> str:
    """Return which configuration is the best by validation, and whether that is more than chance."""
    best = study.configurations[0]
    parts = {"validation": "val_accuracy", "test": "test_accuracy"}
    shown = [f"{_percent(best, key, 2)} % {part}" for part, key in parts.items() if key in best.numbers]
    text = f"Highest validation accuracy: {best.label} ({', '.join(shown)})"
    if study.baseline is None:  # otherwise it isn't the best that the others are compared with
        alike, others = sum(not found.is_real for found in study.comparisons.values()), len(study.comparisons)
        text += f", told apart from {'all others' if not alike else f'{others - alike} of {others} others'}"
    return f"{text}."


def looks_told(study: Study) -> str | None:
    """Return what the number of looks at the test images means, as it was when the last of the runs ended."""
    results = [run.record.result for configuration in study.configurations[:1] for run in configuration.runs]
    needed = ("test_looks", "test_images", "test_accuracy")
    known = [result for result in results if all(is_number(result.get(key)) for key in needed)]
    if not known:
        return None
    on_the_same = [
        run.record.result.get("test_looks")
        for run in study.runs
        if run.record.result.get("data_fingerprint") == known[-1].get("data_fingerprint")
    ]
    looks = int(max(filter(is_number, on_the_same)))
    return f"{told(looks, known[-1]['test_images'], known[-1]['test_accuracy'])}." if looks > 1 else None


def _overfits(configuration: Configuration) -> bool:
    """Return whether half of the runs or more overfit: the verdict that the leaderboard shows."""
    return configuration.verdict.startswith("overfits")


def _percent(configuration: Configuration, key: str, digits: int) -> str:
    statistic = configuration.numbers.get(key)
    return "–" if statistic is None else statistic.shown(percent=True, digits=digits)


def _told(configuration: Configuration) -> str:
    overfitting, counted = len(configuration.overfitting), configuration.counted
    text = (
        f"{configuration.label}: overfits{f' in {overfitting} of {len(counted)} runs' if len(counted) > 1 else ''}"
    )
    for metric in ("loss", "accuracy"):
        turns = [turn for run in counted if (turn := run.numbers[f"val_{metric}_turned"]) is not None]
        if not turns:
            text += f"; validation {metric} hasn't turned"
            continue
        first, last = int(min(turns)), int(max(turns))
        epochs = f"epoch {first}" if first == last else f"epochs {first}–{last}"
        few = "" if len(turns) == len(counted) else f" in {len(turns)} of {len(counted)} runs"
        text += f"; validation {metric} turned at {epochs}{few}"
        if metric == "loss":
            rises = [run.verdict for run in counted if run.verdict.loss_turned is not None]
            text += f" and ends {_risen(rises)} % above its lowest"
    gap = _percent(configuration, "final_gap", 1)
    if len(counted) == 1 and (interval := counted[0].verdict.gap_interval):
        gap += f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    return f"{text}; gap {gap} points at the end."


def _risen(verdicts: Sequence[Verdict]) -> str:
    """Return by how much the validation loss rose: of one run with its standard error, of several from–to."""
    rises = sorted(100 * (verdict.rise or 0.0) for verdict in verdicts)
    if len(rises) == 1:
        return f"{rises[0]:.0f} ± {100 * (verdicts[0].rise_error or 0.0):.0f} (standard error)"
    return f"{rises[0]:.0f} to {rises[-1]:.0f}"


def _place(run: Judged, key: str) -> Any:
    """Return a setting's value; of train_size=null, which is all images, how many these were."""
    value = run.record.settings.get(key)
    return run.record.result.get("train_images") if value is None and key == SIZE else value


def _trends(study: Study) -> list[str]:
    """Return a sentence for each swept number with which the gap moves by more than chance."""
    lines = []
    for key, name in short_names(study.swept).items():
        points = [
            (value, 100 * gap)
            for configuration in study.configurations
            for run in configuration.counted
            if is_number(value := _place(run, key)) and (gap := run.numbers["generalization_gap"]) is not None
        ]
        if not points:
            continue
        x, gaps = zip(*points, strict=True)
        logarithmic = min(x) > 0 and max(x) >= 10 * min(x)
        places = [math.log10(value) for value in x] if logarithmic else x
        line = slope(places, gaps)
        if line is None or not line.is_trend:
            continue
        average = ", on average over the rest" if len(study.swept) > 1 else ""
        reach = max(places) - min(places)
        low, high = sorted(abs(bound) * reach for bound in (line.low, line.high))
        lines.append(
            f"From {name}={shown_value(key, min(x))} to {shown_value(key, max(x))} the gap "
            f"{'grows' if line.slope > 0 else 'shrinks'} by {abs(line.slope) * reach:.1f} points{average} (95 % "
            f"interval {low:.1f} to {high:.1f}; a straight line{' over the logarithm' if logarithmic else ''} "
            f"through {len(points)} runs)."
        )
    return lines

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
from cnnexp.reports.stopped import stopped_early
from cnnexp.reports.study import Configuration, Judged, Study
from cnnexp.reports.swept import is_number, short_names, shown_value
from cnnexp.reports.verdicts import Verdict

HIDDEN = (
    "Test numbers are shown of the best by validation only: the best of several test results is too good by "
    "chance (reveal=true shows them all)."
)
MOST = 8  # overfitting configurations that have a sentence each; the leaderboard has them all


def headline(study: Study) -> str:
    """Return one sentence: how many configurations overfit, which is best by validation, and how sure that is."""
    whole, study = study, study.compared
    judged = [c for c in study.configurations if any(run.verdict.word != "unknown" for run in c.counted)]
    if not judged:
        return f"No run has {'come to its end' if whole is not study else 'finished an epoch'} yet."
    best, several = study.configurations[0], len(study.configurations) > 1
    overfit = [c for c in judged if _overfits(c)]
    runs, overfitting = sum(len(c.counted) for c in judged), sum(len(c.overfitting) for c in judged)
    if several:
        answer = f"{len(overfit)} of {len(judged)} configurations {'overfits' if len(overfit) == 1 else 'overfit'}"
        if runs > len(judged):
            answer += f" ({overfitting} of {runs} runs)"
        answer += f"; {_best(study)}" if best.mean("val_accuracy") is not None else ""
    else:
        word = best.verdict.partition(" ")[0]
        agreeing = sum(run.verdict.word == word for run in best.counted)
        if word not in ("overfits", "underfits", "diverges"):
            word, agreeing = "does not overfit", runs - overfitting
        answer = f"{best.label} {word}{f' in {agreeing} of {runs} runs' if runs > 1 else ''}"
        answer += f", gap {_final_gap(best)} points at the end" if "final_gap" in best.numbers else ""
    completed = sum(run.completed for run in whole.runs)
    statuses = Counter(run.record.status for run in whole.runs if not run.completed)
    others = "".join(f", {count} {status}" for status, count in sorted(statuses.items()))
    return f"{answer} ({completed} of {len(whole.runs)} runs completed{others})."


def findings(study: Study) -> list[str]:
    """Return the sentences below the headline.

    The overfitting configurations, the largest final gap first; whether the best by validation accuracy can be
    told apart from the others; and how the gap moves with each swept number, on average over everything else.
    """
    whole, study = study, study.compared
    overfit = sorted(
        (c for c in study.configurations if _overfits(c)), key=lambda c: c.mean("final_gap") or 0.0, reverse=True
    )
    lines = [*filter(None, [stopped_early(whole)]), *(_told(configuration) for configuration in overfit[:MOST])]
    if len(overfit) > MOST:
        lines.append(f"… and {len(overfit) - MOST} more, see the leaderboard.")
    if len(study.configurations) > 1 and study.configurations[0].mean("val_accuracy") is not None:
        lines += is_it_real(study)
    lines += filter(None, [
        # of the whole: what was stopped early was chosen from too
        no_better(study), optimism(whole) if study.configurations else None,
        HIDDEN if study.hides_test else None, looks_told(study),
    ])  # fmt: skip
    return [*lines, *_trends(study), *filter(None, [learning_curve(study)])]


def _best(study: Study) -> str:
    """Return which configuration is the best by validation, its numbers, and whether that is more than chance."""
    best, count = study.configurations[0], study.configurations[0].numbers["val_accuracy"].count
    shown = {
        key: _percent(best, key, 2).removesuffix(f" (n = {count})") for key in ("val_accuracy", "test_accuracy")
    }
    seeds = "one seed" if count == 1 else f"{count} seeds"
    if any(sign in shown["val_accuracy"] for sign in "±["):
        seeds = f"95 % interval of {seeds if count > 1 else 'its images, one seed'}"
    test = f"; test {shown['test_accuracy']} %" if "test_accuracy" in best.numbers else ""
    text = f"highest validation accuracy: {best.label} with {shown['val_accuracy']} % ({seeds}{test})"
    as_one = "as a trained network " if any(one.images for one in study.comparisons.values()) else ""
    if study.baseline is None:
        compared = [found for found in study.comparisons.values() if found.p_value is not None]
        real = sum(found.is_real for found in compared)
        if not compared:
            return f"{text}, not compared by seeds"
        others = len(study.comparisons)
        return f"{text}, {as_one}told apart from {'all' if real == others else f'{real} of {others}'} others"
    if study.baseline == 0:
        return f"{text}, which is the baseline"
    apart = "told apart" if study.comparisons[0].is_real else "not told apart"
    return f"{text}, {as_one}{apart} from the baseline ({study.configurations[study.baseline].label})"


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
    return f"{text}; gap {_final_gap(configuration)} points at the end."


def _final_gap(configuration: Configuration) -> str:
    """Return the gap at the end with its 95 % interval: Newcombe's of one run, Student's over three or more."""
    gap, counted = _percent(configuration, "final_gap", 1), configuration.counted
    if len(counted) == 1 and (interval := counted[0].verdict.gap_interval):
        gap += f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    return gap


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

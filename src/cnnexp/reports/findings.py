"""The report's answer in words: which configurations overfit, from which epoch on, and by how much."""

from collections import Counter, defaultdict
from statistics import fmean

from cnnexp.reports.leaderboard import shown_statistic
from cnnexp.reports.study import Configuration, Study
from cnnexp.reports.swept import is_number, short_names, shown_value

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
    if len(study.configurations) > 1 and (best := study.configurations[0]).mean("val_accuracy") is not None:
        val, test = (_percent(best, key, 2) for key in ("val_accuracy", "test_accuracy"))
        lines.append(f"Best by validation accuracy: {best.label} ({val} % validation, {test} % test).")
    return [*lines, *_trends(study)]


def _overfits(configuration: Configuration) -> bool:
    """Return whether half of the runs or more overfit: the verdict that the leaderboard shows."""
    return configuration.verdict.startswith("overfits")


def _percent(configuration: Configuration, key: str, digits: int) -> str:
    return shown_statistic(configuration.numbers.get(key), percent=True, digits=digits)


def _told(configuration: Configuration) -> str:
    overfitting, counted = len(configuration.overfitting), len(configuration.counted)
    runs = f" in {overfitting} of {counted} runs" if counted > 1 else ""
    since = [run.verdict.since for run in configuration.overfitting if run.verdict.since is not None]
    first, last = min(since), max(since)
    epochs = f"epoch {first}" if first == last else f"epochs {first}–{last}"
    text = (
        f"{configuration.label}: overfits from {epochs}{runs}; gap "
        f"{_percent(configuration, 'generalization_gap', 1)} points at the best epoch, "
        f"{_percent(configuration, 'final_gap', 1)} at the end"
    )
    if "val_loss_turned" in configuration.numbers:
        rise = configuration.numbers["val_loss_rise"].mean
        text += f"; validation loss ends {100 * rise:.0f} % above its lowest"
    return f"{text}."


def _trends(study: Study) -> list[str]:
    lines = []
    for key, name in short_names(study.swept).items():
        gaps: dict[float, list[float]] = defaultdict(list)
        for configuration in study.configurations:
            value, gap = configuration.values.get(key), configuration.mean("generalization_gap")
            if gap is not None and is_number(value):
                gaps[value].append(100 * gap)
        if len(gaps) < 2:
            continue
        first, *_, last = sorted(gaps)
        start, end = fmean(gaps[first]), fmean(gaps[last])
        average = ", on average over the rest" if len(study.swept) > 1 else ""
        lines.append(
            f"From {name}={shown_value(key, first)} to {shown_value(key, last)} the gap goes "
            f"from {start:.1f} to {end:.1f} points{average}."
        )
    return lines

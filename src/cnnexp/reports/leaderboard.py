"""The leaderboard: one line a configuration, as a table for the terminal; and all numbers of all runs as CSV."""

import csv
import io
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cnnexp.reports.study import FROM_CURVES, NUMBERS, Configuration, Statistic, Study
from cnnexp.reports.swept import short_names, shortened, shown_value

MOST_ROWS = 60
LONGEST_CELL = 28


@dataclass(frozen=True)
class Column:
    """A column of the leaderboard: where its numbers are from and how they are shown."""

    key: str
    title: str
    percent: bool = False
    digits: int = 0

    def cell(self, configuration: Configuration) -> str:
        """Return mean ± standard deviation as text."""
        statistic = configuration.numbers.get(self.key)
        text = shown_statistic(statistic, self.percent, self.digits)
        if statistic is not None and statistic.count < len(configuration.counted):
            text += f" ({statistic.count} of {len(configuration.counted)})"
        return text


# as they are shown; those that a narrow terminal drops, the first of them first, are in DROPPED
COLUMNS = (
    Column("val_accuracy", "val acc %", percent=True, digits=2),
    Column("test_accuracy", "test acc %", percent=True, digits=2),
    Column("train_accuracy", "train acc %", percent=True, digits=2),
    Column("generalization_gap", "gap", percent=True, digits=2),
    Column("verdict", "verdict"),
    Column("best_epoch", "best epoch", digits=1),
    Column("val_loss_turned", "val turned", digits=1),
    Column("val_loss", "val loss", digits=4),
    Column("test_loss", "test loss", digits=4),
    Column("train_loss", "train loss", digits=4),
    Column("parameters", "parameters"),
    Column("train_seconds", "seconds", digits=1),
)
DROPPED = (
    "train_loss", "test_loss", "parameters", "train_seconds", "val_loss", "best_epoch", "val_loss_turned",
    "runs", "train_accuracy", "test_accuracy", "generalization_gap",
)  # fmt: skip


def shown_statistic(statistic: Statistic | None, percent: bool = False, digits: int = 0) -> str:
    """Return ``mean ± std`` with so many digits; whole numbers without needless zeros, a dash for the unknown."""
    if statistic is None:
        return "–"
    factor = 100 if percent else 1
    if statistic.std == 0 or statistic.std is None:
        mean = factor * statistic.mean
        whole = digits < 2 and mean == round(mean)
        return f"{mean:.0f}" if whole else f"{mean:.{digits}f}"
    return f"{factor * statistic.mean:.{digits}f} ± {factor * statistic.std:.{digits}f}"


def header(study: Study) -> list[tuple[str, str]]:
    """Return the leaderboard's columns as (key, title): the swept settings first."""
    names = short_names(study.swept)
    first = [(key, names[key]) for key in study.swept] or [("", "configuration")]
    return [*first, ("runs", "runs"), *((column.key, column.title) for column in COLUMNS)]


def row(study: Study, configuration: Configuration) -> list[str]:
    """Return a configuration's cells, in the order of `header`."""
    done, all_of_them = configuration.completed, len(configuration.runs)
    values = configuration.values
    first = [shown_value(key, values[key]) if key in values else "–" for key in study.swept]
    if not study.swept:
        first = [configuration.label]
    elif not values:  # its settings can't be read
        first[0] = configuration.label
    runs = str(done) if done == all_of_them else f"{done}/{all_of_them}"
    return [*first, runs, *(_cell(column, configuration) for column in COLUMNS)]


def _cell(column: Column, configuration: Configuration) -> str:
    return configuration.verdict if column.key == "verdict" else column.cell(configuration)


def terminal_width() -> int | None:
    """Return how many characters a line may have; None where the output goes to a file or another program."""
    return shutil.get_terminal_size(fallback=(0, 0)).columns or None


def text_table(study: Study, width: int | None = None) -> str:
    """Return the leaderboard as text; a narrow width drops the least important columns first.

    Args:
        study: what to show; its first 60 configurations are.
        width: characters a line; None for all columns.
    """
    titles = header(study)
    shown = study.configurations[:MOST_ROWS]
    body = [row(study, configuration) for configuration in shown]
    columns = {
        key: [title, *(shortened(cells[i], LONGEST_CELL) for cells in body)]
        for i, (key, title) in enumerate(titles)
    }
    # where nothing differs, or nothing is known, a column says nothing
    for key, cells in list(columns.items()):
        if key not in study.swept and len(cells) > 1 and set(cells[1:]) == {"–"}:
            del columns[key]
    for key in DROPPED:
        if width is None or _line_length(columns.values()) <= width:
            break
        columns.pop(key, None)
    lines = _laid_out(list(columns.values()), len(study.swept) or 1)
    if width is not None:
        lines = [shortened(line, width) for line in lines]
    left = len(study.configurations) - len(shown)
    return "\n".join([*lines, *([f"… and {left} more configurations in report.csv"] if left else [])])


def _line_length(columns: Iterable[Sequence[str]]) -> int:
    widths = [max(map(len, cells)) for cells in columns]
    return sum(widths) + 2 * (len(widths) - 1)


def _laid_out(columns: Sequence[Sequence[str]], texts: int) -> list[str]:
    aligned = []
    for number, cells in enumerate(columns):
        size = max(map(len, cells))
        left = number < texts or cells[0] == "verdict"
        aligned.append([cell.ljust(size) if left else cell.rjust(size) for cell in cells])
    lines = ["  ".join(cells).rstrip() for cells in zip(*aligned, strict=True)]
    return [lines[0], "─" * max(map(len, lines)), *lines[1:]]


def csv_text(study: Study) -> str:
    """Return one line a run with all its numbers, as CSV; what is unknown is an empty cell."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    facts = ("device", "config_hash", "git_commit")
    swept = [key for key in study.swept if key not in ("model", "data")]
    writer.writerow(
        ["folder", "status", "verdict", "model", "data", *swept, "seed", *NUMBERS, *FROM_CURVES, *facts, "error"]
    )
    for run in study.runs:
        record = run.record
        values = [shown_value(key, record.settings[key]) if key in record.settings else "" for key in swept]
        choices = [record.result.get(key, record.settings.get(key)) for key in ("model", "data")]
        numbers = [run.numbers[key] for key in (*NUMBERS, *FROM_CURVES)]
        writer.writerow(
            [run.name, record.status, run.verdict.word, *choices, *values, record.seed, *numbers]
            + [record.result.get(key) for key in facts]
            + [(record.error or "").partition("\n")[0]]
        )
    return file.getvalue()

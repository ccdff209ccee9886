"""The leaderboard: one line a configuration, as a table for the terminal; and all numbers of all runs as CSV."""

from dataclasses import dataclass, replace

from cnnexp.reports.study import Configuration, Study
from cnnexp.reports.swept import short_names, shortened, shown_value
from cnnexp.reports.tables import as_csv, in_columns

MOST_ROWS = 60
LONGEST_CELL = 28


@dataclass(frozen=True)
class Column:
    """A column of the leaderboard: where its values come from, and how they are shown."""

    key: str  # of a swept setting or of ``Configuration.numbers``; or "runs", "verdict", "" (the configuration)
    title: str
    percent: bool = False  # whether fractions are shown in per cent
    digits: int = 0  # after the decimal point
    text: bool = False  # whether it is aligned to the left
    first: bool = False  # whether the page shows it at once, and not when more is asked for


COLUMNS = (
    Column("runs", "runs", first=True),
    Column("val_accuracy", "val acc %", percent=True, digits=2, first=True),
    Column("against", "vs best", text=True, first=True),
    Column("test_accuracy", "test acc %", percent=True, digits=2),
    Column("train_accuracy", "train acc %", percent=True, digits=2),
    Column("generalization_gap", "gap", percent=True, digits=2, first=True),
    Column("verdict", "verdict", text=True, first=True),
    Column("best_epoch", "best epoch", digits=1),
    Column("val_loss_turned", "val turned", digits=1),
    Column("val_loss", "val loss", digits=4),
    Column("test_loss", "test loss", digits=4),
    Column("train_loss", "train loss", digits=4),
    Column("parameters", "parameters"),
    Column("train_seconds", "seconds", digits=1),
)
# what a narrow terminal leaves out, the first of them first; a user's own numbers are left out in between
LEAST_IMPORTANT = ("train_loss", "test_loss", "parameters", "train_seconds", "val_loss")
LESS_IMPORTANT = (
    "best_epoch", "val_loss_turned", "runs", "train_accuracy", "test_accuracy", "generalization_gap"
)  # fmt: skip


def columns(study: Study) -> list[Column]:
    """Return the leaderboard's columns: the swept settings, those that are always there, a user's own numbers."""
    swept = short_names(study.swept) or {"": "configuration"}
    first = [Column(key, name, text=True, first=True) for key, name in swept.items()]
    own = [Column(key, key.replace("_", " "), digits=4) for key in study.own_numbers]
    usual = [column for column in COLUMNS if column.key != "against" or len(study.configurations) > 1]
    if study.baseline is not None:
        usual = [replace(c, title="vs baseline") if c.key == "against" else c for c in usual]
    return [*first, *usual, *own]


def row(study: Study, configuration: Configuration) -> list[str]:
    """Return a configuration's cells, in the order of `columns`."""
    cells = [_cell(study, column, configuration) for column in columns(study)]
    if not configuration.values:  # nothing is swept, or its settings can't be read
        cells[0] = configuration.label
    return cells


def _cell(study: Study, column: Column, configuration: Configuration) -> str:
    if column.key in configuration.values:
        return shown_value(column.key, configuration.values[column.key])
    if column.key == "runs":
        done, all_of_them = configuration.completed, len(configuration.runs)
        return str(done) if done == all_of_them else f"{done}/{all_of_them}"
    if column.key == "against":
        return verdict_of(study, study.configurations.index(configuration))
    if column.key == "verdict":
        return configuration.verdict
    statistic = configuration.numbers.get(column.key)
    if statistic is None:
        measured = any(run.record.result.get(column.key) is not None for run in configuration.counted)
        return "hidden" if measured and study.hides_test and column.key.startswith("test_") else "–"
    text = statistic.shown(column.percent, column.digits)
    if statistic.count < len(configuration.counted):
        text = (
            text.removesuffix(f" (n = {statistic.count})")
            + f" ({statistic.count} of {len(configuration.counted)})"
        )
    return text


def verdict_of(study: Study, index: int) -> str:
    """Return what a configuration's comparison with the best, or with the baseline, says, in a word or two."""
    if study.configurations[index].stopped:
        return "not compared"
    found = study.comparisons.get(index)
    if found is None:
        return "best" if study.baseline is None else "baseline"
    if found.difference is None:
        return "no seed shared"
    if found.p_value is None:
        return "one seed"
    if not found.is_real:
        return "not told apart"
    network = "" if found.images is None else " network"  # of the configuration nothing is known
    return ("worse" if found.difference.mean > 0 else "better") + network


def text_table(study: Study, width: int | None = None) -> str:
    """Return the first 60 configurations as text; a narrow width leaves out the least important columns."""
    some = [row(study, configuration) for configuration in study.configurations[:MOST_ROWS]]
    kept = {
        column: [column.title, *(shortened(cell, LONGEST_CELL) for cell in cells)]
        for column, *cells in zip(columns(study), *some, strict=True)
        # where no value is known a column says nothing
        if column.key in study.swept or set(cells) != {"–"}
    }
    lines = _lines(kept)
    for key in (*LEAST_IMPORTANT, *reversed(study.own_numbers), *LESS_IMPORTANT):
        if width is None or max(map(len, lines)) <= width:
            break
        kept = {column: cells for column, cells in kept.items() if column.key != key}
        lines = _lines(kept)
    if width is not None:
        lines = [shortened(line, width) for line in lines]
    if len(study.configurations) > MOST_ROWS:
        lines.append(f"… and {len(study.configurations) - MOST_ROWS} more configurations in report.csv")
    return "\n".join(lines)


def _lines(cells: dict[Column, list[str]]) -> list[str]:
    align = "".join("l" if column.text else "r" for column in cells)
    return in_columns(list(zip(*cells.values(), strict=True)), align, rule=True).splitlines()


def csv_text(study: Study) -> str:
    """Return one line a run with all its numbers, as CSV; what is unknown is an empty cell."""
    swept = [key for key in study.swept if key not in ("model", "data")]
    rows = []
    for run in study.runs:
        settings, result = run.record.settings, run.record.result
        recorded = {**settings, **result}
        rows.append({
            "folder": run.name, "status": run.record.status, "verdict": run.verdict.word,
            "model": recorded.get("model"), "data": recorded.get("data"),
            **{key: shown_value(key, settings[key]) if key in settings else None for key in swept},
            "seed": recorded.get("seed"), **run.numbers,
            **{key: result.get(key) for key in ("device", "config_hash", "git_commit")},
            "error": run.record.error_line,
        })  # fmt: skip
    return as_csv(rows)

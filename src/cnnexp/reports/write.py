"""A report on runs, from their folders: ``report.html``, ``report.csv`` and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnexp.reports.against import draw_against, draw_heat_maps
from cnnexp.reports.figures import png
from cnnexp.reports.findings import findings, headline
from cnnexp.reports.grid import draw_grid
from cnnexp.reports.leaderboard import csv_text, terminal_width, text_table
from cnnexp.reports.page import html_page
from cnnexp.reports.records import read_runs
from cnnexp.reports.search import reported
from cnnexp.reports.study import Study, study
from cnnexp.reports.tables import shown
from cnnexp.runs import write_whole


@dataclass(frozen=True)
class Report:
    """The files that were written, and what the terminal is to show.

    Attributes:
        study: the runs, judged and grouped.
        files: those written, the page first.
        table: the leaderboard, as wide as the terminal; with all columns where the output goes elsewhere.
        search: what a search has found, in sentences; empty where the runs aren't trials of a search.
    """

    study: Study
    files: Sequence[Path]
    table: str
    search: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [self.table, "", headline(self.study)]
        lines += [f"  {line}" for line in (*findings(self.study), *self.search)]
        failed = [run for run in self.study.runs if run.record.status in ("failed", "unreadable")]
        for run in failed[:10]:
            lines.append(f"  {run.record.status}: {run.name}: {run.record.error_line}")
        if len(failed) > 10:
            lines.append(f"  … and {len(failed) - 10} more")
        page, *others = self.files
        beside = ", ".join(file.name for file in others)
        return "\n".join([*lines, f"report: {shown(page)} (beside it {beside})"])


def write_report(folders: Sequence[Path], destination: Path, title: str) -> Report:
    """Read runs and write their report; a file of an earlier report is replaced whole, or not at all.

    Args:
        folders: those of the runs (`cnnexp.reports.records.sweep_runs` finds a sweep's); half-finished, failed
            and damaged ones are shown as such.
        destination: where the files go, an existing folder.
        title: the page's heading.

    Raises:
        OSError: where ``destination`` can't be written to.
    """
    result = study(read_runs(folders))
    sentences, search_figure = reported(destination)
    drawn = {
        "search.png": search_figure,
        "curves.png": draw_grid(result, "loss"),
        "accuracy.png": draw_grid(result, "accuracy"),
        "gap.png": draw_against(result),
        "heatmap.png": draw_heat_maps(result),
    }
    figures = {name: png(figure) for name, figure in drawn.items() if figure is not None}
    page = html_page(result, figures, title, sentences)
    files = {"report.html": page.encode(), "report.csv": csv_text(result).encode(), **figures}
    for name, content in files.items():
        write_whole(destination / name, content)
    for name in drawn.keys() - figures.keys():  # left by an earlier report
        (destination / name).unlink(missing_ok=True)
    table = text_table(result, terminal_width())
    return Report(result, [destination / name for name in files], table, sentences)

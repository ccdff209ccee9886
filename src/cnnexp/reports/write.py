"""A report on runs, from their folders: ``report.html``, ``report.csv`` and figures."""

import base64
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from cnnexp.reports.against import draw_against, draw_heat_maps
from cnnexp.reports.figures import png
from cnnexp.reports.findings import findings, headline
from cnnexp.reports.grid import MOST_PANELS, draw_grid
from cnnexp.reports.leaderboard import columns, csv_text, row, text_table
from cnnexp.reports.records import read_runs
from cnnexp.reports.search import reported
from cnnexp.reports.study import Study, study
from cnnexp.reports.tables import shown
from cnnexp.runs import write_whole

MOST_ROWS = 1000  # of each of the page's tables, which bounds its size; report.csv has them all


@dataclass(frozen=True)
class Report:
    """The files that were written, the page first, and what the terminal is to show.

    ``table`` is the leaderboard, as wide as the terminal, with all columns where the output goes elsewhere;
    ``search`` is what a search has found, in sentences.
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


def write_report(
    folders: Sequence[Path],
    destination: Path,
    title: str,
    baseline: Sequence[str] | None = None,
    reveal: bool = False,
) -> Report:
    """Read runs and write their report; a file of an earlier report is replaced whole, or not at all.

    Args:
        folders: those of the runs (`cnnexp.reports.records.sweep_runs` finds a sweep's); half-finished, failed
            and damaged ones are shown as such.
        destination: where the files go, an existing folder; OSError is raised where it can't be written to.
        title: the page's heading.
        baseline: settings that name the configuration to compare the others with, see `study`.
        reveal: whether the test numbers of all configurations are shown, and not only of the best by validation.

    Raises:
        CnnexpError: where the baseline doesn't name one configuration; then nothing is written.
    """
    result = study(read_runs(folders), baseline=baseline, reveal=reveal)
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
    # no width where the output goes to a file or another program
    table = text_table(result, shutil.get_terminal_size(fallback=(0, 0)).columns or None)
    return Report(result, [destination / name for name in files], table, sentences)


def html_page(study: Study, figures: Mapping[str, bytes], title: str, search: Sequence[str] = ()) -> str:
    """Return the page: the answer first, then the leaderboard, the figures, every run's verdict, the failures.

    What it looks like is in ``templates/report.html.j2``. A search's sentences, and its figure ``search.png``,
    have a section of their own before the leaderboard. ``figures`` are PNG files by name.
    """
    environment = Environment(
        loader=PackageLoader("cnnexp", "reports/templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(
        title=title,
        headline=headline(study),
        findings=findings(study),
        search=search,
        columns=[(column.title, "text" if column.text else "") for column in columns(study)],
        rows=[row(study, configuration) for configuration in study.configurations],
        figures={name: base64.b64encode(content).decode() for name, content in figures.items()},
        verdicts=[(run.name, run.record.status, run.verdict.text) for run in study.runs],
        failures=[
            (run.name, run.record.status, run.record.error or "") for run in study.runs if not run.completed
        ],
        rule=study.rule,
        most_rows=MOST_ROWS,
        most_panels=MOST_PANELS,
    )

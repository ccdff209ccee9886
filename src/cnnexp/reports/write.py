"""A report on runs, from their folders: a page, tables for papers and programs, and figures."""

import base64
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from cnnexp.reports.ablation import TITLES, ablation, ablation_note, ablation_table
from cnnexp.reports.against import draw_against, draw_heat_maps
from cnnexp.reports.contents import Contents, contents, report_json, summary_csv
from cnnexp.reports.figures import png
from cnnexp.reports.grid import draw_grid, panels_told
from cnnexp.reports.leaderboard import columns, csv_text, row, text_table
from cnnexp.reports.learning_curve import draw_learning_curve, learning_curve_told
from cnnexp.reports.records import read_runs
from cnnexp.reports.search import reported
from cnnexp.reports.study import Configuration, Judged, Study, study
from cnnexp.reports.summary_files import latex
from cnnexp.reports.tables import shown
from cnnexp.reports.width import draw_width, width_told
from cnnexp.runs import write_whole

MOST_ROWS = 1000  # of each of the page's tables, which bounds its size; report.csv has them all


@dataclass(frozen=True)
class Report:
    """The files that were written, the page first, and what the terminal is to show.

    ``table`` is the leaderboard, as wide as the terminal, with all columns where the output goes elsewhere; below
    it is the ablation, where there is one that fits.
    """

    told: Contents
    files: Sequence[Path]
    table: str

    @property
    def study(self) -> Study:
        """The runs and their configurations."""
        return self.told.study

    def __str__(self) -> str:
        lines = [self.table, "", self.told.answer]
        lines += [f"  {line}" for line in (*self.told.findings, *self.told.search)]
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
    told = contents(result, title, sentences)
    drawn = {
        "search.png": search_figure,
        "learning_curve.png": draw_learning_curve(result.compared),
        "width.png": draw_width(result.compared),
        "curves.png": draw_grid(result, "loss"),
        "accuracy.png": draw_grid(result, "accuracy"),
        "gap.png": draw_against(result.compared),
        "heatmap.png": draw_heat_maps(result.compared),
    }
    figures = {name: png(figure) for name, figure in drawn.items() if figure is not None}
    texts = {
        "report.html": html_page(told, figures, destination),
        "report.csv": csv_text(result),
        "summary.csv": summary_csv(told),
        "report.json": report_json(told),
        "report.tex": latex(result),
    }
    files = {**{name: text.encode() for name, text in texts.items()}, **figures}
    for name, content in files.items():
        write_whole(destination / name, content)
    for name in drawn.keys() - figures.keys():  # left by an earlier report
        (destination / name).unlink(missing_ok=True)
    # no width where the output goes to a file or another program
    width = shutil.get_terminal_size(fallback=(0, 0)).columns or None
    table, changes = text_table(result, width), ablation_table(result.compared)
    if changes and (width is None or max(map(len, changes.splitlines())) <= width):
        table += f"\n\n{changes}"
    return Report(told, [destination / name for name in files], table)


def html_page(told: Contents, figures: Mapping[str, bytes], destination: Path | None = None) -> str:
    """Return the page: question, answer, what was held fixed, leaderboard, figures, every run's verdict, failures.

    What it looks like is in ``templates/report.html.j2``. A search's sentences, and its figure ``search.png``,
    have a section of their own before the leaderboard. ``figures`` are PNG files by name. Runs whose folders lie
    below ``destination`` are links.
    """
    study = told.study
    environment = Environment(
        loader=PackageLoader("cnnexp", "reports/templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(
        told=told,
        columns=[
            (column.title, " ".join(["text"] * column.text + ["more"] * (not column.first)))
            for column in columns(study)
        ],
        rows=[_cells(study, configuration) for configuration in study.configurations],
        figures={name: base64.b64encode(content).decode() for name, content in figures.items()},
        verdicts=[
            (_name(run, destination), Cell(run.record.status), Cell(run.verdict.text)) for run in study.runs
        ],
        failures=[
            (_name(run, destination), Cell(run.record.status), Cell(run.record.error or ""))
            for run in study.runs
            if not run.completed
        ],
        ablation=[
            [Cell(text, value) for text, value in zip(change.cells, change.sorted_by, strict=True)]
            for change in ablation(study.compared)
        ],
        ablation_columns=list(zip(TITLES, ("text", "", "", "", "text"), strict=True)),
        ablation_note=ablation_note(study.compared),
        rule=study.rule,
        most_rows=MOST_ROWS,
        captions=_captions(study),
    )


@dataclass(frozen=True)
class Cell:
    """A cell of one of the page's tables: its text, the number it is sorted by, and what it is a link to."""

    text: str
    value: float | None = None
    href: str | None = None


def _cells(study: Study, configuration: Configuration) -> list[Cell]:
    numbers = {key: statistic.mean for key, statistic in configuration.numbers.items()}
    return [
        Cell(text, numbers.get(column.key))
        for column, text in zip(columns(study), row(study, configuration), strict=True)
    ]


def _name(run: Judged, destination: Path | None) -> Cell:
    """Return a run's name, a link where its folder lies below the page's."""
    folder = run.record.folder.resolve()  # neither ".." nor a link leads out of the page's folder
    if destination is None or not folder.is_relative_to(destination.resolve()):
        return Cell(run.name)
    return Cell(run.name, href=f"./{quote(folder.relative_to(destination.resolve()).as_posix())}/")


def _captions(study: Study) -> dict[str, str]:
    return {
        "search.png": "The search: every trial in its order, how much each parameter matters, and the accuracy "
        "against each.",
        "learning_curve.png": learning_curve_told(study.compared),
        "width.png": width_told(study.compared),
        "curves.png": panels_told(study, "loss"),
        "accuracy.png": panels_told(study, "accuracy"),
        "gap.png": "The generalization gap (clean training accuracy less validation accuracy), and beside it the "
        "accuracies, against what is swept.",
        "heatmap.png": "The gap and the validation accuracy over both swept settings.",
    }

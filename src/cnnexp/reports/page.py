"""The report as one page of HTML; what it looks like is in ``templates/report.html.j2``."""

import base64
from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from cnnexp.reports.findings import findings, headline
from cnnexp.reports.grid import MOST_PANELS
from cnnexp.reports.leaderboard import columns, row
from cnnexp.reports.study import Study

MOST_ROWS = 1000
"""Rows of each table, which bounds the size of the page; report.csv has them all."""


def html_page(study: Study, figures: Mapping[str, bytes], title: str, search: Sequence[str] = ()) -> str:
    """Return the page: the answer first, then the leaderboard, the figures, every run's verdict, the failures.

    A search's sentences, and its figure ``search.png``, have a section of their own before the leaderboard.

    Args:
        study: what to tell.
        figures: PNG files by name.
        title: the page's heading.
        search: what a search has found.
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
        figures={name: base64.b64encode(png).decode() for name, png in figures.items()},
        verdicts=[(run.name, run.record.status, run.verdict.text) for run in study.runs],
        failures=[
            (run.name, run.record.status, run.record.error or "") for run in study.runs if not run.completed
        ],
        rule=study.rule,
        most_rows=MOST_ROWS,
        most_panels=MOST_PANELS,
    )

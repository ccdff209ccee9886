"""The report as one page of HTML that needs nothing else: no network, no other file."""

import base64
from collections.abc import Mapping, Sequence
from html import escape

from cnnexp.reports.findings import findings, headline
from cnnexp.reports.grid import MOST_PANELS
from cnnexp.reports.leaderboard import header, row
from cnnexp.reports.study import Study

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1d2126; --faint: #5f6772; --line: #d9dde3;
        --band: #f4f6f8; --accent: #1f6fb4; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181c; --ink: #e4e7eb; --faint: #a0a8b3; --line: #353b43; --band: #1d2126; --accent: #79b8f3;
          --bad: #ff8a80; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 76rem; background: var(--paper); color: var(--ink);
       font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
p.answer { font-size: 1.15rem; margin: .75rem 0 .25rem; }
.faint { color: var(--faint); font-size: .85rem; }
.bad { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .76rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .45rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { background: var(--band); text-align: right; }
.text { text-align: left; }
td.wrap { white-space: normal; overflow-wrap: anywhere; }
tr:nth-child(even) td { background: var(--band); }
figure { margin: 1rem 0; break-inside: avoid; }
/* the images have dark ink on white paper, also on a dark page */
img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: 4px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font-size: .8rem; }
@media print {
  :root { --paper: #fff; --ink: #000; --faint: #444; --line: #bbb; --band: #f2f2f2; --accent: #000; --bad: #900; }
  @page { size: A4 landscape; margin: 12mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; }
  table { font-size: 6.5pt; }
  th, td { padding: .1rem .25rem; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
  thead { display: table-header-group; }
  img { max-height: 165mm; }
}
"""

MOST_ROWS = 1000
"""Rows of each table, and so the size of the page; report.csv has them all."""

CAPTIONS = {
    "search.png": "The search: every trial in its order, how much each parameter matters, and the accuracy "
    "against each.",
    "curves.png": "Loss of every configuration, a line a seed. Dot: best epoch; shaded: overfits. Of more than "
    f"{MOST_PANELS} configurations {MOST_PANELS} are drawn, evenly from the smallest gap to the largest.",
    "accuracy.png": "Accuracy of the same.",
    "gap.png": "The generalization gap (clean training accuracy less validation accuracy), and the accuracies, "
    "against what is swept.",
    "heatmap.png": "The gap and the validation accuracy over both swept settings.",
}


def html_page(study: Study, images: Mapping[str, bytes], title: str, search: Sequence[str] = ()) -> str:
    """Return the page: the answer first, then the leaderboard, the images, every run's verdict, the failures.

    A search's sentences, and its image, ``search.png``, have a section of their own before the leaderboard.

    Args:
        study: what to tell.
        images: PNG files by name.
        title: the page's heading.
        search: what a search has found.
    """
    found = [_figure(name, images[name]) for name in ("search.png",) if name in images]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="answer">{escape(headline(study))}</p>',
        _list(findings(study)),
        *(["<h2>Search</h2>", _list(search), *found] if search else []),
        "<h2>Leaderboard</h2>",
        _leaderboard(study),
        '<p class="faint">Mean ± sample standard deviation over the completed runs of a configuration, at the '
        "epoch of the best validation accuracy; the highest validation accuracy first, then the lowest validation "
        "loss. Accuracies in per cent, gap in percentage points, losses in nats. Training accuracy and loss are "
        "clean: measured after the epoch, in eval mode, without augmentation.</p>",
    ]
    if images:
        parts.append("<h2>Images</h2>")
        parts += [_figure(name, image) for name, image in images.items() if name != "search.png"]
    parts += ["<h2>Every run</h2>", _verdicts(study), f'<p class="faint">{escape(str(study.rule))}</p>']
    bad = [run for run in study.runs if not run.completed]
    if bad:
        rows = [[run.name, run.record.status, run.record.error or ""] for run in bad[:MOST_ROWS]]
        table = _table(["run", "status", "error"], rows, texts=3, last_wraps=True)
        parts += ["<h2>Not completed</h2>", table + _more(len(bad), "runs")]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _leaderboard(study: Study) -> str:
    columns = header(study)
    shown = study.configurations[:MOST_ROWS]
    table = _table(
        [title for _, title in columns],
        [row(study, configuration) for configuration in shown],
        texts=len(study.swept) or 1,
        also_text=[key for key, _ in columns].index("verdict"),
    )
    return table + _more(len(study.configurations), "configurations")


def _verdicts(study: Study) -> str:
    rows = [[run.name, run.record.status, run.verdict.text] for run in study.runs[:MOST_ROWS]]
    table = _table(["run", "status", "verdict"], rows, texts=3, last_wraps=True)
    return table + _more(len(study.runs), "runs")


def _more(count: int, things: str) -> str:
    left = count - MOST_ROWS
    return f'\n<p class="faint">… and {left} more {things} in report.csv.</p>' if left > 0 else ""


def _table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: int,
    also_text: int | None = None,
    last_wraps: bool = False,
) -> str:
    """Return a table whose first ``texts`` columns, and column ``also_text``, are aligned as text."""
    kinds = ["text" if i < texts or i == also_text else "" for i in range(len(titles))]
    if last_wraps:
        kinds[-1] = "text wrap"
    attributes = [f' class="{kind}"' if kind else "" for kind in kinds]
    head = "".join(f"<th{a}>{escape(title)}</th>" for a, title in zip(attributes, titles, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{a}>{escape(cell)}</td>" for a, cell in zip(attributes, cells, strict=True))
        + "</tr>"
        for cells in rows
    )
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _list(lines: Sequence[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in lines) + "\n</ul>" if lines else ""


def _figure(name: str, image: bytes) -> str:
    caption = escape(CAPTIONS.get(name, name))
    data = base64.b64encode(image).decode()
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f'<figcaption class="faint">{caption}</figcaption></figure>'
    )

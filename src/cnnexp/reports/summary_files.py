"""The leaderboard for papers and for programs: its numbers, and a LaTeX table."""

import re
from collections.abc import Sequence
from typing import Any

from cnnexp.reports.ablation import TITLES, ablation
from cnnexp.reports.figures import written_out
from cnnexp.reports.leaderboard import columns, row, verdict_of
from cnnexp.reports.study import Study
from cnnexp.reports.swept import shortened

IN_PAPERS = ("runs", "val_accuracy", "against", "test_accuracy", "generalization_gap", "verdict")
"""Columns of report.tex, beside those of what is swept."""
MOST_ROWS, LONGEST = 40, 60  # configurations on one page of paper, characters of a cell
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "…": r"\dots{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "[": "{[}", "]": "{]}", '"': "''",
    "*": "{*}", "|": r"\textbar{}", "`": r"\textasciigrave{}", "-": "{-}", "−": "$-$", "→": r"$\to$",
}  # fmt: skip


def summary(study: Study) -> list[dict[str, Any]]:
    """Return a dict a configuration, the best one first, with the leaderboard's numbers as numbers.

    Each number is its mean over the seeds, with ``_low`` and ``_high`` of its 95 % interval and ``_n``, the number
    of seeds that have it; None where that isn't known. The difference is of validation accuracies, the best's (or
    the baseline's) less this configuration's; ``difference_images`` is how many images it is of where
    networks were compared and not configurations. Accuracies and gaps are fractions.
    """
    rows = []
    for index, configuration in enumerate(study.configurations):
        found = study.comparisons.get(index)
        difference = found.difference if found else None
        least, most = (found and found.interval) or (None, None)
        numbers: dict[str, Any] = {}
        for key in dict.fromkeys(key for c in study.configurations for key in c.numbers):
            statistic = configuration.numbers.get(key)
            low, high = (statistic and statistic.interval) or (None, None)
            numbers |= {
                key: statistic and statistic.mean,
                f"{key}_low": low, f"{key}_high": high, f"{key}_n": statistic.count if statistic else 0,
            }  # fmt: skip
        rows.append({
            "place": index + 1, "configuration": configuration.label,
            **{key: configuration.values.get(key) for key in study.swept},
            "runs": len(configuration.runs), "completed": configuration.completed,
            "verdict": configuration.verdict,
            "compared": verdict_of(study, index) if len(study.configurations) > 1 else None,
            "difference": difference and difference.mean,
            "difference_half_width": difference and difference.half_width,
            "difference_low": least, "difference_high": most,
            "difference_pairs": difference.pairs if difference else None,
            "difference_images": found and found.images,
            "p_value": found and found.p_value, "more_seeds": found and found.more_seeds, **numbers,
        })  # fmt: skip
    return rows


def latex(study: Study) -> str:
    """Return the leaderboard's main columns as a LaTeX table; it needs the packages booktabs and graphicx.

    A table that is wider than the text is scaled to it; of more than 40 configurations the first 40 are in it. The
    ablation, where there is one, is a second table below it.
    """
    shown = columns(study)
    kept = [i for i, column in enumerate(shown) if column.key in (*study.swept, "", *IN_PAPERS)]
    align = "".join("l" if shown[i].text else "r" for i in kept)
    cells = [[shown[i].title for i in kept]]
    cells += [[row(study, configuration)[i] for i in kept] for configuration in study.configurations[:MOST_ROWS]]
    tables = [_tabular(align, cells, len(study.configurations) - MOST_ROWS)]
    if changes := ablation(study):
        rows = [list(TITLES), *(change.cells for change in changes[:MOST_ROWS])]
        tables.append(_tabular("lrrrl", rows, len(changes) - MOST_ROWS))
    return "\n".join([
        "% \\usepackage{booktabs,graphicx}",
        "% mean and half of its 95 % t-interval over the seeds; of two both values; of one Wilson's 95 % interval",
        "\\par\\medskip\n".join(tables),
    ])  # fmt: skip


def _tabular(align: str, cells: Sequence[Sequence[str]], left: int) -> str:
    """Return rows, the titles first, as a table of the text's width at most; ``left`` are left out of it."""
    head, *body = [f"{' & '.join(escaped(shortened(cell, LONGEST)) for cell in line)} \\\\" for line in cells]
    if left > 0:
        body.append(f"\\multicolumn{{{len(align)}}}{{l}}{{\\dots{{}} and {left} more}} \\\\")
    return "\n".join([
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{align}}}", "\\toprule", head, "\\midrule", *body, "\\bottomrule",
        "\\end{tabular}}\n",
    ])  # fmt: skip


def escaped(text: str) -> str:
    """Return a text as LaTeX shows it, on one line; what it would need a package for is written in ASCII."""
    return "".join(_in_latex(letter) for letter in re.sub(r"(?<!\w)-(?=\d)", "−", " ".join(text.split())))


def _in_latex(letter: str) -> str:
    if letter in _LATEX or letter.isascii():
        return _LATEX.get(letter, letter if letter.isprintable() else "")
    return "".join(map(_in_latex, written_out(letter)))

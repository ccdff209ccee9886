"""What a report says of a study: found once, and the same in the page, the terminal and the files for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnexp.reports.ablation import ablation
from cnnexp.reports.findings import findings, headline
from cnnexp.reports.held_fixed import held_fixed, question
from cnnexp.reports.study import Study
from cnnexp.reports.summary_files import summary
from cnnexp.reports.tables import as_csv
from cnnexp.runs import json_text


@dataclass(frozen=True)
class Contents:
    """A study in words and numbers.

    ``title`` is what the report was called, ``question`` what its runs were made for, None where they don't say;
    ``answer`` is one sentence, ``findings`` are those below it, ``search`` what a search has found; ``held_fixed``
    are facts by name, ``summary`` is a dict a configuration, the best one first.
    """

    study: Study
    title: str
    question: str | None
    answer: str
    findings: Sequence[str]
    search: Sequence[str]
    held_fixed: Mapping[str, str]
    summary: Sequence[Mapping[str, Any]]


def contents(study: Study, title: str, search: Sequence[str] = ()) -> Contents:
    """Return what is to be said of a study."""
    return Contents(
        study, title, question(study), headline(study), findings(study), search, held_fixed(study), summary(study)
    )


def summary_csv(told: Contents) -> str:
    """Return the configurations' numbers as CSV."""
    return as_csv(
        [
            {key: json.dumps(value) if isinstance(value, (list, dict)) else value for key, value in one.items()}
            for one in told.summary
        ]
    )


def report_json(told: Contents) -> str:
    """Return the report as JSON, with one key a line of the page: numbers are numbers, unknown ones null."""
    study, best = told.study, told.study.configurations[:1]
    return json_text(
        {
            "question": told.question,
            "title": told.title,
            "answer": told.answer,
            "findings": told.findings,
            "held_fixed": told.held_fixed,
            "swept": list(study.swept),
            "best": best[0].label if best else None,
            "baseline": None if study.baseline is None else study.configurations[study.baseline].label,
            "configurations": told.summary,
            "ablation": [
                {
                    "changed": change.text,
                    "configuration": change.configuration.label,
                    "n": change.pairs,
                    "val_accuracy": change.configuration.mean("val_accuracy"),
                    "difference": change.difference,
                    "difference_half_width": change.half_width,
                    "difference_of_images": change.of_images,
                    "told_apart": change.told_apart,
                }
                for change in ablation(study)
            ],
            "runs": [
                {
                    "folder": run.name,
                    "status": run.record.status,
                    "verdict": run.verdict.word,
                    "text": run.verdict.text,
                }
                for run in study.runs
            ],
        }
    )

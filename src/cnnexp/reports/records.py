"""Runs as plain records, read from their folders; a damaged run has a record too."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnexp.errors import first_line
from cnnexp.evaluation.answers import FILE as ANSWERS
from cnnexp.evaluation.answers import Answers, read_answers
from cnnexp.records import MOVED, as_now, read_text, read_yaml
from cnnexp.runs import RESULT, STOPPED, leaves, read_result

METRICS = "metrics.csv"
_MOST_ROWS = 64 << 20  # bytes of it: hundreds of thousands of epochs
SEVERAL = ("callbacks", "metrics")
STATUSES = ("completed", "running", "interrupted", "failed")


@dataclass(frozen=True)
class RunRecord:
    """One run, as far as its folder can be read; what isn't there is empty."""

    folder: Path
    status: str  # completed, running, interrupted, stopped (as asked, after an epoch), failed, unreadable
    error: str | None  # what went wrong, for a failed run and for an unreadable one
    result: Mapping[str, Any]  # the content of result.json
    history: Sequence[Mapping[str, float]]  # the rows of metrics.csv as numbers, without the cells that are empty
    settings: Mapping[str, Any]  # with dotted keys, and the choice of each config group under the group's name
    typed: Mapping[str, str]  # what the command line set, as typed
    answers: Answers | None = None  # on the validation images, at the best epoch

    def images(self, part: str) -> int | None:
        """Return on how many images train_eval, val or test numbers are measured; None where it isn't recorded."""
        count = self.result.get(f"{part}_images")
        return count if isinstance(count, int) and count > 0 else None

    @property
    def error_line(self) -> str:
        """The first line of the error, empty where there is none."""
        return (self.error or "").partition("\n")[0]


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run's, finished or not."""
    return (folder / ".hydra").is_dir() or (folder / RESULT).is_file()


def sweep_runs(sweep: Path) -> list[Path]:
    """Return the folders of a sweep's runs, sorted by name; a run's own folder gives itself."""
    if is_run(sweep):
        return [sweep]
    return sorted(path for path in sweep.iterdir() if path.is_dir() and is_run(path))


def read_run(folder: Path) -> RunRecord:
    """Read a run's folder; a file that can't be read is named in the record's error, and raises nothing."""
    problems: list[str] = []

    def attempt(read: Any, path: Path, otherwise: Any) -> Any:
        try:
            return read(path)
        except FileNotFoundError:
            pass
        except Exception as error:  # a report on a thousand runs must not end at one damaged file
            problems.append(f"{path.name}: {first_line(error)}")
        return otherwise

    result = attempt(lambda path: read_result(path.parent), folder / RESULT, None)
    history = attempt(_read_history, folder / METRICS, [])
    answers = attempt(lambda path: read_answers(path.parent), folder / ANSWERS, None)
    record = folder / ".hydra"
    settings = attempt(_read_settings, record / "config.yaml", {})
    choices = attempt(_read_choices, record / "hydra.yaml", {})
    typed = attempt(_read_typed, record / "overrides.yaml", {})
    typed = {MOVED[key] if MOVED.get(key) in settings else key: value for key, value in typed.items()}
    if result is not None and result.get("status") not in STATUSES:
        problems.append(f"{RESULT}: there is no status {result.get('status')}")
    if result is None or problems:
        status = "unreadable"
        error = "; ".join(problems) or f"no {RESULT}: the job died before it wrote one, or is about to begin"
    else:
        status, error = result["status"], result.get("error")
        if status == "interrupted" and isinstance(result.get(STOPPED), int):
            status = "stopped"
    settings = {**settings, **choices}
    return RunRecord(folder, status, error and str(error), result or {}, history, settings, typed, answers)


def read_runs(folders: Iterable[Path]) -> list[RunRecord]:
    """Read the folders of many runs; see `read_run`."""
    return [read_run(Path(folder)) for folder in folders]


def _read_history(path: Path) -> list[dict[str, float]]:
    reader = csv.DictReader(io.StringIO(read_text(path, _MOST_ROWS), newline=""))
    # a row that is being written lacks its last cells (None)
    rows = [{key: float(cell) for key, cell in row.items() if cell} for row in reader]
    return [row for row in rows if math.isfinite(row.get("epoch", math.nan))]


def _read_settings(path: Path) -> dict[str, Any]:
    content = as_now(read_yaml(path))
    flat = dict(leaves(content))
    # several files of these groups can be chosen, and Hydra doesn't record which
    for group in SEVERAL:
        flat[group] = sorted(content.get(group) or []) or None
    return flat


def _read_choices(path: Path) -> dict[str, Any]:
    recorded = read_yaml(path)["hydra"]["runtime"]["choices"]
    return {group: choice for group, choice in recorded.items() if "/" not in group and group not in SEVERAL}


def _read_typed(path: Path) -> dict[str, str]:
    parts = [str(override).partition("=") for override in read_yaml(path) or []]
    return {key.lstrip("+~"): value for key, _, value in parts}

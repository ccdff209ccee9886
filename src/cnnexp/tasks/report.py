"""``task=report``: what a sweep, or any set of runs, has shown so far."""

import glob
import logging
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from cnnexp.errors import CnnexpError
from cnnexp.job.job import Job
from cnnexp.reports.baseline import as_list
from cnnexp.reports.records import is_run, sweep_runs
from cnnexp.reports.tables import shown
from cnnexp.runs import RESULT, read_json

log = logging.getLogger(__name__)


def _something(runs: list[str | None]) -> list[str | None]:
    if not runs or None in runs:
        raise PydanticCustomError("runs", "type run=outputs/sweeps/… or task.runs=[outputs/a,outputs/b]")
    return runs


Runs = Annotated[list[str | None], AfterValidator(_something)]


def report(job: Job, runs: Runs) -> None:
    """Write ``report.html``, ``report.csv`` and figures, and show the leaderboard.

    The report on a folder of runs, such as a sweep's, goes into that folder and replaces the one there; any other
    goes into the job's own folder.

    Raises:
        CnnexpError: where one of them isn't there or holds no runs, or the baseline isn't one configuration.
    """
    folders = [folder for given in runs for folder in _matching(str(given))]
    found: dict[Path, Path] = {}
    for folder in folders:
        inside = sweep_runs(folder)
        if not inside:
            raise CnnexpError(
                f"{shown(folder)} holds no runs; give a run's folder, or one that holds such folders"
            )
        found |= {path.resolve(): path for path in inside}
    found = {resolved: path for resolved, path in found.items() if _is_fit(path)}
    if not found:
        given = ", ".join(str(shown(folder)) for folder in folders)
        raise CnnexpError(f"{given}: no run there has trained; give folders of fits")
    # drawing is slow to import, and a misspelt folder needs none
    from cnnexp.reports.write import write_report

    destination, title = job.folder, f"{len(found)} runs"
    if len(folders) == 1:
        [folder] = folders
        destination = job.folder if is_run(folder) else folder
        title = "/".join(folder.resolve().parts[-2:])
    baseline = as_list(job.config.get("baseline")) or None
    log.info(
        "%s", write_report(list(found.values()), destination, title, baseline, bool(job.config.get("reveal")))
    )


def _is_fit(run: Path) -> bool:
    """Whether a run trained, or can't say so; another task's, such as a summary, is named and left out."""
    try:
        task = (read_json(run / RESULT) or {}).get("task") or "fit"
    except CnnexpError:  # the report tells of it
        return True
    if task != "fit":
        log.info("left out: %s (task=%s)", shown(run), task)
    return task == "fit"


def _matching(given: str) -> list[Path]:
    if Path(given).is_dir():
        return [Path(given)]
    matching = sorted(Path(match) for match in glob.glob(given) if Path(match).is_dir())
    if not matching:
        raise CnnexpError(f"{given}: there is no such folder; give a run's, a sweep's, or a pattern in quotes")
    return matching

"""The runs that a list of folders, sweeps and patterns names, and whether they can be compared."""

import glob
import logging
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch

from cnnexp.contract import require_images
from cnnexp.data.sets import name_of
from cnnexp.errors import CnnexpError
from cnnexp.job.load import LoadedRun
from cnnexp.reports.records import sweep_runs
from cnnexp.reports.tables import shown
from cnnexp.runs import read_result

log = logging.getLogger(__name__)

_TOGETHER = 1000  # images


def find_runs(entries: Sequence[str]) -> list[Path]:
    """Return the folders of finished runs, each once, in the order they were named.

    Args:
        entries: each the folder of a run, the folder of a sweep (all its runs), or a pattern of either.

    Raises:
        CnnexpError: for an entry that names no run.
    """
    found: dict[Path, None] = {}
    for entry in entries:
        path = Path(entry).expanduser()
        matched = [path] if path.exists() else sorted(map(Path, glob.glob(str(path), recursive=True)))
        inside = [run for match in matched if match.is_dir() for run in sweep_runs(match)]
        runs = [run for run in inside if (run / ".hydra" / "config.yaml").is_file()]
        if not runs:
            what = "isn't a run or a sweep" if path.exists() else "matches nothing"
            raise CnnexpError(f"task.runs: {entry} {what}; give run folders, such as outputs/cnn-digits/…")
        named = path in runs
        for run in runs:
            told = read_result(run) or {}
            status, task = told.get("status"), told.get("task") or "fit"
            if task != "fit":
                log.warning("left out: %s (task=%s)", shown(run), task)
            elif status == "completed" or named:
                found[run.resolve()] = None
            else:
                log.warning("left out: %s (%s)", shown(run), status or "no result.json")
    return list(found)


def require_same_test(runs: Sequence[LoadedRun], class_names: Sequence[Sequence[str]]) -> None:
    """Raise CnnexpError unless all runs are tested on the same images of the same classes, named for each run.

    Images of another size pass where they come from the same folder of files.
    """
    for (first, theirs), (second, others) in pairwise(zip(runs, class_names, strict=True)):
        if list(theirs) != list(others):
            raise CnnexpError(
                f"the runs' classes differ: {shown(first.folder)} knows {_listed(theirs)}, "
                f"{shown(second.folder)} {_listed(others)}; compare runs on the same data"
            )
        for run in (first, second):
            require_images(run.data)
        if not _same_images(first, second):
            raise CnnexpError(
                f"the runs' test images differ: {first.data} for {shown(first.folder)}, {second.data} for "
                f"{shown(second.folder)}; compare runs on the same data"
            )


def _same_images(first: LoadedRun, second: LoadedRun) -> bool:
    a, b = first.data, second.data
    if not torch.equal(a.labels("test"), b.labels("test")):
        return False
    if a.image_shape != b.image_shape:
        same = name_of(a.dataset) == name_of(b.dataset) and "image_size" in a.options
        return same and Path(a.root).resolve() == Path(b.root).resolve()
    count = a.sizes["test"]
    parts = [range(start, min(start + _TOGETHER, count)) for start in range(0, count, _TOGETHER)]
    return all(torch.equal(a.images("test", part), b.images("test", part)) for part in parts)


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:3])
    return f"{few}, … ({len(names)})" if len(names) > 3 else few

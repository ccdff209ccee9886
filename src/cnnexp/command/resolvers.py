"""The functions that config files may call, such as ``${data_root:}``."""

import hashlib
import inspect
import os
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from cnnexp.runs import claim

LONGEST_JOB_FOLDER = 100


def config_folder() -> Path:
    """Return conf/: inside the package where it was installed, beside src/ in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def first_of(*values: Any) -> Any:
    """Return the first value that isn't null."""
    return next((value for value in values if value is not None), None)


def data_root() -> str:
    """Return ``$CNNEXP_DATA``, or else the folder ``data`` of the folder the command was typed in."""
    return os.path.abspath(os.environ.get("CNNEXP_DATA") or "data")


def kind(chosen: Mapping[str, str]) -> str:
    """Return the folder that a run lies in, such as ``cnn-digits``; what another task leaves lies by its name."""
    return f"{chosen['model']}-{chosen['data']}" if chosen["task"] == "fit" else chosen["task"]


def choices(group: str) -> str:
    """Return the names of a config group's files, a user's own (``--config-dir``) among them.

    Broken into lines as the help page has room for them.
    """
    from hydra.core.global_hydra import GlobalHydra

    names = GlobalHydra.instance().config_loader().get_group_options(group)
    listed = ", ".join(name for name in names if not name.startswith("_"))
    return ("\n" + " " * 14).join(textwrap.wrap(listed, 96))


def job_folder(overrides: str) -> str:
    """Return a folder name for a sweep's job from its overrides, such as ``model-cnn,seed-0``.

    Other characters than letters, digits and ``. _ , + -`` become ``_``, and at most 100 are kept; a short hash
    of the whole then sets it apart from others that would look the same.
    """
    overrides = re.sub(r"(^|,)\+\+", r"\1", overrides)  # Hydra's mark of a new key
    name = re.sub(r"[^A-Za-z0-9._,+-]", "_", overrides)
    if name == overrides and 0 < len(name) <= LONGEST_JOB_FOLDER and name not in (".", ".."):
        return name
    if not overrides:
        return "job"
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_JOB_FOLDER - 9]}-{digest}"


def claim_job(sweep: str, overrides: str) -> str:
    """Claim a job's folder in a sweep's and return its name; Hydra calls it once for each job, as it starts.

    For a job that is resumed ``hydra.sweep.subdir`` is given, and this isn't called.
    """
    return claim(Path(sweep) / job_folder(overrides)).name


def direction(monitor: str) -> str:
    """Return which way a metric is to go: ``min`` for a loss and for time, ``max`` for other scores."""
    return "min" if re.search(r"loss|objective|error|seconds|rate", str(monitor)) else "max"


def register() -> None:
    """Make the functions known to OmegaConf."""
    # OmegaConf 2.4 gave the new function the old one's name
    renamed = "replace" in inspect.signature(OmegaConf.register_resolver).parameters
    add: Any = OmegaConf.register_resolver if renamed else OmegaConf.register_new_resolver
    for function in (first_of, data_root, direction, kind, choices):
        add(function.__name__, function, replace=True)
    add("claim_job", claim_job, use_cache=True, replace=True)

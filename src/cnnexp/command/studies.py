"""Whether an experiment is a study: a sweep by itself, without ``-m``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


def is_study(experiment: str, folders: Iterable[Path]) -> bool:
    """Return whether an experiment's file, or one that it starts from, says ``hydra: {mode: MULTIRUN}``.

    Hydra 1.3 composes the settings to find that out, and 1.4 looks into the root's file alone.

    Args:
        experiment: its name.
        folders: where config files are; one that is in several counts in the last.
    """
    folders, names, known = list(folders), [experiment], set()
    while names:
        name = names.pop()
        files = [file for folder in folders if (file := folder / "experiment" / f"{name}.yaml").is_file()]
        if name in known or not files:
            continue
        known.add(name)
        try:
            content: Any = yaml.safe_load(files[-1].read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):  # composing it tells what is wrong with it
            continue
        if not isinstance(content, dict):
            continue
        hydra = content.get("hydra")
        if isinstance(hydra, dict) and "mode" in hydra:
            return hydra["mode"] == "MULTIRUN"
        # of the same folder; others are {group: choice}
        names += [one for one in content.get("defaults") or () if isinstance(one, str)]
    return False

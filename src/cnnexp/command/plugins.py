"""Hydra's launchers and sweepers: which file sets one up, whether it is installed, whether it is used right."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from cnnexp.errors import CnnexpError


def prefer_files_of(folder: Path) -> None:
    """Let the files in ``folder``/hydra stand for the settings that plugins store under the same names.

    Hydra refuses a file beside a stored node of its name, rather than choosing between them.
    """
    Plugins.instance()  # finding them is what makes them store their settings
    stored = ConfigStore.instance().repo.get("hydra", {})
    for file in (folder / "hydra").glob("*/*.yaml"):
        stored.get(file.parent.name, {}).pop(file.name, None)


def check_plugins(config: DictConfig) -> None:
    """Raise CnnexpError for a launcher or sweeper of ours that isn't there or is given what it doesn't take."""
    from cnnexp.command.check import check_arguments

    for part in ("launcher", "sweeper"):
        node: Any = OmegaConf.to_container(config.hydra[part], resolve=True)
        if not node["_target_"].startswith("hydra_plugins.cnnexp_"):
            continue
        plugin = get_object(node["_target_"])
        needed, extra = getattr(plugin, "NEEDS", (None, None))
        if needed is not None and find_spec(needed) is None:
            raise CnnexpError(
                f'hydra/{part}={extra} needs a package that isn\'t installed; type: pip install "cnnexp[{extra}]"'
            )
        arguments = {key: value for key, value in node.items() if not key.startswith("_")}
        check_arguments(plugin, arguments, f"hydra.{part}.")


def is_search(config: DictConfig) -> bool:
    """Return whether a sweep is a search by Optuna."""
    return config.hydra.sweeper._target_.endswith(".CnnexpOptunaSweeper")

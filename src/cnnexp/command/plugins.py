"""Hydra's launchers and sweepers: the files that set them up, and checks of their settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from cnnexp.errors import CnnexpError


def prefer_files_of(folder: Path) -> None:
    """Let the files in ``folder``/hydra stand for the settings that plugins store under the same names.

    Hydra refuses a file beside a stored node of its name, rather than choosing between them.
    """
    Plugins.instance()  # discovery makes the plugins store their settings
    stored = ConfigStore.instance().repo.get("hydra", {})
    for file in (folder / "hydra").rglob("*.yaml"):
        node = stored
        for part in file.parent.relative_to(folder / "hydra").parts:
            node = node.get(part, {})
        node.pop(file.name, None)


def copy_lightly() -> None:
    """Let Hydra's copies of its store of settings share the settings.

    It copies all that plugins have stored each time it composes or lists a group, a hundred times for ``--help``;
    what it takes from a store it copies once more.
    """

    def tree(part: Any) -> Any:
        return {key: tree(value) for key, value in part.items()} if isinstance(part, dict) else part

    def copied(store: ConfigStore, memo: Any) -> ConfigStore:
        another = copy(store)
        another.repo = tree(store.repo)
        return another

    ConfigStore.__deepcopy__ = copied  # type: ignore[attr-defined]


@contextmanager
def changeable(config: DictConfig) -> Iterator[None]:
    """Let a callback of ours change the settings, and Hydra's own part of them, which Hydra 1.4 protects apart."""
    with read_write(config), read_write(config.hydra), open_dict(config):
        yield


def refuse_launcher(config: DictConfig) -> None:
    """Raise CnnexpError where a launcher was typed for a single run, which Hydra starts without any."""
    typed = [override for override in config.hydra.overrides.hydra if override.startswith("hydra/launcher=")]
    if typed and not typed[-1].endswith("=basic"):
        raise CnnexpError(
            f"{typed[-1]} is for sweeps, and this is a single run; add -m, it may be a sweep of one job"
        )


def check_plugins(config: DictConfig) -> None:
    """Raise CnnexpError for a launcher or sweeper of ours that isn't installed, or for a wrong setting of any."""
    from cnnexp.command.check import check_settings

    nodes = {}
    for part in ("launcher", "sweeper"):
        node: Any = OmegaConf.to_container(config.hydra[part], resolve=True)
        nodes[part] = node
        if not node["_target_"].startswith("hydra_plugins.cnnexp_"):
            continue
        needed, extra = getattr(get_object(node["_target_"]), "NEEDS", (None, None))
        if needed is not None and find_spec(needed) is None:
            raise CnnexpError(
                f'hydra/{part}={extra} needs a package that isn\'t installed; type: pip install "cnnexp[{extra}]"'
            )
    check_settings({"hydra": nodes})


def is_search(config: DictConfig) -> bool:
    """Return whether a sweep is a search by Optuna."""
    return config.hydra.sweeper._target_.endswith(".CnnexpOptunaSweeper")

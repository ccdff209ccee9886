"""``run=RUN``: take everything from what a run recorded of itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnnexp.command.arguments import value_of
from cnnexp.errors import CnnexpError

NAME = "recorded"
GROUPS = ("model", "data", "trainer", "optimizer", "scheduler", "logger", "callbacks")


def read_record(run: Path) -> tuple[DictConfig, dict[str, Any]]:
    """Return what a run was made of: its settings, and the choices of its config groups.

    Raises CnnexpError where ``run`` isn't the folder of a run.
    """
    record = run / ".hydra" / "config.yaml"
    if not run.is_dir():
        raise CnnexpError(f"run={run}: there is no such folder; give a run's, such as outputs/cnn-digits/…")
    if not record.is_file():
        raise CnnexpError(f"run={run}: not a run's folder, it has no .hydra/config.yaml")
    try:
        settings = OmegaConf.load(record)
        choices = OmegaConf.load(run / ".hydra" / "hydra.yaml").hydra.runtime.choices
    except (OSError, YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise CnnexpError(f"run={run}: its record can't be read: {str(error).splitlines()[0]}") from None
    if not isinstance(settings, DictConfig) or not all(group in settings for group in GROUPS):
        raise CnnexpError(f"run={run}: {record} isn't the record of a cnnexp run")
    return settings, {str(key): value for key, value in choices.items()}


def use_record(overrides: Sequence[str]) -> str | None:
    """Make the record of the run that ``run=`` names the settings to start from; return their name for Hydra.

    A config group that is chosen anew replaces the recorded one. Without ``run=`` nothing happens. A report needs
    no settings of a run, and its ``run=`` may be a sweep's folder, which has none.
    """
    given = value_of("run", overrides)
    if given is None:
        return None
    if value_of("task", overrides) == "report":
        if not Path(given).is_dir():
            raise CnnexpError(f"run={given}: there is no such folder; give a sweep's, such as outputs/sweeps/…")
        return None
    if value_of("experiment", overrides) is not None:
        raise CnnexpError("run= takes everything from a run's record, experiment= from a recipe; give one of them")
    run = Path(given).absolute()
    settings, choices = read_record(run)
    task = value_of("task", overrides) or "fit"
    groups = [group for group in GROUPS if any(override.startswith(f"{group}=") for override in overrides)]
    for key in ("task", "run", *groups):
        settings.pop(key, None)
    kept = {group: choices[group] for group in GROUPS if group in choices and group not in groups}
    hydra: dict[str, Any] = {"runtime": {"choices": kept}}
    if task != "fit":
        hydra["run"] = {"dir": f"{_literal(str(run / task))}/${{now:%Y-%m-%d_%H-%M-%S}}"}
    # something for the override to replace; of groups that take several choices Hydra records none
    chosen = [{group: choices.get(group, ["none"])} for group in groups]
    node = {
        "defaults": ["application", {"task": "fit"}, *chosen, "_self_", {"experiment": None}],
        **OmegaConf.to_container(settings),  # type: ignore[dict-item]
        "run": given,
        "hydra": hydra,
    }
    ConfigStore.instance().store(name=NAME, node=node)
    return NAME


def _literal(path: str) -> str:
    return path.replace("${", "\\${")

"""``run=RUN``: take everything from what a run recorded of itself."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnnexp.command.arguments import value_of
from cnnexp.command.targets import refuse_strangers, trusted_by
from cnnexp.errors import CnnexpError

NAME = "recorded"
GROUPS = ("model", "data", "trainer", "optimizer", "scheduler", "logger", "callbacks")


def read_record(run: Path, trusted: Collection[str] = ()) -> tuple[DictConfig, dict[str, Any]]:
    """Return what a run was made of: its settings, and the choices of its config groups.

    The record may be a stranger's: nothing in it is looked up or called here, and what comes back calls only
    what conf/ names and the names that are ``trusted``.

    Raises CnnexpError where ``run`` isn't the folder of a run, or its record would call anything else.
    """
    record = run / ".hydra" / "config.yaml"
    if not run.is_dir():
        raise CnnexpError(f"run={run}: there is no such folder; give a run's, such as outputs/cnn-digits/…")
    if not record.is_file():
        raise CnnexpError(f"run={run}: not a run's folder, it has no .hydra/config.yaml")
    try:
        settings: Any = OmegaConf.to_container(OmegaConf.load(record), resolve=False)
        hydra: Any = OmegaConf.to_container(OmegaConf.load(run / ".hydra" / "hydra.yaml"), resolve=False)
        choices = {str(key): value for key, value in hydra["hydra"]["runtime"]["choices"].items()}
    except (OSError, YAMLError, OmegaConfBaseException, ValueError) as error:
        raise CnnexpError(f"run={run}: its record can't be read: {str(error).splitlines()[0]}") from None
    except (KeyError, TypeError, AttributeError):
        raise CnnexpError(f"run={run}: {run / '.hydra' / 'hydra.yaml'} isn't the record of a cnnexp run") from None
    if not isinstance(settings, dict) or not all(isinstance(settings.get(group), dict) for group in GROUPS):
        raise CnnexpError(f"run={run}: {record} isn't the record of a cnnexp run")
    if "defaults" in settings or "hydra" in settings or _looks_up(settings) or _looks_up(choices):
        # a run records its values, and nothing that Hydra or a resolver would have to act on
        raise CnnexpError(f"run={run}: {record} was changed by hand: it has more in it than plain values")
    # the task is chosen anew each time
    refuse_strangers({key: value for key, value in settings.items() if key != "task"}, f"run={run}", trusted)
    return OmegaConf.create(settings), choices


def _looks_up(node: Any) -> bool:
    """Whether there is an interpolation, such as ``${oc.env:HOME}``, anywhere in plain values."""
    if isinstance(node, dict):
        return any(_looks_up(part) for part in (*node, *node.values()))
    if isinstance(node, list):
        return any(_looks_up(part) for part in node)
    return isinstance(node, str) and "${" in node


def use_record(overrides: Sequence[str]) -> str | None:
    """Make the record of the run that ``run=`` names the settings to start from; return their name for Hydra.

    A config group that is chosen anew replaces the recorded one. Without ``run=`` nothing happens.
    """
    given = value_of("run", overrides)
    if given is None:
        return None
    if value_of("experiment", overrides) is not None:
        raise CnnexpError("run= takes everything from a run's record, experiment= from a recipe; give one of them")
    run = Path(given).absolute()
    settings, choices = read_record(run, trusted_by(overrides))
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

"""``run=RUN`` and ``resume=RUN``: take everything from what a run recorded of itself."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnnexp.command.arguments import Typed
from cnnexp.command.targets import refuse_places, refuse_strangers, trusted_by, trusted_by_this_job
from cnnexp.errors import CnnexpError, first_line
from cnnexp.records import as_now, checked, refuse_links
from cnnexp.runs import RESULT, differences

NAME = "recorded"
_KILLED = "it was killed as it began, with nothing done yet; type its command again"
GROUPS = ("model", "data", "trainer", "optimizer", "scheduler", "logger", "callbacks", "metrics")
OF_A_SWEEP = ("baseline", "reveal", "settle")
"""Settings of conf/study.yaml: asked anew each time."""
_NEW = {"metrics"}
"""Groups that older records don't have."""


def read_record(run: Path, key: str = "run", trusted: Collection[str] = ()) -> tuple[DictConfig, dict[str, Any]]:
    """Return a run's recorded settings, and the choices of its config groups.

    The record may be a stranger's: nothing in it is looked up or called here, and what comes back calls only
    what conf/ names, what the command at work names itself, and the names that are ``trusted``.

    Raises CnnexpError where ``run``, which was typed as ``key=…``, isn't the folder of a run, or its record would
    call anything else.
    """
    record, hydra_record = run / ".hydra" / "config.yaml", run / ".hydra" / "hydra.yaml"
    if not run.is_dir():
        raise CnnexpError(f"{key}={run}: there is no such folder; give a run's, such as outputs/cnn-digits/…")
    if not record.is_file():
        raise CnnexpError(f"{key}={run}: not a run's folder, it has no .hydra/config.yaml")
    begun = (run / RESULT).is_file()
    if not begun and not hydra_record.is_file():
        raise CnnexpError(f"{key}={run}: {_KILLED}")
    try:
        recorded: Any = OmegaConf.to_container(OmegaConf.load(checked(record)), resolve=False)
        hydra: Any = OmegaConf.to_container(OmegaConf.load(checked(hydra_record)), resolve=False)
        choices = {str(group): choice for group, choice in hydra["hydra"]["runtime"]["choices"].items()}
    except (CnnexpError, OSError, YAMLError, OmegaConfBaseException, ValueError) as error:
        raise CnnexpError(f"{key}={run}: its record can't be read: {first_line(error)}") from None
    except (KeyError, TypeError, AttributeError):
        raise CnnexpError(f"{key}={run}: {hydra_record} isn't the record of a cnnexp run") from None
    settings = as_now(recorded)
    if settings is not recorded:
        choices.setdefault("model/loss", "cross_entropy")
    for group, choice in choices.items():
        if choice is not None and not _is_name(choice):
            raise CnnexpError(f"{key}={run}: {hydra_record} calls {choice!r} its {group}, which is no name")
    if not _is_name(settings.get("name") or "run") if isinstance(settings, dict) else False:
        raise CnnexpError(f"{key}={run}: {record} has name: {settings['name']!r}, which is no name")
    if not isinstance(settings, dict) or not all(
        isinstance(settings.get(group, {} if group in _NEW else None), dict) for group in GROUPS
    ):
        raise CnnexpError(f"{key}={run}: {record} isn't the record of a cnnexp run")
    if "defaults" in settings or "hydra" in settings or _looks_up(settings) or _looks_up(choices):
        # our record has plain values only; Hydra's own, which is there first, has interpolations
        if not begun:
            raise CnnexpError(f"{key}={run}: {_KILLED}")
        raise CnnexpError(f"{key}={run}: {record} was changed by hand: it has more in it than plain values")
    # the task is chosen anew each time
    called = {group: value for group, value in settings.items() if group != "task"}
    refuse_strangers(called, f"{key}={run}", {*trusted, *trusted_by_this_job()})
    return OmegaConf.create(settings), choices


def _is_name(text: Any) -> bool:
    """Whether a recorded text names something, and is no path out of the folder that is called by it."""
    parts = text.split("/") if isinstance(text, str) else [""]
    return all(part.isprintable() and part.strip(". ") for part in parts)


def without_hydra(config: DictConfig) -> DictConfig:
    """Return the settings without Hydra's own."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def settings_of(config: DictConfig) -> DictConfig:
    """Return what a run records of its settings: with data.root absolute, without where this command stops."""
    settings = without_hydra(config)
    settings.pop("stop_after_epoch", None)  # how far a command goes is no part of what the run is
    if isinstance(root := settings.data.get("root"), str):  # a data module of one's own may have none
        settings.data.root = str(Path(root).expanduser().absolute())
    return settings


def changed_since(run: Path, config: DictConfig) -> list[str]:
    """Return the keys whose values differ from the run's record, except those that a resume may change."""
    # not resolved: our records have no interpolations, so one would be a stranger's
    before = OmegaConf.to_container(OmegaConf.load(checked(run / ".hydra" / "config.yaml")), resolve=False)
    now = OmegaConf.to_container(settings_of(config), resolve=True)
    return differences(now, as_now(before))  # type: ignore[arg-type]


def _looks_up(node: Any) -> bool:
    """Whether there is an interpolation, such as ``${oc.env:HOME}``, anywhere in plain values."""
    if isinstance(node, dict):
        return any(_looks_up(part) for part in (*node, *node.values()))
    if isinstance(node, list):
        return any(_looks_up(part) for part in node)
    return isinstance(node, str) and "${" in node


def sweep_to_resume(typed: Typed) -> Path | None:
    """Return the folder of the sweep that ``resume=`` names; None where it names none."""
    given = typed.value("resume")
    if given is None or not (Path(given) / "multirun.yaml").is_file():
        return None
    return Path(given).resolve()


def use_record(typed: Typed) -> str | None:
    """Make the record of the run that ``run=`` or ``resume=`` names the settings to start from.

    A config group that is chosen anew replaces the recorded one. Returns the settings' name for Hydra, None where
    neither was typed.

    A report needs no settings of a run, and its ``run=`` may be a sweep's folder, which has none.
    """
    values = {key: typed.value(key) for key in ("run", "resume", "experiment")}
    given_by = {key: value for key, value in values.items() if value is not None}
    if not given_by.keys() & {"run", "resume"}:
        return None
    if len(given_by) > 1:
        raise CnnexpError(
            f"{' and '.join(f'{key}=' for key in given_by)} each say where the settings come from; "
            "give one of them"
        )
    [(key, given)] = given_by.items()
    task = typed.value("task") or "fit"
    if task == "report" and key == "run":
        if not Path(given).is_dir():
            raise CnnexpError(f"run={given}: there is no such folder; give a sweep's, such as outputs/sweeps/…")
        return None
    run = Path(given).absolute()
    settings, choices = read_record(run, key, trusted_by(typed))
    if key == "resume" and (task != "fit" or choices.get("task", "fit") != "fit"):
        raise CnnexpError("resume= goes on with training; for another task on a run, type run= instead")
    if key == "resume":
        refuse_links(run)
    # a group within a group, such as model/loss, was chosen too; a new choice of the outer one brings its own
    nested = [group for group in choices if group.partition("/")[0] in GROUPS and "/" in group]
    chosen_anew = [group for group in (*GROUPS, *nested) if typed.chooses(group)]
    groups = [group for group in chosen_anew if group.partition("/")[0] not in chosen_anew or "/" not in group]
    for replaced in ("task", "run", "resume", "fail_fast", "stop_after_epoch", *OF_A_SWEEP, *groups):
        above, _, last = replaced.rpartition("/")
        (settings[above] if above else settings).pop(last, None)
    kept = {group: choices[group] for group in (*GROUPS, *nested) if group in choices and group not in groups}
    hydra: dict[str, Any] = {"runtime": {"choices": kept}}
    if key == "resume":
        # the same folder, whose record isn't written again
        hydra |= {"run": {"dir": _literal(str(run))}, "output_subdir": None}
    elif task != "fit":
        hydra["run"] = {"dir": f"{_literal(str(run / task))}/${{now:%Y-%m-%d_%H-%M-%S}}"}
    # the override needs a default to replace; Hydra records no choice for groups that take a list
    chosen = [{group: choices.get(group, ["none"])} for group in groups]
    recorded = OmegaConf.to_container(settings)
    assert isinstance(recorded, dict)
    # other tasks than fit have no loggers and no callbacks of the run's
    written: Any = recorded if task == "fit" else {"trainer": recorded.get("trainer")}
    refuse_places(written, f"{key}={run}", typed)
    recorded |= {group: recorded.get(group, {}) for group in _NEW - set(groups)}
    if "data" in recorded and recorded["data"].get("seed") == recorded["seed"]:
        recorded["data"]["seed"] = "${seed}"  # so that seed=… still sets the seed of the data
    node = {
        "defaults": [
            "application",
            "study",
            {"task": "fit"},
            *chosen,
            "_self_",
            {"experiment": None},
        ],
        **recorded,
        "resume": None,
        key: given,
        "fail_fast": False,
        "stop_after_epoch": None,
        "hydra": hydra,
    }
    store = ConfigStore.instance()
    store.repo.pop(NAME + ".yaml", None)  # an earlier command's in this process
    store.store(name=NAME, node=node)
    return NAME


def _literal(path: str) -> str:
    return path.replace("${", "\\${")

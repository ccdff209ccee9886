"""``resume=RUN``: whether a run can go on as asked, and the note in its folder that it does."""

from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from cnnexp import runs
from cnnexp.command.recorded import changed_since
from cnnexp.errors import CnnexpError


def check_resume(folder: Path, config: DictConfig) -> None:
    """Raise CnnexpError for a run that is complete or at work, or settings that make it another experiment."""
    changed = changed_since(folder, config)
    if changed:
        free = ", ".join(key for key in runs.FREE_TO_CHANGE if "." in key)
        raise CnnexpError(
            f"resume= can't change {', '.join(changed)}: it would be another experiment. It may change {free}, "
            f"logger; for a new run with other settings type run={config.resume}"
        )
    with runs.held(folder):  # raises where another process works on it
        pass
    result = runs.read_result(folder) or {}
    epochs = config.trainer.max_epochs
    planned = OmegaConf.load(folder / ".hydra" / "config.yaml").trainer.max_epochs
    more = epochs is not None and planned != epochs and epochs > (result.get("epochs") or 0)
    if result.get("status") == "completed" and not more:
        raise CnnexpError(
            f"{config.resume} is complete after {result.get('epochs')} epochs; to train on, type "
            f"trainer.max_epochs={2 * (result.get('epochs') or 1)}, say"
        )


def note_resume(folder: Path, config: DictConfig) -> None:
    """Add to a run's record that it is gone on with; raises CnnexpError while another process works on it."""
    with runs.held(folder), (folder / ".hydra" / "resumes.yaml").open("a") as file:
        entry = {"at": datetime.now().isoformat(timespec="seconds"), "overrides": config.hydra.overrides.task}
        OmegaConf.save(OmegaConf.create([entry]), file)

"""``resume=RUN``: whether a run can go on as asked, and the note in its folder that it does."""

from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from cnnexp import runs
from cnnexp.command.recorded import changed_since
from cnnexp.errors import CnnexpError
from cnnexp.records import checked


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
    done, planned = result.get("epochs") or 0, OmegaConf.load(checked(folder / ".hydra" / "config.yaml")).trainer
    if result.get("status") == "completed" and not _goes_further(config.trainer, planned, done):
        if planned.get("max_time"):
            longer = "a longer trainer.max_time"
        elif (planned.get("max_steps") or -1) > 0 and done < (planned.max_epochs or 0):
            longer = f"trainer.max_steps={2 * planned.max_steps}, say"
        else:
            longer = f"trainer.max_epochs={2 * (done or 1)}, say"
        raise CnnexpError(f"{config.resume} is complete after {done} epochs; to train on, type {longer}")


def _goes_further(now: DictConfig, planned: DictConfig, done: int) -> bool:
    """Whether a run that was ended by its epochs, steps or time is given more of them."""
    keys = {key.split(".")[1] for key in runs.LENGTH}
    changed = {key for key in keys if now.get(key) != planned.get(key)}
    if changed == {"max_epochs"}:
        return now.max_epochs is not None and now.max_epochs > done
    return bool(changed)


def note_resume(folder: Path, config: DictConfig) -> None:
    """Add to a run's record that it is gone on with; raises CnnexpError while another process works on it."""
    with runs.held(folder), (folder / ".hydra" / "resumes.yaml").open("a") as file:
        entry = {"at": datetime.now().isoformat(timespec="seconds"), "overrides": config.hydra.overrides.task}
        OmegaConf.save(OmegaConf.create([entry]), file)

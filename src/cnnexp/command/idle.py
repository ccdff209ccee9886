"""Settings that were typed but would change nothing of what was asked for."""

from omegaconf import DictConfig

from cnnexp.command.recorded import OF_A_SWEEP
from cnnexp.errors import CnnexpError

_OF_TRAINING = ("model", "optimizer", "scheduler", "callbacks")


def refuse_idle(config: DictConfig) -> None:
    """Raise CnnexpError for a typed setting that a single job, or its task, never looks at."""
    task = config.hydra.runtime.choices.task
    trained = config.get("run") is not None and task in _ON_TRAINED
    for override in config.hydra.overrides.task:
        key = override.partition("=")[0].lstrip("+~")
        if key in ("name", "fail_fast"):
            raise CnnexpError(f"{key}= is of a sweep, and this is a single run: leave it out, or add -m")
        if key == "stop_after_epoch" and task != "fit":
            raise CnnexpError(f"stop_after_epoch= is of training, and this is task={task}; leave it out")
        if key.startswith("settle."):
            raise CnnexpError("settle= is of a sweep, and this is a single run: leave it out, or add -m")
        if key in OF_A_SWEEP and task != "report":
            raise CnnexpError(f"{key}= is of a sweep's report: add -m, or type task=report run=outputs/sweeps/…")
        if key == "checkpoint" and (task == "fit" or config.get("run") is None) and task != "compare":
            raise CnnexpError(f"checkpoint= is of tasks on a run, and task={task} uses none here; leave it out")
        # naming a class again trusts it; test-time augmentation is of the test
        of_training = key.replace("/", ".").partition(".")[0] in _OF_TRAINING
        if trained and of_training and not key.endswith("_target_") and "test_time" not in key:
            raise CnnexpError(f"{key}= changes nothing: task={task} takes the network of run= as it was trained")


_ON_TRAINED = ("test", "predict", "activations", "kernels", "saliency", "mistakes", "export")
"""Tasks that only use a trained network."""

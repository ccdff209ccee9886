"""What was typed, to show a person what to type next."""

import shlex

from hydra.core.hydra_config import HydraConfig


def typed(key: str) -> bool:
    """Return whether a key, such as ``data.root``, was given a value on the command line."""
    return any(override.split("=")[0].lstrip("+~") == key for override in HydraConfig.get().overrides.task)


def command_with(*changes: str) -> str:
    """Return the command for training with what was typed for this task, and with changes.

    What belongs to the task itself, and what the changes replace, is left out.
    """
    replaced = {change.split("=")[0] for change in changes} | {"task"}
    kept = [
        override
        for override in HydraConfig.get().overrides.task
        if override.split("=")[0].lstrip("+~") not in replaced and not override.startswith("task.")
    ]
    return shlex.join(["python", "-m", "cnnexp", *kept, *changes])

"""Making what a config node names: the one place where a ``_target_`` of ours is called, by any Hydra."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hydra.utils
from hydra._internal.utils import _locate
from omegaconf import OmegaConf

_ASKS_FOR_A_LIST = hasattr(hydra.utils, "execution_whitelist")  # Hydra 1.4 does, and 1.5 won't go on without


def instantiate(node: Any, **arguments: Any) -> Any:
    """Return what ``hydra.utils.instantiate`` makes of a node.

    What was typed is the user's own, and `cnnexp.command.targets` has looked through what was recorded: each name
    in the node may be called, but for those that Hydra never calls, such as ``os.system``.
    """
    if _ASKS_FOR_A_LIST:
        plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
        arguments["_execution_whitelist_"] = sorted(
            {name for target in _targets(plain) for name in _names(target)}
        )
    return hydra.utils.instantiate(node, **arguments)


def quiet_hydra() -> None:
    """Keep Hydra 1.4 from warning that it calls what is of ours, a callback say, without a list of what it may."""
    warnings.filterwarnings("ignore", r"hydra\.utils\.instantiate\(\) resolved _target_='cnnexp\.(job|sweeps)\.")
    warnings.filterwarnings("ignore", "Hydra configured Python logging without an execution whitelist")


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(target := node.get("_target_"), str):
            yield target
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            yield from _targets(value)


def _names(target: str) -> set[str]:
    """Return a target's name, and that of the object which it leads to."""
    try:
        found = _locate(target)  # get_object would log an error of its own
    except Exception:  # instantiating it tells what is wrong with it
        return {target}
    return {target, f"{found.__module__}.{getattr(found, '__qualname__', '')}"}

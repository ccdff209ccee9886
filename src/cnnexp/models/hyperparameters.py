"""Whether a checkpoint holds what it takes to build its network again."""

import inspect
from typing import Any

import lightning as L

from cnnexp.errors import CnnexpError


def check_hyperparameters(model: L.LightningModule) -> None:
    """Raise CnnexpError where checkpoints would lack arguments of the network's constructor, or can't be written.

    The command refuses such a network. A Trainer of one's own that makes checkpoints warns: they can still be
    loaded, by ``load_from_checkpoint(path, …)`` with the constructor's arguments.
    """
    name = type(model).__name__
    parameters = inspect.signature(type(model)).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    missing = [argument for argument in needed if argument not in model.hparams]
    if missing:
        raise CnnexpError(
            f"{name}'s checkpoints would lack {', '.join(missing)}, so nothing could load them; call "
            f"self.save_hyperparameters() in {name}.__init__, right after super().__init__(…)"
        )
    for argument, value in model.hparams.items():
        if not _is_plain(value):
            raise CnnexpError(
                f"{name}'s checkpoints can't hold {argument}, a {type(value).__name__}: only numbers, texts, "
                f'lists and dicts; call self.save_hyperparameters(ignore=["{argument}"])'
            )


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)

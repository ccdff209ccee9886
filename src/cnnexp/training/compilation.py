"""``torch.compile`` for a run, with the time it takes kept apart from the time of training."""

import logging
import shutil
import time
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, cast

import lightning as L
import torch
import torch.nn.functional as F

from cnnexp.errors import CnnexpError

log = logging.getLogger(__name__)

Mode: TypeAlias = Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]


class Compile(L.Callback):
    """Compile the network in place before training, for training and for evaluation.

    In place, so that the names in its checkpoints don't change. Each batch size of the run is compiled before the
    first step, on blank images; the weights and batch norm's averages don't change. ``seconds`` is how long that
    took. Curves repeat bit for bit with the same versions, but differ from an uncompiled network's in the last
    digits.

    Args:
        mode: torch.compile's own.
    """

    def __init__(self, mode: Mode = "default") -> None:
        self.mode = mode
        self.seconds = 0.0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compile now, for every batch size, rather than in the first steps."""
        if pl_module.device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++", "cl"))):
            raise CnnexpError("callbacks=[compile] needs a C++ compiler (g++ or clang++) on a CPU; install one")
        begin = time.perf_counter()
        pl_module.compile(mode=self.mode)
        averages = {name: buffer.clone() for name, buffer in pl_module.named_buffers()}
        data = getattr(trainer, "datamodule", None)
        if data is not None:
            pl_module.train()
            for size in _sizes(data.train_dataloader()):
                with trainer.precision_plugin.train_step_context():
                    labels = torch.zeros(size, dtype=torch.long, device=pl_module.device)
                    loss = F.cross_entropy(self._blank_logits(pl_module, size), labels)
                loss.backward()
            pl_module.eval()
            with torch.no_grad(), trainer.precision_plugin.val_step_context():
                names = ("val_dataloader", "train_eval_dataloader", "test_dataloader")
                loaders = [getattr(data, name)() for name in names if hasattr(type(data), name)]
                for size in dict.fromkeys(size for loader in loaders for size in _sizes(loader)):
                    self._blank_logits(pl_module, size)
            pl_module.train()
        with torch.no_grad():
            for name, buffer in pl_module.named_buffers():
                buffer.copy_(averages[name])
        pl_module.zero_grad(set_to_none=True)
        self.seconds = time.perf_counter() - begin
        log.info("compiled in %.1f s", self.seconds)

    @staticmethod
    def _blank_logits(module: L.LightningModule, size: int) -> torch.Tensor:
        shape = cast(tuple[int, ...], module.image_shape)
        return module(torch.zeros(size, *shape, device=module.device))


def _sizes(loader: Any) -> Sequence[int]:
    """Return the sizes of a loader's batches as far as it knows them, see ``cnnexp.contract``."""
    return getattr(loader, "batch_sizes", ())

"""Checkpoints that are whole or not there, and that can't run code."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


class WholeCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its target, flush it to the disk, read it back, then rename it.

    Whatever instant a process dies at, each name holds a whole checkpoint or none. Lightning's own writer
    passes through the system's temporary folder, which may lie on another disk, and doesn't flush. Before
    ``last.ckpt`` is replaced it becomes ``previous.ckpt``.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` to ``path``; raises OSError (disk full, not allowed) with ``path`` untouched."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            # mapped, not read: this checks the archive's directory and that nothing but data is in its pickle
            torch.load(temporary, map_location="meta", weights_only=True, mmap=True)
            if target.name == LAST and target.exists():
                os.replace(target, target.with_name(PREVIOUS))
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, tensors and plain values only."""
        return super().load_checkpoint(path, map_location or (lambda storage, _: storage), weights_only=True)


def checkpoint_callbacks(folder: Path) -> list[ModelCheckpoint]:
    """Return Lightning's callbacks that keep ``best.ckpt`` (validation accuracy) and ``last.ckpt``."""
    common: dict[str, Any] = {
        "dirpath": folder,
        "enable_version_counter": False,
        # after the epoch's row is complete: a checkpoint made right after validation would be resumed
        # without the epoch's numbers
        "save_on_train_epoch_end": True,
    }
    best = ModelCheckpoint(filename=Path(BEST).stem, monitor="val_accuracy", mode="max", **common)
    last = ModelCheckpoint(filename=Path(LAST).stem, **common)
    return [best, last]

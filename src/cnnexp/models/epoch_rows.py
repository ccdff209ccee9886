"""An epoch's numbers as one row: what is logged for it joins it, and the loggers get it whole."""

import warnings
from collections.abc import Mapping
from typing import Any, cast

from lightning.pytorch.trainer.connectors.logger_connector.fx_validator import _FxValidator
from torch import Tensor

from cnnexp.models.optimized import Optimized
from cnnexp.models.paired_error import PairedError


class EpochRows(Optimized):
    """A LightningModule whose epochs are rows, in ``history``; see ``Classifier``."""

    history: list[dict[str, float]]
    _logged: dict[str, None]  # a set in order
    _in_epoch: bool
    _row_due: bool
    _paired: PairedError
    _validated_at: int

    def on_train_end(self) -> None:
        """Hand the last epoch's row to the loggers."""
        self._hand_over()

    def on_fit_end(self) -> None:
        """Do the same where nothing was left to be trained."""
        self._hand_over()

    def just_answered(self) -> Tensor | None:
        """Return of each validation image whether these weights answer it rightly: bool, shape (images,).

        None but right after a validation. The images are in the data's order, also those of several processes.
        """
        return self._paired.right if self._in_epoch and self._validated_at == self.trainer.global_step else None

    def _hand_over(self) -> None:
        # after the epoch's checkpoints, which are saved when on_train_epoch_end is over: whoever reads of an epoch
        # can rely on its being saved
        if not self._row_due:
            return
        self._row_due = False
        row = self.history[-1]
        for logger in self.trainer.loggers:
            if hasattr(logger, "log_epoch"):
                logger.log_epoch(int(row["epoch"]), row)
            else:
                logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))
                logger.save()

    def _in_fit(self) -> bool:
        return self.trainer.state.fn == "fit" and not self.trainer.sanity_checking

    def _batches_done(self) -> int:
        """Count the epoch's batches that are over, at the end of one."""
        return cast(Any, self.trainer.fit_loop.epoch_loop.batch_progress.current).processed

    def _warn_of_other_weights(self, validated: Mapping[str, float]) -> None:
        """Say so where a checkpoint of the epoch's end is chosen by what was measured earlier in the epoch."""
        for callback in self.trainer.checkpoint_callbacks:
            monitor = getattr(callback, "monitor", None)
            if monitor in validated and getattr(callback, "_save_on_train_epoch_end", None):
                warnings.warn(
                    f"{monitor} isn't of the weights that are saved at the epoch's end; leave out "
                    "save_on_train_epoch_end, to save those that each validation measures",
                    stacklevel=2,
                )

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        *more: Any,
        **options: Any,
    ) -> None:
        """Log as Lightning does, but what is logged for an epoch of training goes into that epoch's row."""
        hook = self._current_fx_name
        if logger is not False and hook is not None and self.trainer.state.fn == "fit":
            on_step, on_epoch = _FxValidator.check_logging_and_get_default_levels(hook, on_step, on_epoch)
            # Lightning wants a name logged alike in the sanity check before training and after it
            if on_epoch and (self._in_epoch or self.trainer.sanity_checking):
                self._logged[name] = None
                logger = on_step
            elif on_epoch and hook == "on_train_epoch_end":
                warnings.warn(f"{name} isn't in the epoch's row: log it before super().{hook}()", stacklevel=2)
        super().log(name, value, prog_bar, logger, on_step, on_epoch, *more, **options)

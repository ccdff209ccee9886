"""The LightningModule that every network here is: what it is trained on, and what is measured."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, Interval, Len
from lightning.pytorch.plugins.precision import DoublePrecision, FSDPPrecision
from torch import Tensor
from torchmetrics import Metric

from cnnexp import contract
from cnnexp.distributed import several, share_buffers, summed
from cnnexp.errors import CnnexpError
from cnnexp.models.epoch_rows import EpochRows
from cnnexp.models.hyperparameters import check_hyperparameters
from cnnexp.models.losses import CrossEntropy, remove_loss
from cnnexp.models.metrics import LossAndAccuracy, shortest
from cnnexp.models.optimized import OptimizerFactory, SchedulerFactory
from cnnexp.models.paired_error import PairedError
from cnnexp.models.tta import TestTimeAugmentation, weighted_views
from cnnexp.ranking import rank
from cnnexp.version import __version__
from cnnexp.whole import check_whole

if TYPE_CHECKING:
    from typing_extensions import Self

ImageShape: TypeAlias = Annotated[Sequence[Annotated[int, Ge(1)]], Len(3, 3)]
Classes: TypeAlias = Annotated[int, Ge(2)]
Fraction: TypeAlias = Annotated[float, Interval(ge=0, lt=1)]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

Batch: TypeAlias = tuple[Tensor, Tensor]

_CHECK_EVERY = 64
"""Batches after which several processes see together whether the loss is still finite."""


class Classifier(EpochRows):
    """A network from images to class scores, with its loss, its optimizer and its metrics.

    A subclass builds its layers in ``__init__``, which takes ``image_shape``, ``classes`` and arguments of its
    own, and calls ``super().__init__(image_shape, classes)`` and ``save_hyperparameters()``. It implements
    ``forward``: float images of shape (batch, channels, height, width) in, logits of shape (batch, classes) out.
    What training and testing need besides is told to ``train_with``.

    Each epoch it logs ``train_loss`` and ``train_accuracy`` (clean: eval mode, after the epoch, on the data
    module's ``train_eval_dataloader``, or else on training batches), ``val_loss`` and ``val_accuracy``,
    ``running_loss`` and ``running_accuracy`` (as the batches were met, while the weights moved), ``learning_rate``
    (of the first step), ``seconds`` (of the training pass), and the images behind each: ``train_eval_images``,
    ``val_images``, ``running_images``; and ``val_loss_se`` (see ``PairedError``). All losses are plain
    cross-entropy; where something else is trained on, ``running_objective`` is its mean. A metric ``f1`` given to
    ``train_with`` is ``train_f1``, ``val_f1`` and ``test_f1``. What a subclass logs for an epoch (in
    ``on_train_epoch_end``: before it calls ``super()``'s) joins them; after a resume within an epoch, a mean over
    its steps is of those since.

    The same numbers, a dict an epoch, are in ``history``, which checkpoints carry. Loggers that have ``log_epoch``
    are called with ``(epoch, history[-1])``, others with ``log_metrics`` and the epoch as the step.

    Args:
        image_shape: (channels, height, width) of an image.
        classes: number of classes.
    """

    AFTERWARDS: ClassVar[str] = "train_with"
    """The method that takes the settings which aren't the constructor's."""

    loss: Loss

    def __init__(self, image_shape: ImageShape, classes: Classes) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.classes = classes
        self.running, self.clean, self.evaluated, self.averaged = (LossAndAccuracy(classes) for _ in range(4))
        self.train_with()
        self.history: list[dict[str, float]] = []
        self._paired = PairedError()
        self._epoch_metrics: dict[str, float] = {}
        self._measured: Mapping[str, float] = {}
        self._validated: Mapping[str, float] = {}
        self._validated_at = -1
        self._logged: dict[str, None] = {}  # a set in order
        self._differs = False
        self._so_far: dict[str, Any] | None = None
        self._in_epoch = False
        self._row_due = False
        self._several = False
        self._whole_size: Callable[[int], int] | None = None
        self._seconds = self._clock = 0.0
        self._window_from = math.inf
        self._window_scale = 1.0

    def train_with(
        self,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        loss: Loss | None = None,
        metrics: Mapping[str, Metric] | None = None,
        test_time_augmentation: TestTimeAugmentation = "none",
    ) -> "Self":
        """Choose how the network is trained and tested, and return it; what isn't given is as in a new network.

        Args:
            optimizer: called with the parameters; Adam at 1e-3 when None.
            scheduler: called as ``scheduler(optimizer, epochs=…, steps_per_epoch=…)``; returns Lightning's
                learning-rate-scheduler dict, as the functions in ``cnnexp.training.schedules`` do. Constant when
                None.
            loss: called with a batch's logits and labels, returns the mean of its images' losses, such as a module
                of ``cnnexp.models.losses``; cross-entropy when None.
            metrics: torchmetrics by name, measured for training, validation and test; each is given class
                probabilities, shape (images, classes), and labels, and makes one number.
            test_time_augmentation: in the test, measure also the averaged logits of several views of each image,
                see ``cnnexp.models.tta``: ``test_loss_tta`` and ``test_accuracy_tta``, beside the plain ones.

        Raises:
            CnnexpError: for a loss with another number of class weights than there are classes.
        """
        weights = getattr(loss, "class_weights", None)
        if weights is not None and len(weights) != self.classes:
            raise CnnexpError(f"loss: {len(weights)} class_weights for {self.classes} classes; give one for each")
        self._optimizer = optimizer or partial(torch.optim.Adam, lr=1e-3, fused=True)
        self._scheduler = scheduler
        self._modules.pop("loss", None)  # torch puts no plain function in a module's place
        # the function itself, because a module's call would add a hundredth to a small network's step
        self.loss = F.cross_entropy if loss is None or (isinstance(loss, CrossEntropy) and loss.plain) else loss
        self.test_time_augmentation = test_time_augmentation
        for measured in (self.clean, self.evaluated, self.averaged):
            measured.measure(metrics or {})
        return self

    def objective(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what a training step lowers: the mean over a batch of ``loss``, unless a subclass overrides this.

        Logits are of shape (batch, classes); labels are class numbers, shape (batch,).
        """
        return self.loss(logits, labels)

    def __setattr__(self, name: str, value: Any) -> None:
        # torch's own __setattr__ first asks whether the value is a parameter, a module or a buffer. Lightning
        # notes the running hook's name 46 times a step, which for a small network at batch 16 is a tenth of
        # the time.
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases, those that aren't trained included."""
        return sum(parameter.numel() for parameter in self.parameters())

    def setup(self, stage: str) -> None:
        """Refuse data whose images or classes are not those the network was built for."""
        contract.check_built_for(getattr(self.trainer, "datamodule", None), self)
        if stage == "fit" and self.trainer.checkpoint_callbacks:
            try:
                check_hyperparameters(self)
            except CnnexpError as error:
                warnings.warn(str(error), stacklevel=2)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> "Self":
        """Load a checkpoint as Lightning does, but tensors and plain values only: a stranger's runs no code."""
        if isinstance(checkpoint_path, (str, Path)) and Path(checkpoint_path).is_file():
            check_whole(checkpoint_path)
        # Lightning's own default is to unpickle whatever comes from a URL
        return super().load_from_checkpoint(checkpoint_path, *args, **{"weights_only": True, **kwargs})

    # training

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums and its clock."""
        self._hand_over()
        self._note_last_window()
        self.running.reset()
        self._validated = {}
        self._logged.clear()
        self._epoch_metrics = {"learning_rate": float(self.trainer.optimizers[0].param_groups[0]["lr"])}
        self._seconds = 0.0
        self._in_epoch = True
        self._clock = time.perf_counter()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the objective of a batch, of several processes this one's share of it."""
        images, labels = batch
        logits = self(images)
        # of a last batch smaller than the number of processes, this one may have got nothing
        nothing = self._whole_size is not None and not len(labels)
        objective = logits.sum() if nothing else self.objective(logits, labels)
        updated = self.running.add(logits, labels, objective if self._differs else None)
        if self._several:  # at the same steps in all processes, so that all stop
            updated = (batch_idx + 1) % _CHECK_EVERY == 0
        if updated:
            self._check_finite(batch_idx)
        if batch_idx >= self._window_from:
            objective = objective * self._window_scale
        if self._whole_size is None:
            return objective
        # DDP takes the mean of the processes' gradients, but their parts of a batch needn't be equal
        return objective * (len(labels) * self.trainer.world_size / self._whole_size(batch_idx))

    def on_train_epoch_end(self) -> None:
        """Complete the epoch's row."""
        self._stop_clock()
        self._check_finite(int(self.trainer.num_training_batches) - 1)
        self._epoch_metrics |= {f"running_{k}": v for k, v in self.running.compute().items()}
        self._epoch_metrics["seconds"] = self._seconds
        logged = self.trainer.callback_metrics
        for name in self._logged:
            if name in logged:
                self._epoch_metrics.setdefault(name, shortest(logged[name]))
        self._in_epoch = False
        epoch = self.current_epoch + 1
        self.history.append({"epoch": epoch, **self._epoch_metrics})
        self._step_plateaus(self._epoch_metrics, self._validated)
        # for callbacks, of several validations the last; the loggers get the row whole, and at the epoch
        self.log_dict({**self._epoch_metrics, **self._validated}, logger=False)
        if self._validated_at != self.trainer.global_step:
            self._warn_of_other_weights(self._validated)
        self._row_due = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the epochs' numbers with the weights, and what there is of an epoch that isn't over."""
        checkpoint["cnnexp_version"] = __version__
        checkpoint |= {"history": self.history, "lowest_validation": self._paired.lowest}
        within = self._batches_done() < self.trainer.num_training_batches
        if within and not self._in_epoch and self._row_due:  # training ends within the epoch, which has its row
            checkpoint["epoch"] -= 1
            for progress in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
                progress["processed"] -= 1
        # of an epoch whose batches are done, where validation's end is saved, the row is still to be completed
        if self._in_epoch or (within and self._row_due):
            self._check_finite(self._batches_done() - 1)
            checkpoint["so_far"] = {
                "has_row": not self._in_epoch,
                "batches": self._batches_done(),
                "metrics": dict(self._epoch_metrics),
                "validated": dict(self._validated),
                "seconds": self._seconds + (time.perf_counter() - self._clock if self._in_epoch else 0.0),
                "running": self.running.so_far(),
                # between two steps of the optimizer, where gradients are accumulated
                "gradients": [self._gradient(parameter) if within else None for parameter in self.parameters()],
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the epochs' numbers back."""
        if self._trainer is not None and isinstance(self._trainer.precision_plugin, DoublePrecision):
            self.double()  # Lightning casts it only once the weights are restored: half of their digits were lost
        remove_loss(checkpoint["state_dict"], self.state_dict())
        self.history = list(checkpoint.get("history", []))
        self._so_far, self._paired.lowest = checkpoint.get("so_far"), checkpoint.get("lowest_validation")
        self._row_due = bool(self._so_far and self._so_far.get("has_row"))

    def on_train_start(self) -> None:
        """Go on in the middle of an epoch, where the checkpoint was made there."""
        self._logged.clear()
        self._differs = type(self).objective is not Classifier.objective or self.loss is not F.cross_entropy
        self._several = several()
        # other loaders than ours are taken to give every process the same number of images
        self._whole_size = getattr(self.trainer.train_dataloader, "whole_size", None) if self._several else None
        so_far, self._so_far = self._so_far, None
        self._note_last_window()
        if so_far is None:
            return
        if self._row_due and not self.trainer.should_stop:  # the epoch goes on, and will have another row
            self.history.pop()
            self._row_due = False
        # Lightning restores its counters, but neither where the data stood nor what we summed up
        if so_far["batches"] < self.trainer.num_training_batches:
            contract.skip(self.trainer.train_dataloader, so_far["batches"])
        self._epoch_metrics, self._validated = dict(so_far["metrics"]), so_far.get("validated", {})
        self.running.go_on_from(so_far["running"])
        for parameter, gradient in zip(self.parameters(), so_far["gradients"], strict=True):
            parameter.grad = None if gradient is None else gradient.to(parameter.device)
        self._in_epoch = True
        self._seconds = so_far["seconds"]
        self._clock = time.perf_counter()

    # evaluation

    def on_validation_epoch_start(self) -> None:
        """Measure the clean training numbers, before validation and in the same mode."""
        # here and not at the end, because Lightning's weight averaging has its weights in place from before
        # this hook until before on_validation_epoch_end
        self.evaluated.reset()
        self.evaluated.paired = self._paired.begin() if self._in_fit() else None
        # without sync_batchnorm each process has averages of its own; those of the first are what is saved
        share_buffers(self)
        if not self._in_fit():
            return
        self._stop_clock()
        data = getattr(self.trainer, "datamodule", None)
        self._measured = {}
        if data is None:
            return
        self.clean.reset()
        with self.trainer.precision_plugin.val_step_context():
            for batch in contract.clean_batches(data, sum(self.trainer.num_val_batches)):
                batch = self.trainer.precision_plugin.convert_input(batch)
                images, labels = self.transfer_batch_to_device(batch, self.device, 0)
                # not self(…): FSDP gathers the weights only in its wrapper
                self.clean.add(cast(Any, self.trainer.model)(images), labels)
        self._measured = self.clean.compute()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the validation sums."""
        images, labels = batch
        self.evaluated.add(self(images), labels)

    def on_validation_epoch_end(self) -> None:
        """Keep the validation numbers for the epoch's row; outside of training, log them."""
        metrics = {f"val_{k}": v for k, v in self.evaluated.compute().items()}
        if not self._in_fit():
            self.log_dict(metrics)
            return
        metrics |= {"train_eval_images" if k == "images" else f"train_{k}": v for k, v in self._measured.items()}
        metrics |= self._paired.compute(metrics["val_loss"])
        if not self.trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or "val_step" in self._epoch_metrics:
            metrics["val_step"] = float(self.trainer.global_step)
        # callbacks that monitor a metric find it at each validation, those that act at the epoch's end there
        self._validated = {k: v for k, v in metrics.items() if k != "val_step"}
        self._validated_at = self.trainer.global_step
        self.log_dict(self._validated, logger=False)
        self._step_plateaus(self._validated)
        # of several validations in an epoch its row tells the best: best.ckpt is of the best row
        if rank(metrics) > rank(self._epoch_metrics):
            self._epoch_metrics |= metrics
        self._clock = time.perf_counter()

    def on_test_epoch_start(self) -> None:
        """Start the sums of the test."""
        self.evaluated.reset()
        self.averaged.reset()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the test sums, and where there is test-time augmentation its views to theirs."""
        images, labels = batch
        logits = self(images)
        self.evaluated.add(logits, labels)
        if self.test_time_augmentation != "none":
            # the images themselves come first and have been seen; in single precision, whatever the network's
            (share, _), *others = weighted_views(images, self.test_time_augmentation)
            averaged = share * logits.float()
            for weight, view in others:
                averaged += weight * self(view).float()
            self.averaged.add(averaged, labels)

    def on_test_epoch_end(self) -> None:
        """Log ``test_loss`` and ``test_accuracy``, and the same with test-time augmentation."""
        metrics = {f"test_{k}": v for k, v in self.evaluated.compute().items()}
        if self.test_time_augmentation != "none":
            metrics |= {f"test_{k}_tta": v for k, v in self.averaged.compute().items() if k != "images"}
        self.log_dict(metrics)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the class probabilities of a batch, shape (batch, classes)."""
        return self(batch[0]).softmax(dim=1)

    # helpers

    def _note_last_window(self) -> None:
        """Divide the last batches of an epoch by their own number, where fewer than the others are accumulated."""
        together, batches = self.trainer.accumulate_grad_batches, self.trainer.num_training_batches
        left = int(batches) % together if math.isfinite(batches) else 0
        self._window_from = batches - left if left else math.inf
        self._window_scale = together / left if left else 1.0

    def _check_finite(self, batch_idx: int) -> None:
        """Stop a training that has diverged, before a checkpoint is made of it."""
        finite = self.running.is_finite()
        if self._several:
            finite = self.trainer.strategy.reduce_boolean_decision(finite, all=True)
        if not finite:
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            raise CnnexpError(
                f"the loss is no longer finite: epoch {self.current_epoch + 1}, by step {batch_idx + 1}, at "
                f"learning rate {rate:g}; lower optimizer.lr, or clip: trainer.gradient_clip_val=1.0"
            )

    def _gradient(self, parameter: Tensor) -> Tensor | None:
        """Return the gradient of what was met since the optimizer's last step, over all processes."""
        if parameter.grad is None or isinstance(self.trainer.precision_plugin, FSDPPrecision):
            return None
        return summed(parameter.grad) / self.trainer.world_size if self._several else parameter.grad

    def _stop_clock(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self._seconds += now - self._clock
        self._clock = now

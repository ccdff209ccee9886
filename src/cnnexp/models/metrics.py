"""Loss, accuracy and other metrics over many batches, without a device synchronisation in any of them."""

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric, SumMetric
from torchmetrics.classification import MulticlassAccuracy

from cnnexp.distributed import several, summed
from cnnexp.models.paired_error import PairedError

_MOST_BATCHES = 64
"""Reducing this many batches at once costs a small network nearly nothing a step; see docs/performance.md."""
_MOST_LOGITS = 1 << 20
"""Buffered numbers after which a reduction comes early, so that 1,000 classes don't eat the memory."""


class LossAndAccuracy(nn.Module):
    """The mean cross-entropy, the accuracy and further metrics of everything added since the last ``reset``.

    Logits are kept as they come and reduced a few dozen batches at a time. Where several processes hold a part of
    the batches each, ``compute`` is of all of them, however unequal the parts; the others must call it too.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        # we add them up over processes ourselves, all sums at once
        # a sum: torchmetrics' MeanMetric drops its weights where it doesn't look for NaN (1.9)
        self.loss = SumMetric(nan_strategy="disable", sync_on_compute=False)
        self.accuracy = MulticlassAccuracy(classes, average="micro", validate_args=False, sync_on_compute=False)
        self.objective = SumMetric(nan_strategy="disable", sync_on_compute=False)
        # what is added up over processes, and saved within an epoch
        self._summed: tuple[Metric, ...] = (self.loss, self.accuracy, self.objective)
        self.metrics = nn.ModuleList()
        self._names: list[str] = []
        self.paired: PairedError | None = None
        """Given the logits of each image, until the next ``reset``."""
        self._waiting: dict[str, list[Tensor]] = {"logits": [], "labels": [], "objectives": []}
        self._most = max(1, min(_MOST_BATCHES, _MOST_LOGITS // max(1, classes)))

    def measure(self, metrics: Mapping[str, Metric]) -> None:
        """Measure copies of these too, and no others; nothing of them enters a state dict.

        They are given class probabilities, shape (images, classes), and labels, shape (images,).
        """
        self._names = list(metrics)
        self.metrics = nn.ModuleList(metric.clone() for metric in metrics.values())
        for module in self.metrics.modules():
            module._non_persistent_buffers_set.update(module._buffers)
            if isinstance(module, Metric):
                module.persistent(False)

    @property
    def higher_is_better(self) -> dict[str, bool | None]:
        """Of each further metric whether it is better the higher; None where it doesn't say."""
        return {name: metric.higher_is_better for name, metric in zip(self._names, self.metrics, strict=True)}  # type: ignore[misc]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Move to a device, but stay in single precision where the network is made half precise."""
        super()._apply(fn, recurse)
        for metric in self.modules():
            if isinstance(metric, Metric):
                metric.set_dtype(torch.float32)
        return self

    def add(self, logits: Tensor, labels: Tensor, objective: Tensor | None = None) -> bool:
        """Take one batch: logits of shape (batch, classes), labels of shape (batch,).

        Where it was trained on something else than cross-entropy, ``objective`` is that, a mean over the batch.
        Returns whether this was one of the few times that the sums were brought up to date.
        """
        waiting = self._waiting
        buffer = waiting["logits"]
        buffer.append(logits.detach())
        waiting["labels"].append(labels)
        if objective is not None:
            waiting["objectives"].append(objective.detach() * len(labels))
        if len(buffer) >= self._most or len(buffer) * logits.numel() >= _MOST_LOGITS:
            self._reduce()
            return True
        return False

    def is_finite(self) -> bool:
        """Return whether all that was added is finite; waits for the device."""
        known = (self.loss.sum_value, *self._waiting["logits"])
        return all(bool(cast(Tensor, values).isfinite().all()) for values in known)

    def _reduce(self) -> None:
        if not self._waiting["logits"]:
            return
        logits, labels = torch.cat(self._waiting["logits"]).float(), torch.cat(self._waiting["labels"])
        sizes = [len(kept) for kept in self._waiting["labels"]]
        if self._waiting["objectives"]:
            self.objective.update(torch.stack(self._waiting["objectives"]).float().sum())
        self._drop_waiting()
        if not len(labels):  # of a last batch smaller than the number of processes, this one got nothing
            return
        self.loss.update(F.cross_entropy(logits, labels, reduction="sum"))
        if self.paired is not None:
            self.paired.add(logits, labels, sizes)
        self.accuracy.update(logits, labels)
        probabilities = logits.softmax(1) if self._names else logits
        for metric in self.metrics:
            cast(Metric, metric).update(probabilities, labels)

    def compute(self) -> dict[str, float]:
        """Return ``{"loss": nats, "accuracy": share of right answers}`` and all else; waits for the device.

        That is ``images``, how many were added; ``objective``, where one was; and the metrics by their names.
        """
        self._reduce()
        # true positives and false negatives: the right answers and the wrong ones
        states = (self.loss.sum_value, self.accuracy.tp, self.accuracy.fn, self.objective.sum_value)
        sums = [cast(Tensor, state).sum() for state in states]
        if not several():  # not every device has double precision
            sums = [value.cpu() for value in sums]
        loss, right, wrong, objective = summed(torch.stack([value.double() for value in sums]))
        images = right + wrong
        numbers = {"loss": loss / images, "accuracy": right / images, "images": images}
        if self.objective.update_called:
            numbers["objective"] = objective / images
        # of several processes, torchmetrics gathers what each has
        numbers |= zip(self._names, (cast(Metric, metric).compute() for metric in self.metrics), strict=True)
        return {name: shortest(value) for name, value in numbers.items()}

    def so_far(self) -> dict[str, Any]:
        """Return everything added so far as tensors and lists, to go on from elsewhere to the same last bit.

        Of several processes that is the sums over all of them.
        """
        if several():
            self._reduce()
        states = [cast(dict[str, Tensor], metric.metric_state) for metric in self._summed]
        return {
            "sums": [{name: summed(value).clone() for name, value in state.items()} for state in states],
            "updates": [metric.update_count for metric in self._summed],
            # as they are: summed in another grouping, the last digits would be others
            **{name: list(kept) for name, kept in self._waiting.items()},
        }

    def go_on_from(self, so_far: Mapping[str, Any]) -> None:
        """Take back what ``so_far`` gave; of several processes the first takes it for all."""
        self.reset()
        if several() and dist.get_rank() > 0:
            return
        # what an earlier version saved has no objective
        for metric, sums, updates in zip(self._summed, so_far["sums"], so_far["updates"], strict=False):
            for name, value in sums.items():
                setattr(metric, name, value.to(metric.device))
            metric._update_count = updates
        self._waiting = {name: list(so_far.get(name, [])) for name in self._waiting}

    def reset(self) -> None:
        """Forget everything added so far."""
        self.paired = None
        self._drop_waiting()
        for metric in (*self._summed, *self.metrics):
            cast(Metric, metric).reset()

    def _drop_waiting(self) -> None:
        for kept in self._waiting.values():
            kept.clear()


def shortest(number: Tensor | float) -> float:
    """Round to the seven digits that single precision carries, so that every file shows the same 0.9861111."""
    return float(f"{float(number):.7g}")

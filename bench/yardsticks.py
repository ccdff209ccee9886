"""The two loops that cnnexp is measured against, as plain as PyTorch allows.

``notebook`` is the loop of countless course notebooks: torchvision's data set with ``ToTensor`` on every image,
a ``DataLoader`` that collates them, Adam, and an accuracy read back every step. ``tuned`` is the tightest loop
over the same arithmetic: images in one tensor, batches by indexing, a fused optimizer, channels last, sums kept
on the device.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

Order = Callable[[int], Tensor]
"""The images' order in an epoch, counted from 0."""


@dataclass
class Measured:
    """What a loop gives: seconds of each epoch's training pass and of its evaluation, and the test accuracies."""

    seconds: list[float] = field(default_factory=list)
    evaluation: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Return the context that a forward pass runs in."""
    if precision == "bf16-mixed":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def _wait(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def notebook(
    net: nn.Module, train: Dataset, test: Dataset | None, *,
    batch_size: int, epochs: int, steps: int | None, order: Order, device: torch.device, precision: str, lr: float,
    until: float = 2.0,
) -> Measured:  # fmt: skip
    """Train as the notebook does; stop early when a test accuracy reaches ``until``."""

    def collate(batch: list) -> tuple[Tensor, ...]:
        return tuple(part.to(device) for part in default_collate(batch))

    net = net.to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    measured = Measured()
    for epoch in range(epochs):
        batches = _batches(order(epoch), batch_size, steps)
        loader = DataLoader(train, batch_sampler=[batch.tolist() for batch in batches], collate_fn=collate)
        right = 0
        begin = _wait(device)
        for inputs, targets in loader:
            with autocast(device, precision):
                logits = net(inputs)
                loss = criterion(logits, targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            right += (logits.argmax(1) == targets).sum().item()
        trained = _wait(device)
        measured.seconds.append(trained - begin)
        if test is not None:
            loader = DataLoader(test, batch_size, collate_fn=collate)
            ok = sum((net(inputs).argmax(1) == targets).sum().item() for inputs, targets in loader)
            measured.accuracy.append(ok / len(test))  # type: ignore[arg-type]
            measured.evaluation.append(_wait(device) - trained)
            if measured.accuracy[-1] >= until:
                break
    return measured


def tuned(
    net: nn.Module, images: Tensor, labels: Tensor, *,
    batch_size: int, epochs: int, steps: int | None, order: Order, device: torch.device, precision: str, lr: float,
) -> Measured:  # fmt: skip
    """Train as tightly as a plain loop can."""
    net = net.to(device).to(memory_format=torch.channels_last)
    images, labels = images.to(device), labels.to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
    measured = Measured()
    for epoch in range(epochs):
        batches = list(_batches(order(epoch).to(device), batch_size, steps))
        right = torch.zeros((), dtype=torch.long, device=device)
        begin = _wait(device)
        for batch in batches:
            targets = labels[batch]
            with autocast(device, precision):
                logits = net(images[batch].float().div_(255))
                loss = F.cross_entropy(logits, targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            right += (logits.detach().argmax(1) == targets).sum()
        right.item()
        measured.seconds.append(_wait(device) - begin)
    return measured


def _batches(order: Tensor, batch_size: int, steps: int | None) -> Iterator[Tensor]:
    for number, batch in enumerate(order.split(batch_size)):
        if steps is not None and number >= steps:
            return
        yield batch

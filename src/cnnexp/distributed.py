"""What the processes that train one network together tell each other, over torch.distributed.

Each function does nothing where there is one process. Where there are several, all must call it at the same point.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

AGREE_EVERY = 16
"""Batches between two exchanges of what only one process knows, such as a signal: each costs a round trip, and
on a GPU a wait."""


def several() -> bool:
    """Return whether other processes take part."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def summed(values: Tensor) -> Tensor:
    """Return the sums, element by element, of what all processes hold."""
    if not several():
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total


def gathered(value: Any) -> list[Any]:
    """Return what each process holds, by their numbers."""
    if not several():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def highest(number: int, device: torch.device) -> int:
    """Return the highest of all processes' numbers.

    Args:
        number: this process's.
        device: the one it trains on.
    """
    if not several():
        return number
    found = torch.tensor(number, device=device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def share_buffers(module: nn.Module) -> None:
    """Give a module the buffers, such as batch norm's averages, that it has in the first process."""
    if several():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)

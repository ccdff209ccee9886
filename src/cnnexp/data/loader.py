"""Batches straight from one tensor of images: one copy, one conversion, no worker processes."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from cnnexp.data.augment import Augmentation, draw, to_float
from cnnexp.errors import CnnexpError
from cnnexp.seeds import mix

Batch = tuple[Tensor, Tensor]

_NOTHING = Augmentation()
_AUGMENTATION = 1  # keeps these draws apart from others that are seeded by (seed, epoch, batch), as dropout is
_COINS = 2


class _Shard(NamedTuple):
    """A device's part of a batch."""

    images: Tensor
    labels: Tensor
    coins: Tensor | None
    start: int  # its place in the batch
    whole: int  # the batch's size


class EpochSampler:
    """Holds the number of the epoch, where Lightning looks for it: ``loader.batch_sampler.sampler``."""

    def __init__(self) -> None:
        self.epoch = 0

    @property
    def sampler(self) -> "EpochSampler":
        """Itself."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Take the number of the epoch that the next iteration is for."""
        self.epoch = epoch


class BatchLoader:
    """Yields (float images, labels) from images in memory, ready for the network, on its device.

    The order is a function of (seed, epoch), the augmentation of (seed, epoch, batch), alternating flips of
    (seed, epoch, image): none of what ran before or of the number of devices. Without Lightning, say which
    epoch it is by ``loader.batch_sampler.set_epoch(epoch)``, or every pass is the same. The last batch may be
    smaller.

    Of several processes each takes its part of every batch, so that ``batch_size`` counts the images of a
    step whatever their number; every image is met exactly once an epoch. Of a last batch smaller than the
    number of processes some get nothing: an empty batch, so that all take the same number of steps.

    Args:
        images: uint8, shape (N, channels, height, width), on the CPU or on ``device``.
        labels: int64, shape (N,), where the images are.
        indices: which images, in their order when not shuffled; int64.
        batch_size: images a step, over all processes.
        shuffle: a new order each epoch.
        augmentation: what is done to the images, if anything.
        mean: of each channel of [0, 1] images; with ``std``, images are standardised.
        std: of each channel.
        device: where the batches go; where the images are when None.
        seed: of the order and of the augmentation.
        rank: this process's number.
        world_size: number of processes that share the batches.

    Raises:
        CnnexpError: for batches smaller than the number of processes.
    """

    # Lightning sets the epoch through batch_sampler.sampler; an attribute `sampler` of our own would make it
    # take this for a DataLoader
    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        batch_size: int,
        *,
        shuffle: bool = False,
        augmentation: Augmentation = _NOTHING,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        device: torch.device | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < world_size:
            raise CnnexpError(
                f"batches of {batch_size} can't be shared by {world_size} processes; type data.batch_size="
                f"{world_size} or more (and data.eval_batch_size), or fewer trainer.devices"
            )
        self.batch_size = batch_size
        self.batch_sampler = EpochSampler()
        self._device = device or images.device
        # as it lies in memory: index_select copies whole images then, ten times as fast as pixel by pixel
        self._channels_last = not images.is_contiguous()
        self._stored = images.permute(0, 2, 3, 1) if self._channels_last else images
        self._labels = labels
        self._indices = indices.to(images.device)
        self._shuffle = shuffle
        self._augmentation = augmentation
        self._mean, self._std = (self._like_a_image(values, images) for values in (mean, std))
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._skipped = 0

    @property
    def indices(self) -> Tensor:
        """Which images of the data set's part the batches are of, in their order when not shuffled: on the CPU."""
        return self._indices.cpu()

    def skip(self, batches: int) -> None:
        """Leave out the first ``batches`` of the next pass: they were met before an interruption."""
        self._skipped = batches

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self._indices) // self.batch_size)

    def whole_size(self, number: int) -> int:
        """Return how many images the batch of that number has, over all processes."""
        return min(self.batch_size, len(self._indices) - number * self.batch_size)

    @property
    def batch_sizes(self) -> list[int]:
        """The sizes that this process's batches have: the usual one, and the last one's if that is another."""
        wholes = [self.whole_size(number) for number in (0, len(self) - 1)] if len(self) else []
        parts = [-((self._rank - size) // self._world_size) for size in wholes]
        return [size for size in dict.fromkeys(parts) if size]

    def __iter__(self) -> Iterator[Batch]:
        """Yield an epoch's batches: float images (n, channels, height, width) and labels (n,)."""
        # a generator, so that the epoch is read with the first batch: on resume Lightning calls iter() before
        # set_epoch()
        epoch, skipped = self.batch_sampler.epoch, self._skipped
        self._skipped = 0
        generator = torch.Generator(self._device)
        chosen = self._shards(epoch, skipped)
        if self._stored.device.type != self._device.type:
            chosen = self._one_ahead(chosen)
        for number, (images, labels, coins, start, whole) in enumerate(chosen, skipped):
            if self._augmentation and len(images):
                generator.manual_seed(mix(self._seed, epoch, number, _AUGMENTATION))
                # drawn for the whole batch, so that an image gets the same on any number of devices
                draws = draw(whole, generator)[start : start + len(images)]
                images = self._augmentation(images, draws, epoch, coins)
            yield to_float(images, self._mean, self._std), labels

    def _shards(self, epoch: int, skipped: int) -> Iterator[_Shard]:
        """Yield this process's part of each batch."""
        order = self._indices
        if self._shuffle:
            generator = torch.Generator().manual_seed(mix(self._seed, epoch))
            order = order[torch.randperm(len(order), generator=generator).to(order.device)]
        for number in range(skipped, len(self)):
            first = number * self.batch_size
            whole = order[first : first + self.batch_size]
            size, start = len(whole), 0
            if self._world_size > 1:
                parts = whole.tensor_split(self._world_size)
                start = sum(len(part) for part in parts[: self._rank])
                whole = parts[self._rank]
            images = self._stored.index_select(0, whole)
            if self._channels_last:
                images = images.permute(0, 3, 1, 2)
            coins = self._coins.index_select(0, whole) if self._augmentation.needs_coins else None
            yield _Shard(images, self._labels.index_select(0, whole), coins, start, size)

    @cached_property
    def _coins(self) -> Tensor:
        """Of every image, chosen or not, whether its alternating flips begin mirrored."""
        # drawn on the CPU: the same wherever the images lie
        generator = torch.Generator().manual_seed(mix(self._seed, 0, 0, _COINS))
        return (torch.rand(len(self._stored), generator=generator) < 0.5).to(self._stored.device)

    def _one_ahead(self, shards: Iterator[_Shard]) -> Iterator[_Shard]:
        """Copy batches to the device while it is busy with the one before."""
        waiting = None
        for shard in shards:
            moved = shard._replace(
                images=shard.images.pin_memory().to(self._device, non_blocking=True),
                labels=shard.labels.pin_memory().to(self._device, non_blocking=True),
                coins=None if shard.coins is None else shard.coins.to(self._device),
            )
            if waiting is not None:
                yield waiting
            waiting = moved
        if waiting is not None:
            yield waiting

    def _like_a_image(self, values: list[float] | None, images: Tensor) -> Tensor | None:
        """One value a channel, spread out as an image lies in memory.

        With channels last, adding three values to every pixel takes five times as long as adding an image.
        """
        if values is None:
            return None
        shape = images.shape[1:]
        spread = torch.tensor(values, dtype=torch.float32).view(-1, 1, 1).expand(shape)
        if self._channels_last:
            return spread.permute(1, 2, 0).contiguous().permute(2, 0, 1).to(self._device)
        return spread.contiguous().to(self._device)

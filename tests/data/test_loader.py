import hashlib

import pytest
import torch
from images import random_images

from cnnexp import CnnexpError
from cnnexp.data.augment import Augmentation
from cnnexp.data.loader import BatchLoader

ALL = Augmentation(crop_padding=2, horizontal_flip=True, cutout=3)


def make(count: int = 50, batch_size: int = 8, last: bool = False, **kwargs: object) -> BatchLoader:
    indices = torch.arange(count)
    return BatchLoader(random_images(count, last=last), indices, indices, batch_size, **kwargs)  # type: ignore[arg-type]


def digest(loader: BatchLoader, epoch: int) -> str:
    loader.batch_sampler.sampler.set_epoch(epoch)
    sha = hashlib.sha256()
    for images, labels in loader:
        sha.update(images.contiguous().numpy().tobytes() + labels.numpy().tobytes())
    return sha.hexdigest()


def order(loader: BatchLoader) -> list[int]:
    return torch.cat([labels for _, labels in loader]).tolist()


@pytest.mark.parametrize("last", [False, True])
def test_batches_are_the_chosen_images_as_floats(last: bool) -> None:
    images, labels = random_images(20, last=last), torch.arange(20) % 3
    indices = torch.tensor([3, 1, 4, 15, 9])
    batches = list(BatchLoader(images, labels, indices, 2))
    assert [len(y) for _, y in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([x for x, _ in batches]), images[indices].float().div(255))
    assert torch.equal(torch.cat([y for _, y in batches]), labels[indices])
    assert batches[0][0].is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


@pytest.mark.parametrize("last", [False, True])
def test_mean_and_std_standardise_each_channel(last: bool) -> None:
    loader = make(last=last, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
    plain = torch.cat([x for x, _ in make(last=last)])
    scaled = torch.cat([x for x, _ in loader])
    for channel, (mean, std) in enumerate(((0.1, 0.5), (0.2, 0.6), (0.3, 0.7))):
        torch.testing.assert_close(scaled[:, channel], (plain[:, channel] - mean) / std)


def test_an_epoch_is_the_same_bytes_whatever_ran_before() -> None:
    loader, other = (make(shuffle=True, augmentation=ALL, seed=7) for _ in range(2))
    first = digest(loader, 0)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    second = digest(loader, 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert first != second
    assert digest(other, 1) == second
    assert digest(loader, 0) == first
    assert digest(make(shuffle=True, augmentation=ALL, seed=8), 0) != first


def test_each_epoch_has_its_order_and_every_image_once() -> None:
    loader = make(shuffle=True)
    first = order(loader)
    loader.batch_sampler.sampler.set_epoch(1)
    assert sorted(first) == sorted(order(loader)) == list(range(50))
    assert first != order(loader)
    assert order(make()) == list(range(50))


def test_the_epoch_may_be_set_after_iter() -> None:
    loader, expected = make(shuffle=True), make(shuffle=True)
    begun = iter(loader)
    loader.batch_sampler.sampler.set_epoch(5)
    expected.batch_sampler.sampler.set_epoch(5)
    assert torch.equal(next(begun)[1], next(iter(expected))[1])


def test_images_of_one_batch_are_changed_each_in_its_own_way() -> None:
    images = random_images(1).expand(64, -1, -1, -1).contiguous()
    labels = torch.zeros(64, dtype=torch.int64)
    loader = BatchLoader(images, labels, torch.arange(64), 64, augmentation=Augmentation(crop_padding=2))
    ((changed, _),) = loader
    assert len(changed.unique(dim=0)) > 15  # of 25 shifts
    loader = BatchLoader(images, labels, torch.arange(64), 32, augmentation=Augmentation(crop_padding=2))
    first, second = (x for x, _ in loader)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("count", [48, 49, 50, 7, 1])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_every_batch_and_meet_each_image_once(count: int, world_size: int) -> None:
    alone = list(make(count, shuffle=True, augmentation=ALL))
    ranks = [
        list(make(count, shuffle=True, augmentation=ALL, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    loader = make(count, world_size=world_size)
    assert {len(batches) for batches in ranks} == {len(loader)}
    assert {loader.whole_size(number) for number in range(len(loader))} == {len(labels) for _, labels in alone}
    together = [tuple(torch.cat(part) for part in zip(*batch, strict=True)) for batch in zip(*ranks, strict=True)]
    seen = torch.cat([labels for _, labels in together])
    assert seen.tolist() == torch.cat([labels for _, labels in alone]).tolist()
    for (images, _), (expected, _) in zip(together, alone, strict=True):
        assert torch.equal(images, expected)
    # a batch smaller than the number of processes leaves some an empty one, of the right shape
    assert {images.shape[1:] for batches in ranks for images, _ in batches} == {alone[0][0].shape[1:]}


@pytest.mark.parametrize("world_size", [1, 2])
def test_alternating_flips_show_each_image_both_ways_in_two_epochs(world_size: int) -> None:
    alternating = {"shuffle": True, "augmentation": Augmentation(horizontal_flip="alternating"), "seed": 3}

    def mirrored(epoch: int, batch_size: int, count: int = 50) -> dict[int, bool]:
        found = {}
        for rank in range(world_size):
            loader = make(count, batch_size, rank=rank, world_size=world_size, **alternating)
            loader.batch_sampler.sampler.set_epoch(epoch)
            for images, labels in loader:
                plain = random_images(count)[labels].float().div(255)
                flips = (images == plain.flip(3)).all(dim=(1, 2, 3))
                assert (flips ^ (images == plain).all(dim=(1, 2, 3))).all()
                found |= dict(zip(labels.tolist(), flips.tolist(), strict=True))
        return found

    first = mirrored(0, 8)
    assert 10 < sum(first.values()) < 40
    assert mirrored(1, 8) == {image: not flip for image, flip in first.items()}
    # of the image, not of its place in a batch
    assert mirrored(2, 7) == mirrored(0, 50) == first


def test_batches_that_always_leave_a_process_with_nothing_are_an_error() -> None:
    with pytest.raises(CnnexpError, match=r"type data\.batch_size=3 or more"):
        make(50, 2, world_size=3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("where", ["cpu", "cuda"])
@pytest.mark.parametrize("last", [False, True])
def test_batches_on_a_gpu_are_those_of_the_cpu(where: str, last: bool) -> None:
    images, labels = random_images(50, last=last), torch.arange(50)
    loader = BatchLoader(images.to(where), labels.to(where), labels, 8, shuffle=True, device=torch.device("cuda"))
    reference = BatchLoader(images, labels, labels, 8, shuffle=True)
    for (x, y), (expected, expected_y) in zip(loader, reference, strict=True):
        assert x.device.type == y.device.type == "cuda"
        assert x.stride() == expected.stride()
        torch.testing.assert_close(x.cpu(), expected)
        assert torch.equal(y.cpu(), expected_y)

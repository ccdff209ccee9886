"""Which images train, which validate: stratified, nested, and a function of the labels and the seed alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cnnexp.errors import CnnexpError
from cnnexp.seeds import mix

_TEST_FRACTION = 0.2
_TEST_SEED = 0  # not the run's seed: every run is tested on the same images


def stratified_order(labels: Tensor, seed: int) -> Tensor:
    """Return a permutation of the images whose every prefix has each class's share.

    Within a class the order is random; image number r of a class of n stands at (r + 1/2) / n of the way.
    Where all classes are of one size, any prefix has them equal to within one image. In general a class
    that makes up the share s of the images is off by at most 1/2 + s classes / 2 of them.

    Args:
        labels: int64, shape (images,).
        seed: of a generator of its own; the global one is neither used nor moved.
    """
    generator = torch.Generator().manual_seed(mix(seed))
    shuffled = torch.randperm(len(labels), generator=generator)
    of = labels[shuffled]
    by_class = torch.argsort(of, stable=True)
    counts = torch.bincount(of)
    rank = torch.empty_like(by_class)
    rank[by_class] = torch.arange(len(of)) - (counts.cumsum(0) - counts)[of[by_class]]
    # double: (r + 1/2) / n of two classes must be equal or different exactly; ties keep the shuffled order
    return shuffled[torch.argsort((rank + 0.5).double() / counts[of], stable=True)]


def split(
    labels: Tensor,
    val_size: int | float | None,
    train_size: int | float | None,
    seed: int,
    class_names: Sequence[str] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the indices of the training and of the validation images, each in stratified order.

    The validation images are taken first and don't depend on ``train_size``; a smaller training set is a
    prefix, hence a subset, of a larger one.

    Args:
        labels: int64, shape (images,); every class from 0 to the largest label must occur.
        val_size: a count (int) or a fraction of all images (float in (0, 1)); none are taken when None.
        train_size: a count (int) or a fraction (float in (0, 1]) of what validation leaves; all when None.
        seed: of the draw.
        class_names: for messages.

    Raises:
        CnnexpError: when a size can't be had, or a class would be missing from either part.
    """
    classes = (int(labels.max()) + 1, class_names)
    validation = torch.empty(0, dtype=torch.int64)
    rest = torch.arange(len(labels))
    if val_size is not None:
        _check_can_validate(labels, class_names)
        count = _count("val_size", val_size, len(labels), exclusive=True)
        order = stratified_order(labels, seed)
        validation, rest = order[:count], order[count:]
        _check_classes(f"val_size={val_size}", "validation", "raise val_size", labels[validation], *classes)
    # ordered afresh: the end of a stratified order is one to within two images a class, not one
    train = rest[stratified_order(labels[rest], mix(seed, 1))]
    if train_size is not None:
        train = train[: _count("train_size", train_size, len(rest), exclusive=False)]
    if train_size is None:
        _check_classes(f"val_size={val_size}", "training", "lower val_size", labels[train], *classes)
    else:
        _check_classes(f"train_size={train_size}", "training", "raise train_size", labels[train], *classes)
    return train, validation


def hold_out_test(labels: Tensor, class_names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the indices (train, test), ascending, of a data set that has no test set: a fifth, always the same.

    Raises:
        CnnexpError: when a class has fewer than three images.
    """
    counts = torch.bincount(labels, minlength=len(class_names))
    for name, count in zip(class_names, counts.tolist(), strict=True):
        if count < 3:
            raise CnnexpError(
                f"class {name!r} has {count} image(s): holding out a fifth for the test takes 3 at least; "
                "add images, or lay them out as train/<class>/… and test/<class>/…"
            )
    train, test = split(labels, _TEST_FRACTION, None, _TEST_SEED, class_names)
    return train.sort().values, test.sort().values


def _count(key: str, size: int | float, available: int, exclusive: bool) -> int:
    """Return a size as a number of images; ``exclusive``: something must be left."""
    most = available - 1 if exclusive else available
    if isinstance(size, float):
        if not 0 < size <= 1 or (exclusive and size == 1):
            bracket = ")" if exclusive else "]"
            raise CnnexpError(f"{key}={size}: a fraction lies in (0, 1{bracket}; write a count without a point")
        return max(1, min(most, round(size * available)))
    if not 1 <= size <= most:
        raise CnnexpError(
            f"{key}={size}: there are {available} images to take from, so it can be 1 to {most}"
            " (or a fraction such as 0.1)"
        )
    return size


def _check_can_validate(labels: Tensor, class_names: Sequence[str] | None) -> None:
    """Refuse a class of one image, which no size could both train and validate."""
    counts = torch.bincount(labels)
    if bool((counts == 1).any()):
        number = int((counts == 1).nonzero()[0])
        name = repr(class_names[number]) if class_names is not None else f"number {number}"
        raise CnnexpError(
            f"class {name} has 1 picture to train and to validate on: add others, or remove the class, or bring a "
            "val/ part, or type data.validation=test"
        )


def _check_classes(
    given: str, part: str, advice: str, labels: Tensor, classes: int, class_names: Sequence[str] | None
) -> None:
    """Refuse a part of the images, by its labels, in which a class is missing."""
    counts = torch.bincount(labels, minlength=classes)
    if bool((counts > 0).all()):
        return
    missing = int((counts == 0).nonzero()[0])
    name = repr(class_names[missing]) if class_names is not None else f"number {missing}"
    raise CnnexpError(
        f"{given} leaves {len(labels)} {part} images for {classes} classes, and none of class {name}; "
        f"every class needs at least one: {advice}"
    )

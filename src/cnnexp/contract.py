"""What the command and ``Classifier`` ask of a LightningDataModule. ``ImageDataModule`` has all of it.

Required:

- ``train_dataloader`` and ``val_dataloader``, whose batches are (images, labels): floats of shape
  (batch, channels, height, width), int64 of shape (batch,).
- ``num_classes``, or ``classes``: the number of classes.

Optional, and what is lost without it:

- ``image_shape``, (channels, height, width): it is taken from the first training batch, which is loaded for that.
- ``class_names``: classes are called by their numbers.
- ``sizes``, the number of images of ``train``, ``val`` and ``test``: they are the lengths of the loaders' data
  sets, and unknown where these have none.
- ``train_eval_dataloader``, training images without augmentation: the clean training numbers are measured on
  batches of ``train_dataloader``, as many as validate, in eval mode. They are augmented if those are.
- ``test_dataloader``: there are no test numbers; they are null.
- ``state_dict`` with ``class_names``, ``image_shape``, ``mean`` and ``std`` (of [0, 1] images, None where nothing
  is subtracted): the tasks that prepare images themselves (predict, export, activations, saliency, mistakes,
  compare) refuse the run, because nobody knows how its network wants its images.
- ``images(part, positions)`` and ``labels(part)``, see ``ImageDataModule``: the tasks that show or compare the
  data set's images (examples, mistakes, compare, activations) refuse.
- ``skip(batches)`` of a training loader, which leaves out the first batches of the next epoch: a run that is
  interrupted within an epoch goes on from the last whole one, and ``callbacks=[save_every]`` saves nothing within.
- ``whole_size(number)`` of a training loader, the size of a batch over all processes: each process is taken to
  have as many images.
- ``batch_sizes`` of a loader: ``callbacks=[compile]`` compiles during the first batches and not before them.
- ``fingerprint``, an attribute or a method: a hash of the data set, for ``data_fingerprint`` in result.json; null.
- ``train_eval_images`` and ``majority_baseline``, see ``ImageDataModule``: null in result.json.
- ``known_shape``, ``trial_shape`` and ``check``: mistakes that they find are found once the data are read.

The order of a torch ``DataLoader`` is a function of the seed and the epoch: torch's generator is seeded before
each epoch, and before ``setup``, which may so draw a split.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader, DistributedSampler

from cnnexp.errors import CnnexpError


def image_shape(data: Any) -> tuple[int, int, int]:
    """Return (channels, height, width) of a data module's images, once it is set up."""
    shape = getattr(data, "image_shape", None)
    channels, height, width = _first_images(data).shape[1:] if shape is None else shape
    return channels, height, width


def classes(data: Any) -> int:
    """Return a data module's number of classes; raises CnnexpError where it doesn't say."""
    for name in ("classes", "num_classes"):
        if (count := getattr(data, name, None)) is not None:
            return int(count)
    raise CnnexpError(
        f"{type(data).__name__} doesn't say how many classes there are: give it an attribute num_classes"
    )


def class_names(data: Any) -> list[str]:
    """Return the classes' names, their numbers where the data module has none."""
    return list(getattr(data, "class_names", None) or map(str, range(classes(data))))


def sizes(data: Any, parts: Sequence[str] = ("train", "val", "test")) -> dict[str, int | None]:
    """Return the number of images of each part, None where it isn't known (or the part isn't there)."""
    if (known := getattr(data, "sizes", None)) is not None:
        return dict(known)
    return {part: _count(data, part) for part in parts}


def fingerprint(data: Any) -> str | None:
    """Return a hash of a data module's data set, None where it has none."""
    known = getattr(data, "fingerprint", None)
    known = known() if callable(known) else known
    return None if known is None else str(known)


def facts(data: Any) -> dict[str, Any]:
    """Return what result.json says of a data module, set up: its fingerprint and the number of images."""
    known = sizes(data, ("train", "val"))  # the test's loader may need its own setup
    return {
        "data_fingerprint": fingerprint(data),
        **{f"{part}_images": known.get(part) for part in ("train", "val", "test")},
        "train_eval_images": getattr(data, "train_eval_images", None),
        "majority_baseline": getattr(data, "majority_baseline", None),
    }


def clean_batches(data: Any, most: float) -> Iterable[Any]:
    """Return the batches that the clean training numbers are measured on.

    Args:
        data: the data module.
        most: how many batches validate: as many are taken where the data module has no loader for this.
    """
    if (make := getattr(data, "train_eval_dataloader", None)) is not None:
        return make()
    return islice(iter(data.train_dataloader()), int(most) if math.isfinite(most) else None)


def has_test(data: Any) -> bool:
    """Return whether a data module has a test part."""
    return is_overridden("test_dataloader", data)


def can_skip(loader: Any) -> bool:
    """Return whether a training loader can go on in the middle of an epoch."""
    return hasattr(loader, "skip")


def skip(loader: Any, batches: int) -> None:
    """Leave out a training loader's first batches, once; raises CnnexpError where it can't do that."""
    if not can_skip(loader):
        raise CnnexpError("the checkpoint is of the middle of an epoch, where the data's loader can't go on")
    loader.skip(batches)


def check_built_for(data: Any, model: Any) -> None:
    """Raise CnnexpError where a data module says that its images or classes are not those of a network."""
    for what, usual in (("image_shape", "image_shape"), ("classes", "num_classes")):
        theirs, mine = getattr(data, what, getattr(data, usual, None)), getattr(model, what)
        if theirs is not None and (tuple(theirs) if what == "image_shape" else theirs) != mine:
            raise CnnexpError(
                f"{type(model).__name__} was built for {what}={mine}, the data has {theirs}; "
                f"build it with {what}={theirs} or give it the data it was built for"
            )


def require_images(data: Any) -> None:
    """Raise CnnexpError for a data module that doesn't hand out single images and labels."""
    if not (hasattr(data, "images") and hasattr(data, "labels")):
        raise CnnexpError(
            f"this task takes single images of the data set, which {type(data).__name__} doesn't hand out: "
            "give it images(part, positions) and labels(part), as cnnexp.contract says"
        )


def check_processes(data: Any, world_size: int, shared_out: bool) -> None:
    """Raise CnnexpError where several processes would each train on all the images.

    Args:
        data: the data module, set up.
        world_size: number of processes.
        shared_out: whether Lightning shares the images out.
    """
    loader = data.train_dataloader() if world_size > 1 and not shared_out else None
    if isinstance(loader, DataLoader) and not isinstance(loader.sampler, DistributedSampler):
        raise CnnexpError(
            f"{world_size} processes would each train on all of {type(data).__name__}'s images; "
            "type trainer.use_distributed_sampler=true"
        )


def repeatable(data: LightningDataModule, seed: int) -> LightningDataModule:
    """Return the data module with torch's generator seeded before each ``setup``, which may draw a split."""
    own = data.setup

    def setup(stage: str) -> None:
        torch.manual_seed(seed)
        own(stage)

    data.setup = setup  # type: ignore[method-assign]
    return data


def _first_images(data: Any) -> torch.Tensor:
    try:
        images, labels = next(iter(data.train_dataloader()))
        if images.dim() == 4 and images.is_floating_point() and len(labels) == len(images):
            return images
    except (TypeError, ValueError, AttributeError):
        pass
    except StopIteration:
        raise CnnexpError(f"{type(data).__name__}'s train_dataloader is empty") from None
    raise CnnexpError(
        f"{type(data).__name__}'s batches must be (images, labels): floats of shape "
        "(batch, channels, height, width), and int64 of shape (batch,)"
    )


def _count(data: Any, part: str) -> int | None:
    if not is_overridden(f"{part}_dataloader", data):
        return None
    loader = getattr(data, f"{part}_dataloader")()
    try:
        return len(loader.dataset)
    except (TypeError, AttributeError):
        return None

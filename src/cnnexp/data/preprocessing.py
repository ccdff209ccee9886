"""What a trained network must be given its images by, as its checkpoint recorded it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnexp.data.augment import to_float
from cnnexp.data.image_file import load_photo
from cnnexp.errors import CnnexpError, first_line
from cnnexp.whole import check_whole

_STATE = {"class_names", "image_shape", "mean", "std"}
"""What a data module's state has in it; in a checkpoint Lightning keeps it under the name of the class."""


@dataclass(frozen=True)
class Preprocessing:
    """The way from an image to a network's input, and from its outputs to classes; no data set is needed.

    Args:
        class_names: the name of each label.
        image_shape: (channels, height, width) of an image.
        mean: of each channel of [0, 1] images, subtracted; None when they were not normalized.
        std: of each channel, divided by.
        brightness: mean and standard deviation, over the training images, of an image's mean value in
            [0, 1]; None when the checkpoint doesn't say.
        levels: what images of more than 8 bits are scaled from, as the training images were.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    brightness: tuple[float, float] | None = None
    levels: tuple[int, int] | None = None

    @classmethod
    def of_checkpoint(cls, path: str | Path) -> "Preprocessing":
        """Return what a checkpoint's network was trained with.

        Raises:
            CnnexpError: when the file isn't a checkpoint, or the network was trained without an
                ``ImageDataModule``.
        """
        return cls.of_state(read_data_state(path))

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "Preprocessing":
        """Return the same from what ``read_data_state`` gives."""
        channels, height, width = state["image_shape"]
        mean, std = (None if state[key] is None else tuple(state[key]) for key in ("mean", "std"))
        middle, spread = state.get("brightness") or (None, None)
        brightness = None if middle is None or spread is None else (middle, spread)
        low, high = state.get("levels") or (None, None)
        levels = None if low is None or high is None else (low, high)
        return cls(tuple(state["class_names"]), (channels, height, width), mean, std, brightness, levels)

    def load(self, path: str | Path) -> Tensor:
        """Return an image file as uint8 of shape ``image_shape``; see ``load_photo``."""
        return load_photo(path, self.image_shape, self.levels)

    def __call__(self, images: Tensor) -> Tensor:
        """Return uint8 images of shape (batch, channels, height, width) as the network's floats."""
        if self.mean is None or self.std is None:
            return to_float(images)
        shape = (-1, 1, 1)
        mean, std = (torch.tensor(values, device=images.device).view(shape) for values in (self.mean, self.std))
        return to_float(images, mean, std)


def read_data_state(path: str | Path) -> dict[str, Any]:
    """Return what a data module recorded in a checkpoint, for ``ImageDataModule.load_state_dict``.

    Raises:
        CnnexpError: as ``Preprocessing.of_checkpoint``.
    """
    try:
        check_whole(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except CnnexpError:
        raise
    # torch raises nearly anything for a file that isn't what it expects
    except Exception as error:
        raise CnnexpError(f"{path} can't be read as a checkpoint: {first_line(error)}") from None
    if isinstance(checkpoint, dict):
        states = [state for state in checkpoint.values() if isinstance(state, dict) and state.keys() >= _STATE]
        if states:
            for state in states:  # of several nobody knows which is meant, unless they say the same
                check_data_state(path, state if state == states[0] else None, checkpoint.get("hyper_parameters"))
            return states[0]
    raise CnnexpError(
        f"{path} doesn't say how its images were prepared: it was trained without an ImageDataModule, or another "
        "data module whose state_dict has class_names, image_shape, mean and std"
    )


def check_data_state(path: str | Path, state: Any, hyperparameters: Any = None) -> None:
    """Raise CnnexpError unless a data module's state, as a checkpoint has it, can prepare images for its network.

    Args:
        path: the checkpoint's, for the message.
        state: what may be one.
        hyperparameters: the network's, which the state must fit.
    """
    known = hyperparameters if isinstance(hyperparameters, dict) else {}
    if not isinstance(state, dict) or not state.keys() >= _STATE:
        wrong = "what its data module recorded isn't there"
    elif not (_is_list(names := state["class_names"], str) and len(names) == known.get("classes", len(names)) > 0):
        wrong = f"class_names aren't the names of {known.get('classes', 'its')} classes"
    elif not (_is_list(shape := state["image_shape"], int) and len(shape) == 3 and min(shape) > 0):
        wrong = "image_shape isn't three numbers"
    elif "image_shape" in known and list(shape) != list(known["image_shape"]):
        wrong = f"image_shape is {list(shape)}, and the network's {list(known['image_shape'])}"
    elif (state["mean"] is None) != (state["std"] is None):
        wrong = "of mean and std it has only one"
    elif any(not _is_share(state[key], shape[0]) for key in ("mean", "std") if state[key] is not None):
        wrong = "mean and std aren't numbers in [0, 1] for each channel"
    elif state["std"] is not None and min(state["std"]) <= 0:
        wrong = "std has a channel without any"
    elif (about := state.get("brightness")) is not None and not _is_share(about, 2):
        wrong = "brightness isn't two numbers in [0, 1]"
    elif (levels := state.get("levels")) is not None and not (
        _is_list(levels, int) and len(levels) == 2 and 0 <= levels[0] <= levels[1] < 1 << 32
    ):
        wrong = "levels aren't two levels of grey"
    else:
        return
    raise CnnexpError(f"{path} is malformed: {wrong}")


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, (list, tuple)) and all(type(entry) is kind for entry in value)


def _is_share(value: Any, count: int) -> bool:
    return _is_list(value, float) and len(value) == count and all(0 <= number <= 1 for number in value)

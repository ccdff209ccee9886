"""An image file of one's own, made into what a network was trained on."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cnnexp.data.image_file import read_image
from cnnexp.errors import CnnexpError


def load_photo(path: str | Path, image_shape: Sequence[int]) -> Tensor:
    """Return an image file of any format, mode and size as a network's images are: the middle, resized.

    It is decoded exactly as an image folder's files are for training (see ``read_image``). For a grey
    network colour becomes luma (ITU-R BT.601), which leaves a grey image's values as they are.

    Args:
        path: the image file.
        image_shape: (channels, height, width), with 1 or 3 channels.

    Returns:
        uint8, shape ``image_shape``; ``Preprocessing`` makes the network's floats of it.

    Raises:
        CnnexpError: when there is no such file, it is no whole image, or the shape is no image's.
    """
    from PIL import Image

    path = Path(path).expanduser()
    channels, height, width = image_shape
    if channels not in (1, 3):
        raise CnnexpError(f"a photo has 1 or 3 channels, this network takes {channels}")
    if not path.is_file():
        what = "that is a folder" if path.is_dir() else "there is no such file"
        raise CnnexpError(f"{path}: {what}; give the path of an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            colour = read_image(path, (height, width))
    # Pillow's decoders raise nearly anything on a damaged file: SyntaxError, struct.error, IndexError, …
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CnnexpError(f"{path} can't be read as an image: {reason}") from None
    if channels == 1:
        colour = np.asarray(Image.fromarray(colour).convert("L"))[..., None]
    # a copy, because torch warns of arrays that can't be written
    return torch.tensor(colour).permute(2, 0, 1).contiguous()

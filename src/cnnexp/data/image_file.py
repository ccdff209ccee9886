"""An image file of any format, mode and size as the bytes that a network is trained on or is asked about."""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cnnexp.errors import CnnexpError

if TYPE_CHECKING:
    from PIL.Image import Image


FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA")
"""The formats that are read, whatever a file is called.

Pillow knows many more, and goes by a file's content: an EPS file named ``cat.png`` would be handed to
Ghostscript, which runs it.
"""


@lru_cache(maxsize=1)
def _readable() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # Pillow can be built without some


@lru_cache(maxsize=1)
def image_extensions() -> frozenset[str]:
    """Return the extensions of ``FORMATS``, such as ``.png``, in lower case."""
    from PIL import Image

    readable = _readable()
    return frozenset(extension for extension, name in Image.registered_extensions().items() if name in readable)


def read_image(path: Path, size: int | tuple[int, int]) -> np.ndarray:
    """Return an image as uint8 of shape (height, width, 3), resized, and cropped to the middle.

    ``size`` is (height, width), or one number for a square.

    The camera's orientation is applied, what is transparent becomes white, 16-bit grey keeps its 8 high bits
    (rounded), and of several frames the first is taken. A grey image has three equal channels.

    Raises:
        Exception: of whatever kind Pillow raises, when the file is no whole image.
    """
    from PIL import Image, ImageOps

    height, width = (size, size) if isinstance(size, int) else size
    with Image.open(path, formats=_readable()) as image:
        # JPEG decodes at 1/2, 1/4 or 1/8 of the size in a fraction of the time; not below twice what is needed
        image.draft(None, (2 * width, 2 * height))
        upright = ImageOps.exif_transpose(image)
    return fitted(upright, height, width)


def fitted(image: "Image", height: int, width: int) -> np.ndarray:
    """Return an image as uint8 of shape (height, width, 3), resized, and cropped to the middle."""
    from PIL import ImageOps

    return np.asarray(ImageOps.fit(_as_rgb(image), (width, height)))


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


def is_grey(pixels: np.ndarray) -> bool:
    """Whether the three channels of one or more images, (…, height, width, 3), are the same."""
    return bool((pixels[..., :1] == pixels[..., 1:]).all())


def _as_rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):
        # Pillow's own conversion to 8 bits clips: everything above 255 would be white
        levels = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("pixels are floats, whose range is not known: save it with 8 or 16 bits")
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
    return image.convert("RGB")

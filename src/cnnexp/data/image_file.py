"""An image file of any format, mode and size as the bytes that a network is trained on or is asked about."""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cnnexp.errors import CnnexpError

if TYPE_CHECKING:
    from PIL.Image import Image


FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "HEIF", "TGA")
"""The formats that are read, whatever a file is called.

Pillow knows many more, and goes by a file's content: an EPS file named ``cat.png`` would be handed to
Ghostscript, which runs it.
"""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_LARGEST_JPEG = 3
"""Times ``MAX_IMAGE_PIXELS`` that a JPEG may have, if it is shrunk below that while it is decoded."""


@lru_cache(maxsize=1)
def _readable() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    if find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # Pillow can be built without some


@lru_cache(maxsize=1)
def image_extensions() -> frozenset[str]:
    """Return the extensions of ``FORMATS``, such as ``.png``, in lower case."""
    from PIL import Image

    readable = _readable()
    return frozenset(extension for extension, name in Image.registered_extensions().items() if name in readable)


def format_of(path: str | Path) -> str | None:
    """Return which of ``FORMATS`` a file is by its content, whatever it is called; None for none of them.

    TGA is not told: nothing in such a file says what it is, so its extension must.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open(path, "rb") if Path(path).is_file() else Image.open("") as file:
                formats = [name for name in _readable() if name != "TGA"]
                with Image.open(file, formats=formats) as image:
                    return image.format
    # Pillow raises nearly anything for a file that is no image
    except Exception:
        return None


def install_for(path: str | Path) -> str:
    """Return what to install for a file whose format Pillow doesn't read by itself; "" for others."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return ""
    if head[4:8] != b"ftyp":
        return ""
    if head[8:12] in (b"avif", b"avis"):
        return "" if "AVIF" in _readable() else "AVIF files need Pillow 11.3 or newer: pip install -U pillow"
    if head[8:12] in _HEIF_BRANDS and "HEIF" not in _readable():
        return "HEIC files are read once pillow-heif is there: pip install pillow-heif"
    return ""


def read_image(path: Path, size: int | tuple[int, int], levels: tuple[int, int] | None = None) -> np.ndarray:
    """Return an image as uint8 of shape (height, width, 3), resized, and cropped to the middle.

    ``size`` is (height, width), or one number for a square.

    The camera's orientation is applied, what is transparent becomes white, grey of more than 8 bits is scaled from
    ``levels`` (rounded; 0 to 65535 when None), and of several frames the first is taken. A grey image has three
    equal channels. A JPEG is shrunk while it is decoded, so that it may have more pixels than Pillow allows.

    Raises:
        Exception: of whatever kind Pillow raises, when the file is no whole image, or a decompression bomb.
    """
    from PIL import ImageOps

    height, width = (size, size) if isinstance(size, int) else size
    with _opened(path) as image:
        whole = image.size
        # JPEG decodes at 1/2, 1/4 or 1/8 of the size in a fraction of the time; not below twice what is needed
        image.draft(None, (2 * width, 2 * height))
        _refuse_bomb(image.size, whole)
        upright = ImageOps.exif_transpose(image)
    return fitted(upright, height, width, levels)


def levels_of(path: Path) -> tuple[int, int] | None:
    """Return the lowest and highest level of an image of more than 8 bits of grey, None for any other.

    Raises:
        Exception: as ``read_image``.
    """
    with _opened(path) as image:
        if not image.mode.startswith("I"):
            return None
        _refuse_bomb(image.size, image.size)
        levels = np.asarray(image)
        return int(levels.min()), int(levels.max())


def _opened(path: Path) -> "Image":
    from PIL import Image, JpegImagePlugin

    with path.open("rb") as file:
        jpeg = file.read(3) == b"\xff\xd8\xff"
    # Image.open refuses by the size before decoding, where a JPEG may still be shrunk
    return JpegImagePlugin.JpegImageFile(path) if jpeg else Image.open(path, formats=_readable())


def _refuse_bomb(size: tuple[int, int], encoded: tuple[int, int]) -> None:
    """Raise for an image of so many pixels, shrunk or not, and before it was shrunk."""
    from PIL import Image

    most = Image.MAX_IMAGE_PIXELS
    if most is None:
        return
    for (width, height), limit in ((size, most), (encoded, _LARGEST_JPEG * most)):
        if width * height > limit:
            raise Image.DecompressionBombError(
                f"Image size ({width * height} pixels) exceeds {limit} pixels, could be a decompression bomb"
            )


def fitted(image: "Image", height: int, width: int, levels: tuple[int, int] | None = None) -> np.ndarray:
    """Return an image as uint8 of shape (height, width, 3), resized, and cropped to the middle."""
    from PIL import ImageOps

    return np.asarray(ImageOps.fit(_as_rgb(image, levels), (width, height)))


def load_photo(path: str | Path, image_shape: Sequence[int], levels: tuple[int, int] | None = None) -> Tensor:
    """Return an image file of any format, mode and size as a network's images are: the middle, resized.

    It is decoded exactly as an image folder's files are for training (see ``read_image``). For a grey
    network colour becomes luma (ITU-R BT.601), which leaves a grey image's values as they are.

    Args:
        path: the image file.
        image_shape: (channels, height, width), with 1 or 3 channels.
        levels: what grey of more than 8 bits is scaled from, see ``read_image``.

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
            colour = read_image(path, (height, width), levels)
    # Pillow's decoders raise nearly anything on a damaged file: SyntaxError, struct.error, IndexError, …
    except Exception as error:
        reason = install_for(path) or " ".join(str(error).split()) or type(error).__name__
        raise CnnexpError(f"{path} can't be read as an image: {reason}") from None
    if channels == 1:
        colour = np.asarray(Image.fromarray(colour).convert("L"))[..., None]
    # a copy, because torch warns of arrays that can't be written
    return torch.tensor(colour).permute(2, 0, 1).contiguous()


def is_grey(pixels: np.ndarray) -> bool:
    """Whether the three channels of one or more images, (…, height, width, 3), are the same."""
    return bool((pixels[..., :1] == pixels[..., 1:]).all())


def _as_rgb(image: "Image", levels: tuple[int, int] | None) -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):
        # Pillow's own conversion to 8 bits clips: everything above 255 would be white
        low, high = levels or (0, 65535)
        wide = np.asarray(image).astype(np.int64).clip(low, high) - low
        image = Image.fromarray(((510 * wide + (high - low)) // (2 * (high - low))).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("pixels are floats, whose range is not known: save it with 8 or 16 bits")
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
    return image.convert("RGB")

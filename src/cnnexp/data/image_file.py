"""An image file of any format, mode and size as the bytes that a network is trained on or is asked about."""

import sys
import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
_ORIENTATION = 0x0112  # of an image by its camera, in EXIF
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

    The camera's orientation is applied, what is transparent becomes white, grey and colours of more than 8 bits
    are scaled from ``levels`` (rounded; 0 to 65535 when None), and of several frames or pages the first is taken.
    A grey image has three equal channels. A JPEG is shrunk while it is decoded, so that it may have more pixels
    than Pillow allows.

    Raises:
        Exception: of whatever kind Pillow raises, when the file is no whole image, or a decompression bomb.
    """
    from PIL import Image, ImageOps

    height, width = (size, size) if isinstance(size, int) else size
    with _opened(path) as image:
        whole = image.size
        # JPEG decodes at 1/2, 1/4 or 1/8 of the size in a fraction of the time; not below twice what is needed
        image.draft(None, (2 * width, 2 * height))
        _refuse_bomb(image.size, whole)
        if (wide := _wide(path, image)) is None:
            return fitted(ImageOps.exif_transpose(image), height, width)
        narrow = Image.fromarray(_narrow(wide, levels))
        narrow.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
        return fitted(ImageOps.exif_transpose(narrow), height, width)


def levels_of(path: Path) -> tuple[int, int] | None:
    """Return the lowest and highest level of an image of more than 8 bits, None for any other.

    Raises:
        Exception: as ``read_image``.
    """
    with _opened(path) as image:
        if not (image.mode.startswith("I") or _swapped(image)):
            return None
        _refuse_bomb(image.size, image.size)
        wide = _wide(path, image)
        assert wide is not None
        colours = wide[..., :3] if wide.ndim == 3 else wide
        return int(colours.min()), int(colours.max())


def _wide(path: Path, image: "Image") -> np.ndarray | None:
    """Return an image's levels where they have more than 8 bits; None for any other image.

    Returns:
        int64, (height, width) of grey, or with 3 or 4 channels, the last of which is the opacity from 0 to 65535.
    """
    swapped = _swapped(image)
    if not (swapped or image.mode.startswith("I")):
        return None
    wide = np.asarray(image).astype(np.int64)
    if swapped:
        with _opened(path) as again:
            again.tile = swapped
            low = np.asarray(again)
        # of grey and opacity the bytes lie one behind the other
        wide = wide << 8 | (low[..., [1, 1, 1, 3]] if _form(swapped[0]) == ("RGBA", "") else low)
    key = image.info.get("transparency")  # one level, or colour, that stands for none
    if isinstance(key, (int, tuple)) and not (wide.ndim == 3 and wide.shape[-1] == 4):
        colours = wide if wide.ndim == 3 else np.repeat(wide[..., None], 3, axis=-1)
        wide = np.concatenate([colours, 65535 * (colours != key).any(-1, keepdims=True)], axis=-1)
    return wide


def _swapped(image: "Image") -> list[Any]:
    """Return how to have Pillow decode the low bytes of 16-bit colours, of which it decodes the high ones.

    That is by taking the two bytes of each number for each other. An empty list for other images.
    """
    tiles: list[Any] = []
    for tile in getattr(image, "tile", ()):
        form, order = _form(tile)
        if form not in ("RGB", "RGBX", "RGBA", "LA") or order not in ("16B", "16L", "16N"):
            return []
        big = order == "16B" or (order == "16N" and sys.byteorder == "big")
        # there is no LA;16L: two numbers of 16 bits are taken for four of 8
        other = "RGBA" if form == "LA" else f"{form};16{'L' if big else 'B'}"
        tiles.append(tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other))
    return tiles


def _form(tile: Any) -> tuple[str, str]:
    """Return how Pillow is to decode a tile: the channels, and where they have 16 bits the order of bytes."""
    form, _, order = str(tile.args[0] if isinstance(tile.args, tuple) else tile.args).partition(";")
    return form, order


def _narrow(wide: np.ndarray, levels: tuple[int, int] | None) -> np.ndarray:
    """Return levels as ``_wide`` gives them as uint8, scaled from a range."""
    low, high = levels or (0, 65535)
    wide = wide.copy()
    if wide.shape[-1] == 4 and wide.ndim == 3:  # opacity has a range of its own
        wide[..., 3] = low + wide[..., 3] * (high - low) // 65535
    wide = wide.clip(low, high) - low
    return ((510 * wide + (high - low)) // (2 * (high - low))).astype(np.uint8)


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


def fitted(image: "Image", height: int, width: int) -> np.ndarray:
    """Return an image as uint8 of shape (height, width, 3), resized, and cropped to the middle."""
    from PIL import ImageOps

    return np.asarray(ImageOps.fit(_as_rgb(image), (width, height)))


def load_photo(path: str | Path, image_shape: Sequence[int], levels: tuple[int, int] | None = None) -> Tensor:
    """Return an image file of any format, mode and size as a network's images are: the middle, resized.

    It is decoded exactly as an image folder's files are for training (see ``read_image``). For a grey
    network colour becomes luma (ITU-R BT.601), which leaves a grey image's values as they are.

    Args:
        path: the image file.
        image_shape: (channels, height, width), with 1 or 3 channels.
        levels: what images of more than 8 bits are scaled from, see ``read_image``.

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


def _as_rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):
        # Pillow's own conversion to 8 bits clips: everything above 255 would be white
        image = Image.fromarray(_narrow(np.asarray(image).astype(np.int64), None))
    elif image.mode == "F":
        raise ValueError("pixels are floats, whose range is not known: save it with 8 or 16 bits")
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
    return image.convert("RGB")

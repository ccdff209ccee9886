"""Images of one's own in NumPy's files."""

import os
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cnnexp.data.sets import Images
from cnnexp.errors import CnnexpError

_KEYS = (("x_train", "y_train", "x_test", "y_test"), ("images", "labels", "test_images", "test_labels"))
_EXPECTED = "x_train, y_train (x_test, y_test), or images, labels (test_images, test_labels)"


def arrays(root: str, class_names: list[str] | None = None) -> Images:
    """Return a data set from an ``.npz`` file, or from a folder of ``.npy`` files, which are memory-mapped.

    The arrays are called ``x_train``, ``y_train`` and ``x_test``, ``y_test``, as Keras does, or ``images``,
    ``labels`` and ``test_images``, ``test_labels``; the test's may be missing. Images are uint8 of shape
    (N, height, width), (N, height, width, channels) or (N, channels, height, width), with 1 or 3 channels;
    labels are whole numbers from 0, of shape (N,) or (N, 1). Nothing is unpickled.

    Args:
        root: the file or the folder.
        class_names: the name of label 0, 1, …; the numbers when None.

    Raises:
        CnnexpError: where that isn't what is there.
    """
    path = Path(root)
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise CnnexpError(
            f"data.root={root}: " + ("there is no such file" if not path.exists() else "the folder has no .npy")
            + f"; give an .npz file, or a folder of .npy files, with {_EXPECTED}"
        )  # fmt: skip
    stamps = tuple((str(file), os.stat(file).st_mtime_ns, os.stat(file).st_size) for file in files)
    return _read(path, stamps, tuple(class_names or ()))


def as_images(array: np.ndarray | Tensor, where: str) -> Tensor:
    """Return images as (N, channels, height, width), a view of what was given.

    Args:
        array: uint8, (N, height, width), or with 1 or 3 channels in the last or else in the second place.
        where: the array's name, for the message.

    Raises:
        CnnexpError: for any other array.
    """
    if str(array.dtype).removeprefix("torch.") != "uint8":
        raise CnnexpError(
            f"{where} is {array.dtype}; images are uint8, 0 to 255: (255 * x).round().astype('uint8')"
        )
    images = torch.as_tensor(array)
    if images.dim() == 3:
        return images.unsqueeze(1)
    if images.dim() == 4 and images.shape[3] in (1, 3):
        return images.permute(0, 3, 1, 2)
    if images.dim() == 4 and images.shape[1] in (1, 3):
        return images
    raise CnnexpError(
        f"{where} has the shape {tuple(images.shape)}; images are (N, height, width), "
        "(N, height, width, channels) or (N, channels, height, width), with 1 or 3 channels"
    )


# few, because each holds a data set; the stamps in the key are what notices that a file has changed
@lru_cache(maxsize=4)
def _read(path: Path, stamps: tuple[tuple[str, int, int], ...], class_names: tuple[str, ...]) -> Images:
    try:
        if path.is_dir():
            # copy on write, because torch warns of arrays that can't be written
            found = {Path(file).stem: np.load(file, mmap_mode="c", allow_pickle=False) for file, _, _ in stamps}
        else:
            with np.load(path, allow_pickle=False) as packed:
                if not isinstance(packed, np.lib.npyio.NpzFile):
                    raise CnnexpError(f"data.root={path} holds a single array; give an .npz file, or the folder")
                found = {key: packed[key] for key in packed.files if key in {k for keys in _KEYS for k in keys}}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise CnnexpError(f"data.root={path} can't be read: {error}") from None
    for keys in _KEYS:
        if keys[0] in found and keys[1] in found:
            break
    else:
        there = ", ".join(sorted(found)) or "none of them"
        raise CnnexpError(f"data.root={path} has {there}; expected are arrays called {_EXPECTED}")
    images, labels, test_images, test_labels = keys
    parts = [(as_images(found[images], images), _as_labels(found[labels], labels))]
    if test_images in found and test_labels in found:
        parts.append((as_images(found[test_images], test_images), _as_labels(found[test_labels], test_labels)))
    count = 1 + max((int(each.max()) for _, each in parts if len(each)), default=0)
    names = class_names or tuple(str(number) for number in range(count))
    test = parts[1] if len(parts) > 1 else (None, None)
    return Images(*parts[0], names, *test)


def _as_labels(array: np.ndarray, where: str) -> Tensor:
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2) or array.shape[1:] not in ((), (1,)):
        raise CnnexpError(
            f"{where} is {array.dtype} of shape {array.shape}; labels are whole numbers from 0, one an image"
        )
    return torch.from_numpy(array.astype(np.int64).reshape(-1))

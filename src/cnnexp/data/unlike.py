"""Whether a photo is of another kind than the images that a network was trained on."""

from pathlib import Path

from torch import Tensor

from cnnexp.data.image_file import load_photo
from cnnexp.data.preprocessing import Preprocessing

COLOURED = 8.0
"""Mean difference, of 255, between an image's highest and lowest channel from which it counts as coloured."""
FAR = 3.0
"""Standard deviations of the training images' brightness from which an image counts as unlike them."""


def why_unlike(path: str | Path, image: Tensor, preprocessing: Preprocessing) -> str:
    """Return what sets a photo apart from the training images, "" where nothing does.

    Two rules. A network trained on grey images is given a photo in colour: the photo's channels differ by
    more than ``COLOURED`` of 255 on average, which JPEG and a camera's tint stay below. And: the photo's mean
    brightness lies more than ``FAR`` standard deviations away from that of the training images; if its
    negative's doesn't, as with dark digits on white paper, it is inverted.

    Args:
        path: the photo's file.
        image: as ``load_photo`` returns it for the network, uint8, shape (channels, height, width).
        preprocessing: of the network.
    """
    reasons = []
    if preprocessing.image_shape[0] == 1:
        colour = load_photo(path, (3, *preprocessing.image_shape[1:]), preprocessing.levels).float()
        if float((colour.amax(0) - colour.amin(0)).mean()) > COLOURED:
            reasons.append("in colour, trained on grey")
    if preprocessing.brightness is not None:
        usual, spread = preprocessing.brightness
        bright = float(image.double().mean()) / 255
        if abs(bright - usual) > FAR * spread:
            if abs(1 - bright - usual) <= FAR * spread:
                reasons.append("inverted: light and dark are swapped")
            else:
                reasons.append(f"{'brighter' if bright > usual else 'darker'} than the training images")
    return "; ".join(reasons)

import numpy as np
import pytest
from PIL import Image

from cnnexp import ImageDataModule
from cnnexp.data.preprocessing import Preprocessing
from cnnexp.data.unlike import why_unlike

GREY = Preprocessing(("0", "1"), (1, 28, 28), brightness=(0.15, 0.05))
COLOUR = Preprocessing(("0", "1"), (3, 28, 28), brightness=(0.5, 0.15))


def reason(pixels, preprocessing, path) -> str:
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return why_unlike(path, preprocessing.load(path), preprocessing)


def grey(level):
    return np.full((28, 28), 255 * level)


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (0.15, ""),
        (0.25, ""),
        (0.85, "inverted: light and dark are swapped"),
        (0.5, "brighter than the training images"),
    ],
)
def test_brightness_far_from_the_training_images_is_told(level, said, tmp_path):
    assert reason(grey(level), GREY, tmp_path / "a.png") == said


def test_colour_is_told_where_the_network_is_grey(tmp_path):
    red = np.stack([grey(0.4), grey(0.1), grey(0.1)], 2)
    tinted = np.stack([grey(0.16), grey(0.15), grey(0.15)], 2)
    assert reason(red, GREY, tmp_path / "a.png") == "in colour, trained on grey"
    assert reason(tinted, GREY, tmp_path / "a.png") == ""
    assert reason(red, COLOUR, tmp_path / "a.png") == ""


def test_an_old_checkpoint_says_nothing_of_brightness(tmp_path):
    assert reason(grey(0.9), Preprocessing(("0", "1"), (1, 28, 28)), tmp_path / "a.png") == ""


def test_hardly_a_training_image_is_unlike_the_others_and_every_negative_is_inverted(tmp_path):
    data = ImageDataModule("digits")
    images = data.images("test", range(100))
    brightness = data.brightness
    assert brightness is not None
    trained = Preprocessing(tuple(data.class_names), data.image_shape, brightness=(brightness[0], brightness[1]))
    Image.new("L", (8, 8)).save(tmp_path / "grey.png")
    assert sum(bool(why_unlike(tmp_path / "grey.png", image, trained)) for image in images) <= 2
    assert all("inverted" in why_unlike(tmp_path / "grey.png", 255 - image, trained) for image in images[:20])

import numpy as np
import pytest
import torch
from PIL import Image

from cnnexp import CNN, ImageDataModule
from cnnexp.data.image_file import load_photo
from cnnexp.data.preprocessing import Preprocessing
from cnnexp.errors import CnnexpError

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 20, 30)]


@pytest.mark.parametrize("image_shape", SHAPES)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK", "I;16"])
def test_a_photo_of_any_mode_and_size_becomes_the_networks_shape(mode, image_shape, tmp_path):
    file = tmp_path / ("photo.tif" if mode in ("CMYK", "I;16") else "photo.png")
    Image.new(mode, (90, 61)).save(file)
    image = load_photo(file, image_shape)
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, image_shape)


def test_a_grey_image_keeps_its_values_and_colour_becomes_luma(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    assert torch.equal(load_photo(tmp_path / "grey.png", (1, 28, 28)), torch.tensor(pixels)[None])
    Image.new("RGB", (28, 28), (255, 0, 0)).save(tmp_path / "red.png")
    assert load_photo(tmp_path / "red.png", (1, 28, 28)).unique().tolist() == [76]  # 0.299 · 255


def test_a_photo_is_cropped_to_its_middle(tmp_path):
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert load_photo(tmp_path / "wide.png", (1, 10, 10)).unique().tolist() == [255]


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "notes.png").write_text("not an image")
    with pytest.raises(CnnexpError, match=r"notes\.png can't be read as an image"):
        load_photo(tmp_path / "notes.png", (1, 28, 28))
    with pytest.raises(CnnexpError, match=r"nothing\.png: there is no such file"):
        load_photo(tmp_path / "nothing.png", (1, 28, 28))
    with pytest.raises(CnnexpError, match="that is a folder"):
        load_photo(tmp_path, (1, 28, 28))
    Image.new("L", (9, 9)).save(tmp_path / "grey.png")
    with pytest.raises(CnnexpError, match="takes 4"):
        load_photo(tmp_path / "grey.png", (4, 9, 9))


@pytest.mark.parametrize("normalize", [True, False])
def test_a_checkpoint_says_how_its_images_were_prepared(normalize, tmp_path):
    data = ImageDataModule("digits", normalize=normalize)
    torch.save({"ImageDataModule": data.state_dict()}, tmp_path / "a.ckpt")
    preprocessing = Preprocessing.of_checkpoint(tmp_path / "a.ckpt")
    assert preprocessing.class_names == tuple(data.class_names)
    batch, labels = next(iter(data.val_dataloader()))
    positions = range(len(labels))
    assert torch.equal(preprocessing(data.images("val", positions)), batch)
    assert torch.equal(data.labels("val"), labels)


def test_a_checkpoint_that_does_not_say_is_refused(tmp_path):
    torch.save({"state_dict": CNN((1, 28, 28), 10).state_dict()}, tmp_path / "a.ckpt")
    with pytest.raises(CnnexpError, match="without an ImageDataModule"):
        Preprocessing.of_checkpoint(tmp_path / "a.ckpt")
    (tmp_path / "b.ckpt").write_text("nothing")
    with pytest.raises(CnnexpError, match=r"b\.ckpt can't be read as a checkpoint"):
        Preprocessing.of_checkpoint(tmp_path / "b.ckpt")

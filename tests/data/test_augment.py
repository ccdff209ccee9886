import pytest
import torch
import torch.nn.functional as F
from images import random_images
from torchvision.transforms.functional import normalize, to_tensor

from cnnexp import CnnexpError
from cnnexp.data.augment import Augmentation, cutout, draw, random_crop, random_horizontal_flip, to_float


def draws(count: int, seed: int = 0) -> torch.Tensor:
    return draw(count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_a_window_of_the_reflected_image(channels: int, last: bool) -> None:
    images, padding = random_images(200, channels, last=last), 3
    cropped = random_crop(images, padding, draws(200)[:, :2])
    padded = F.pad(images.float(), (padding,) * 4, mode="reflect").to(torch.uint8)
    windows = padded.unfold(2, 8, 1).unfold(3, 8, 1)  # (N, C, row, column, 8, 8)
    same = (windows == cropped[:, :, None, None]).all(dim=(1, 4, 5))
    assert (same.sum((1, 2)) == 1).all()
    # each image has a shift of its own, and all 49 occur
    assert same.any(0).all()
    assert channels == 1 or cropped.stride() == images.stride()


def test_a_crop_may_not_reach_past_the_reflection() -> None:
    with pytest.raises(CnnexpError, match="crop_padding=8.*0 to 7"):
        random_crop(random_images(2), 8, draws(2)[:, :2])


def test_about_half_of_the_images_are_mirrored() -> None:
    images = random_images(200)
    flipped = random_horizontal_flip(images, draws(200)[:, 2])
    mirrored = (flipped == images.flip(3)).all(dim=(1, 2, 3))
    assert ((flipped == images).all(dim=(1, 2, 3)) ^ mirrored).all()
    assert 70 < int(mirrored.sum()) < 130


def test_cutout_blanks_one_square_of_each_image() -> None:
    images = torch.full((300, 3, 8, 8), 200, dtype=torch.uint8)
    fill = torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1)
    blank = cutout(images, 4, draws(300)[:, 3:], fill)
    assert set(blank.unique().tolist()) == {1, 2, 3, 200}
    inside = blank[:, 0] == 1
    assert torch.equal(inside, blank[:, 2] == 3)
    heights, widths = inside.any(2).sum(1), inside.any(1).sum(1)
    assert torch.equal(inside.sum((1, 2)), heights * widths)  # a rectangle, cut off at the edges only
    assert heights.max() == widths.max() == 4
    assert heights.min() == widths.min() == 2
    assert inside.any(0).all()


def test_switching_one_augmentation_on_leaves_the_others_draws() -> None:
    images = random_images(50)
    crop, both = Augmentation(crop_padding=2), Augmentation(crop_padding=2, horizontal_flip=True)
    one, two = crop(images, draws(50)), both(images, draws(50))
    assert ((one == two).all(dim=(1, 2, 3)) | (one.flip(3) == two).all(dim=(1, 2, 3))).all()
    assert not Augmentation()
    assert crop


def test_bytes_become_the_floats_that_torchvision_makes() -> None:
    images = random_images(20)
    reference = torch.stack([to_tensor(image.permute(1, 2, 0).numpy()) for image in images])
    assert torch.equal(to_float(images), reference)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.1]
    as_tensors = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    assert torch.equal(to_float(images, *as_tensors), normalize(reference, mean, std))

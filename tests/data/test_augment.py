import pytest
import torch
import torch.nn.functional as F
from pictures import random_pictures
from torchvision.transforms.functional import normalize, to_tensor

from cnnexp import CnnexpError
from cnnexp.data.augment import Augmentation, cutout, draw, random_crop, random_horizontal_flip, to_float


def draws(count: int, seed: int = 0) -> torch.Tensor:
    return draw(count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_a_window_of_the_reflected_picture(channels: int, last: bool) -> None:
    pictures, padding = random_pictures(200, channels, last=last), 3
    cropped = random_crop(pictures, padding, draws(200)[:, :2])
    padded = F.pad(pictures.float(), (padding,) * 4, mode="reflect").to(torch.uint8)
    windows = padded.unfold(2, 8, 1).unfold(3, 8, 1)  # (N, C, row, column, 8, 8)
    same = (windows == cropped[:, :, None, None]).all(dim=(1, 4, 5))
    assert (same.sum((1, 2)) == 1).all()
    # each picture has a shift of its own, and all 49 occur
    assert same.any(0).all()
    assert channels == 1 or cropped.stride() == pictures.stride()


def test_a_crop_may_not_reach_past_the_reflection() -> None:
    with pytest.raises(CnnexpError, match="crop_padding=8.*0 to 7"):
        random_crop(random_pictures(2), 8, draws(2)[:, :2])


def test_about_half_of_the_pictures_are_mirrored() -> None:
    pictures = random_pictures(200)
    flipped = random_horizontal_flip(pictures, draws(200)[:, 2])
    mirrored = (flipped == pictures.flip(3)).all(dim=(1, 2, 3))
    assert ((flipped == pictures).all(dim=(1, 2, 3)) ^ mirrored).all()
    assert 70 < int(mirrored.sum()) < 130


def test_cutout_blanks_one_square_of_each_picture() -> None:
    pictures = torch.full((300, 3, 8, 8), 200, dtype=torch.uint8)
    fill = torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1)
    blank = cutout(pictures, 4, draws(300)[:, 3:], fill)
    assert set(blank.unique().tolist()) == {1, 2, 3, 200}
    inside = blank[:, 0] == 1
    assert torch.equal(inside, blank[:, 2] == 3)
    heights, widths = inside.any(2).sum(1), inside.any(1).sum(1)
    assert torch.equal(inside.sum((1, 2)), heights * widths)  # a rectangle, cut off at the edges only
    assert heights.max() == widths.max() == 4
    assert heights.min() == widths.min() == 2
    assert inside.any(0).all()


def test_switching_one_augmentation_on_leaves_the_others_draws() -> None:
    pictures = random_pictures(50)
    crop, both = Augmentation(crop_padding=2), Augmentation(crop_padding=2, horizontal_flip=True)
    one, two = crop(pictures, draws(50)), both(pictures, draws(50))
    assert ((one == two).all(dim=(1, 2, 3)) | (one.flip(3) == two).all(dim=(1, 2, 3))).all()
    assert not Augmentation()
    assert crop


def test_bytes_become_the_floats_that_torchvision_makes() -> None:
    pictures = random_pictures(20)
    reference = torch.stack([to_tensor(picture.permute(1, 2, 0).numpy()) for picture in pictures])
    assert torch.equal(to_float(pictures), reference)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.1]
    as_tensors = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    assert torch.equal(to_float(pictures, *as_tensors), normalize(reference, mean, std))

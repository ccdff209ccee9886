import pytest
import torch
from torch import nn

from cnnexp.models.tta import weighted_views

IMAGES = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)


@pytest.mark.parametrize(("kind", "views"), [("none", 1), ("flip", 2), ("flip_and_shift", 6)])
def test_the_images_come_first_and_the_weights_add_up_to_one(kind, views):
    found = weighted_views(IMAGES, kind)
    assert len(found) == views
    assert found[0][1] is IMAGES
    assert sum(weight for weight, _ in found) == 1
    assert {view.shape for _, view in found} == {IMAGES.shape}


def test_shifts_go_by_one_pixel_and_reflect_the_edge():
    *_, (_, up_left), (_, mirrored), (_, down_right), _ = weighted_views(IMAGES, "flip_and_shift")
    assert torch.equal(up_left[..., :-1, :-1], IMAGES[..., 1:, 1:])
    assert torch.equal(up_left[..., :-1, -1], IMAGES[..., 1:, -2])
    assert torch.equal(down_right[..., 1:, 1:], IMAGES[..., :-1, :-1])
    assert torch.equal(down_right[..., 0, 1:], IMAGES[..., 1, :-1])
    assert torch.equal(mirrored, up_left.flip(3))


def test_a_mirrored_image_gets_the_same_logits():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(60, 4))
    one, other = (
        sum(weight * network(view) for weight, view in weighted_views(images, "flip"))
        for images in (IMAGES, IMAGES.flip(3))
    )
    torch.testing.assert_close(one, other)

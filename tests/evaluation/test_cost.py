import pytest
import torch

from cnnexp import CNN, FFNN, VGG16
from cnnexp.evaluation.cost import multiply_adds, seconds_per_thousand

# convolution: output pixels · kernel · in channels · out channels; linear: in · out
VGG16_AT_32 = 512 * 10 + 9 * (
    32**2 * (3 * 64 + 64 * 64) + 16**2 * (64 * 128 + 128**2) + 8**2 * (128 * 256 + 2 * 256**2)
    + 4**2 * (256 * 512 + 2 * 512**2) + 2**2 * 3 * 512**2
)  # fmt: skip
COURSE_CNN = 28 * 28 * 9 * 32 + 12 * 12 * 9 * 32 * 64 + 2304 * 600 + 600 * 120 + 120 * 10


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (CNN((1, 28, 28), 10), COURSE_CNN),
        (FFNN((1, 28, 28), 10), 784 * 32 + 32 * 64 + 64 * 128 + 128 * 64 + 64 * 10),
        (
            CNN((3, 9, 8), 2, channels=[5], kernel_size=[(2, 3)], padding=0, pool=1, hidden=[]),
            8 * 6 * (18 * 5 + 10),
        ),
        (VGG16((3, 32, 32), 10), VGG16_AT_32),
    ],
    ids=["cnn", "ffnn", "kernel (2, 3)", "vgg16"],
)
def test_multiply_adds_are_those_of_the_formula(model, count):
    model.train()
    assert multiply_adds(model) == count
    assert model.training


def test_every_network_is_timed_on_its_own_images():
    models = [FFNN((1, 8, 8), 2, hidden=[4]).eval(), FFNN((1, 6, 6), 2, hidden=[4]).eval()]
    times = seconds_per_thousand(models, [torch.zeros(5, 1, 8, 8), torch.zeros(3, 1, 6, 6)], rounds=2)
    assert len(times) == 2
    assert min(times) > 0

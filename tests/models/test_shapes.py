import subprocess
import sys
from math import prod

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from cnnexp.errors import CnnexpError
from cnnexp.inspection import formulas
from cnnexp.models.shapes import (
    Window,
    conv_output_size,
    conv_parameters,
    linear_parameters,
    smallest_image,
    stack_output_shape,
)

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


def per_axis(low: int, high: int) -> st.SearchStrategy:
    return st.integers(low, high) | st.tuples(st.integers(low, high), st.integers(low, high))


images = st.tuples(st.integers(1, 64), st.integers(1, 64))
convolutions = st.fixed_dictionaries(
    {"kernel_size": per_axis(1, 9), "dilation": per_axis(1, 4)},
    optional={"stride": per_axis(1, 5), "padding": per_axis(0, 6) | st.just("valid")},
) | st.fixed_dictionaries({"kernel_size": per_axis(1, 9), "dilation": per_axis(1, 4), "padding": st.just("same")})


def torch_shape(layer: nn.Module, shape: tuple[int, int]) -> tuple[int, ...]:
    """What torch itself makes of an image, without computing a pixel; (0, 0) where it refuses."""
    try:
        return tuple(layer(torch.empty(1, 1, *shape, device="meta")).shape[2:])
    except RuntimeError as error:
        if "too small" in str(error) or "can't be greater than actual input" in str(error):
            return 0, 0
        raise


@given(images, convolutions)
@settings(max_examples=400, deadline=None)
def test_convolutions_have_torchs_output_shape(shape, setting):
    ours = Window("convolution", **setting).output_shape(shape)
    theirs = torch_shape(nn.Conv2d(1, 1, **setting, device="meta"), shape)
    assert ours == theirs if all(ours) else theirs == (0, 0)


@given(images, per_axis(1, 9), st.none() | per_axis(1, 5), per_axis(0, 4), per_axis(1, 4))
@settings(max_examples=400, deadline=None)
def test_poolings_have_torchs_output_shape(shape, kernel_size, stride, padding, dilation):
    kernels, paddings = ((v, v) if isinstance(v, int) else v for v in (kernel_size, padding))
    assume(all(2 * p <= k for p, k in zip(paddings, kernels, strict=True)))  # torch's own rule
    ours = Window("max-pool", kernel_size, stride or kernel_size, padding, dilation).output_shape(shape)
    theirs = torch_shape(nn.MaxPool2d(kernel_size, stride, padding, dilation), shape)
    assert ours == theirs if all(ours) else theirs == (0, 0)


def test_one_axis_by_hand():
    assert conv_output_size(28, kernel_size=3, padding=1) == 28
    assert conv_output_size(7, kernel_size=3, stride=2, padding=1, dilation=2) == 3  # ⌊(7 + 2 − 4 − 1) / 2⌋ + 1
    assert conv_output_size(9, kernel_size=4, padding="same", dilation=3) == 9
    assert conv_output_size(2, kernel_size=3) == 0
    assert conv_output_size(13, kernel_size=2, stride=2) == 6
    assert conv_output_size(13, kernel_size=3, stride=2, padding=1) == 7


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"kernel_size": 3, "stride": 0}, "stride=0"),
        ({"kernel_size": 3, "dilation": -1}, "dilation=-1"),
        ({"kernel_size": 3, "padding": -1}, "padding=-1"),
        ({"kernel_size": 3, "padding": "full"}, "padding='full'"),
        ({"kernel_size": 3, "padding": "same", "stride": 2}, 'padding="same" needs stride=1'),
        ({"kernel_size": (3, 3, 3)}, "a pair"),
    ],
)
def test_settings_that_are_no_window_are_refused(setting, said):
    with pytest.raises(CnnexpError, match=said):
        Window("convolution", **setting).output_shape((9, 9))


def count(layer: nn.Module) -> int:
    return sum(p.numel() for p in layer.parameters())


@given(st.integers(1, 12), st.integers(1, 12), per_axis(1, 7), st.booleans(), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_convolutions_have_torchs_number_of_parameters(d, k, kernel_size, bias, groups):
    layer = nn.Conv2d(d * groups, k * groups, kernel_size, bias=bias, groups=groups, device="meta")
    assert conv_parameters(d * groups, k * groups, kernel_size, bias, groups) == count(layer)


def test_parameters_by_hand():
    assert conv_parameters(3, 128, (2, 3)) == (2 * 3 * 3 + 1) * 128 == 2432
    assert conv_parameters(3, 1, 3) == 28
    assert linear_parameters(784, 32) == count(nn.Linear(784, 32)) == 25_120
    assert linear_parameters(784, 32, bias=False) == count(nn.Linear(784, 32, bias=False)) == 25_088
    assert formulas.parameters(norm := nn.BatchNorm2d(64)) == ("2·64", count(norm)) == ("2·64", 128)


stacks = st.lists(convolutions, min_size=1, max_size=4).map(
    lambda settings: [Window(f"convolution {n}", **s) for n, s in enumerate(settings)]
)


@given(stacks)
@settings(max_examples=200, deadline=None)
def test_the_smallest_image_passes_torch_and_a_smaller_one_does_not(stack):
    height, width = smallest_image(stack)
    layers = nn.Sequential(
        *(nn.Conv2d(1, 1, w.kernel_size, w.stride, w.padding, w.dilation, device="meta") for w in stack)
    )
    assert stack_output_shape((height, width), stack) == torch_shape(layers, (height, width))
    for shape in ((height - 1, width), (height, width - 1)):
        if all(shape):
            assert prod(torch_shape(layers, shape)) == 0
            with pytest.raises(CnnexpError, match=f"smallest image that would do is {height}×{width}"):
                stack_output_shape(shape, stack)


def test_the_arithmetic_needs_no_torch():
    code = "import sys, cnnexp.models.shapes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

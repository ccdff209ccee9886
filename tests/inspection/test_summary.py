"""The formulas against torch's own counts, over networks whose layers have every setting there is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnexp import CNN, FFNN, VGG16
from cnnexp.inspection.scaling import order_of_growth, parameters_by_size
from cnnexp.inspection.summary import OUTSIDE, summarize

NETWORKS = {
    "cnn": lambda: CNN((1, 28, 28), 10),
    "cnn, every setting": lambda: CNN(
        (3, 40, 33), 7, channels=[4, 6, 8], kernel_size=[[2, 3], 3, [1, 2]], padding=["same", 1, "valid"],
        stride=[1, [2, 1], 1], dilation=[2, 1, [1, 3]], pool=[2, 1, [2, 1]], hidden=[5], batch_norm=True,
    ),
    "ffnn": lambda: FFNN((3, 8, 9), 4, hidden=[5, 6], batch_norm=True),
    "linear": lambda: FFNN((1, 28, 28), 10, hidden=[]),
    "vgg16": lambda: VGG16((1, 28, 28), 10),
    "vgg16, the paper's": lambda: VGG16((3, 224, 224), 1000, hidden=[4096, 4096], batch_norm=False),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_formulas_agree_with_torch(name):
    with torch.device("meta"):
        model = NETWORKS[name]()
    layers = summarize(model)
    assert all(layer.computed_parameters == layer.parameters for layer in layers if layer.parameters)
    assert all(eval(_python(layer.formula)) == layer.parameters for layer in layers if layer.formula)
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in model.parameters())
    for layer in layers:
        if layer.size_formula is not None:
            sides = [text.split(" = ") for text in layer.size_formula.split(", ")]
            assert all(eval(_python(left)) == int(right) for left, right in sides)
            # one text stands for both sides where they are alike
            assert (*(int(right) for _, right in sides),) * (2 // len(sides)) == layer.output_shape[-2:]
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.empty(1, *model.image_shape, device="meta"))
    # torch counts a multiplication and an addition as two
    assert sum(layer.multiply_adds or 0 for layer in layers) == counter.get_total_flops() / 2


def _python(formula: str) -> str:
    return formula.replace("·", "*").replace("−", "-").replace("⌊", "(").replace("/", "//").replace("⌋", ")")


def test_the_course_network_by_hand():
    first, *_ = layers = summarize(CNN((1, 28, 28), 10))
    assert (first.formula, first.parameters, first.kind) == ("(3·3·1 + 1)·32", 320, "convolution 3×3, padding 1")
    assert first.size_formula == "⌊(28 + 2·1 − 1·(3 − 1) − 1) / 1⌋ + 1 = 28"
    assert first.multiply_adds == 3 * 3 * 32 * 28 * 28
    assert [layer.receptive_field for layer in layers][:7] == [(3, 3), *[(4, 4)] * 2, (8, 8), *[(10, 10)] * 3]
    assert layers[7].receptive_field == (28, 28)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_the_receptive_field_is_what_a_change_of_one_output_reaches(stack):
    side = 40
    layers = [nn.Conv2d(1, 1, k, s, dilation=d, bias=False) for k, s, d in stack]
    model = nn.Sequential(*layers)
    try:
        expected = summarize(model, (1, side, side))[-1].receptive_field
    except RuntimeError:  # the image is used up
        return
    for layer in layers:
        nn.init.ones_(layer.weight)
    image = torch.zeros(1, 1, side, side, requires_grad=True)
    model(image)[0, 0, 0, 0].backward()
    rows, columns = image.grad[0, 0].nonzero().T
    assert expected == (int(rows.max()) + 1, int(columns.max()) + 1)


class Odd(nn.Module):
    """Branches, shares a layer, and has a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.last = nn.Conv2d(3, 2, 1)
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.train()

    def forward(self, images):
        return self.last(self.conv(self.conv(images)) + images * self.scale).mean((2, 3))


def test_a_network_that_is_no_chain_is_counted_once_and_left_as_it_was():
    model = Odd()
    first, second, last, rest = summarize(model, (3, 9, 9))
    assert (first.formula, first.parameters) == ("(3·3·1 + 1)·3", 30)
    assert (second.name, second.parameters, second.receptive_field) == ("conv", 0, (5, 5))
    assert last.receptive_field is None
    assert (rest.name, rest.parameters) == (OUTSIDE, 3)
    assert model.training
    assert all(p.device.type == "cpu" for p in model.parameters())
    assert not model.conv._forward_hooks


def test_orders_of_growth():
    orders = {
        name: parameters_by_size(name, lambda shape, kind=kind: kind(shape, 10), [32, 64, 256, 512])
        for name, kind in (("CNN", CNN), ("FFNN", FFNN), ("VGG16", VGG16))
    }
    fitted = {name: order_of_growth(growth.sides, growth.parameters) for name, growth in orders.items()}
    assert fitted == pytest.approx({"CNN": 2, "FFNN": 2, "VGG16": 0}, abs=0.03)
    assert len(set(orders["CNN"].convolutional)) == 1
    assert orders["FFNN"].parameters[0] == 117_674

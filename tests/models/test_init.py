from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnexp import CNN, FFNN
from cnnexp.models.activations import Activation, Init

SHAPE = (1, 12, 12)
LAYERS = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}  # fmt: skip
GAINS = {"relu": 2**0.5, "leaky_relu": (2 / (1 + 0.01**2)) ** 0.5, "tanh": 5 / 3, "sigmoid": 1}


def network(kind: type, **settings):
    torch.manual_seed(0)
    return kind(SHAPE, 4, **({"channels": [6, 8]} if kind is CNN else {}), hidden=[60, 50], **settings)


def weighted(model: nn.Module) -> list[nn.Module]:
    return [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


@pytest.mark.parametrize("kind", [CNN, FFNN])
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("init", get_args(Init))
def test_every_activation_trains_from_every_init_but_zeros(kind, activation, init):
    model = network(kind, activation=activation, init=init)
    between = [layer for layer in model.modules() if type(layer) in LAYERS.values()]
    assert [type(layer) for layer in between] == [LAYERS[activation]] * (4 if kind is CNN else 2)
    images, labels = torch.rand(32, *SHAPE), torch.arange(32) % 4
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = {name: value.clone() for name, value in model.named_parameters()}
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    *hidden, last = weighted(model)
    if init == "zeros":
        # no unit of a layer ever differs from another
        assert all((layer.weight == layer.weight[:1]).all() for layer in hidden)
        assert (last.weight == last.weight[:, :1]).all()
    else:
        assert all(not torch.equal(value, before[name]) for name, value in model.named_parameters())
        assert all(torch.isfinite(value).all() for value in model.parameters())


@pytest.mark.parametrize("kind", [CNN, FFNN])
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("init", ["kaiming", "xavier"])
def test_the_weights_begin_as_wide_as_the_papers_say(kind, activation, init):
    for layer in weighted(network(kind, activation=activation, init=init)):
        inputs, outputs = layer.weight[0].numel(), layer.weight[:, 0].numel()
        gain = GAINS.get(activation, GAINS["relu"])
        expected = gain / inputs**0.5 if init == "kaiming" else gain * (2 / (inputs + outputs)) ** 0.5
        # the spread of an estimate from n draws is 1 / √(2n) of it
        assert float(layer.weight.detach().std()) == pytest.approx(
            expected, rel=5 / (2 * layer.weight.numel()) ** 0.5
        )
        assert not layer.bias.any()


@pytest.mark.parametrize("kind", [CNN, FFNN])
def test_the_defaults_are_torchs_own_weights(kind):
    for ours, same in zip(
        network(kind).parameters(), network(kind, activation="tanh", init="default").parameters(), strict=True
    ):
        assert torch.equal(ours, same)

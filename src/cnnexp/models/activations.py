"""The activation function between a network's layers, and the weights that its layers begin with."""

from typing import Literal, TypeAlias, cast

from torch import nn

Activation: TypeAlias = Literal["relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid"]
Init: TypeAlias = Literal["default", "kaiming", "xavier", "zeros"]

_LAYERS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}  # fmt: skip


def activation_layer(activation: Activation) -> nn.Module:
    """Return an activation function as a layer, with torch's own settings."""
    return _LAYERS[activation]()


def activation_gain(activation: Activation) -> float:
    """Return the factor by which an activation asks for larger weights: ``torch.nn.init.calculate_gain``.

    torch knows none for GELU and SiLU, which are given ReLU's: they, too, pass large values and stop the negative.
    """
    known = "relu" if activation in ("gelu", "silu") else activation
    return nn.init.calculate_gain(cast(Literal["relu", "leaky_relu", "tanh", "sigmoid"], known))


def initialise(network: nn.Module, init: Init, activation: Activation) -> None:
    """Set the weights that the convolutions and linear layers of a network begin with.

    Args:
        network: its layers are changed in place.
        init: "default" leaves torch's own: uniform in ±1 / √inputs, the biases too. "kaiming": normal with
            standard deviation gain / √inputs (He et al., 2015, arXiv:1502.01852). "xavier": normal with standard
            deviation gain · √(2 / (inputs + outputs)) (Glorot & Bengio, 2010). "zeros": all weights 0; nothing
            then tells the units of a hidden layer apart, and they never differ. But for "default", biases begin
            at 0.
        activation: the one between the layers, for the gain. Inputs and outputs of a convolution are those of
            one position: kernel height × width × channels.
    """
    if init == "default":
        return
    gain = activation_gain(activation)
    for layer in network.modules():
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            continue
        if init == "zeros":
            nn.init.zeros_(layer.weight)
        elif init == "xavier":
            nn.init.xavier_normal_(layer.weight, gain)
        else:
            inputs = layer.weight[0].numel()
            nn.init.normal_(layer.weight, 0, gain / inputs**0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)

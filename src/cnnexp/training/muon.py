"""Muon: momentum whose update of a filter bank is made orthogonal, beside plain SGD for everything else."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor
from torch.optim import Optimizer

Rate = Annotated[float, Ge(0)]
Momentum = Annotated[float, Interval(ge=0, lt=1)]

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x³ and x⁵, chosen for the steepest slope at 0: few steps lift small singular values."""


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return roughly U Vᵀ of the matrix U S Vᵀ: all its singular values become ones, give or take a half.

    A quintic Newton–Schulz iteration, which needs matrix products only. Source: K. Jordan et al., Muon: an
    optimizer for hidden layers in neural networks, 2024, kellerjordan.github.io/posts/muon.

    Args:
        matrix: floats, shape (rows, columns).
        steps: of the iteration; 3 to 5 are usual.

    Returns:
        A tensor of the same shape, type and device; a matrix of zeros stays one.
    """
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    # the Frobenius norm is at least the largest singular value, which must not be over 1
    scaled = matrix.float() / (matrix.float().norm() + 1e-7)
    x = (scaled.T if tall else scaled).to(_precision(matrix.device.type))
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


@lru_cache
def _precision(device: str) -> torch.dtype:
    # half the time where the processor multiplies bfloat16 itself; elsewhere it is emulated, many times slower
    fast = device == "cuda" or any(torch.cpu.get_capabilities().get(f) for f in ("avx512_bf16", "amx_bf16"))
    return torch.bfloat16 if fast else torch.float32


# torch.optim.Muon takes matrices only: filter banks would have to be reshaped in the network, and everything
# else would need a second optimizer, with which Lightning's automatic optimization can't be used.
class Muon(Optimizer):
    """Muon for filter banks (parameters of four dimensions), SGD with Nesterov momentum for everything else.

    A filter bank of shape (out, in, height, width) is taken as a matrix of ``out`` rows. Its Nesterov momentum
    is made orthogonal and subtracted, times ``lr``: how far it moves doesn't depend on the gradient's size.
    Biases, scales and linear layers take plain steps, with learning rates of their own, because the size of
    theirs does. Parameters that need no gradient when this is built are left out.

    The arithmetic is that of ``airbench94_muon.py`` in KellerJordan/cifar10-airbench (MIT), but gradients here
    are of a mean over the batch, there of a sum: its rates for biases and linear layers times the batch size
    do the same.

    Args:
        params: the parameters, as ``network.parameters()`` gives them; this sorts them by itself.
        lr: of the filter banks.
        momentum: of the filter banks.
        ns_steps: of the Newton–Schulz iteration, see ``orthogonalize``.
        normalize_filters: scale each filter bank to the norm √out before its step. Only where its size means
            nothing to the network, because a normalisation follows.
        bias_lr: of biases and normalisation layers.
        linear_lr: of linear layers.
        sgd_momentum: of biases, normalisation layers and linear layers.
        weight_decay: share of these by which a step at the full learning rate shrinks them, whatever that
            rate is; like a gradient's, its effect is multiplied by 1 / (1 − sgd_momentum).

    Raises:
        ValueError: for a value out of range, or for groups of parameters instead of parameters.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: Annotated[float, Gt(0)] = 0.02,
        momentum: Momentum = 0.95,
        ns_steps: Annotated[int, Interval(ge=1, le=100)] = 5,
        normalize_filters: bool = False,
        bias_lr: Rate = 0.05,
        linear_lr: Rate = 0.05,
        sgd_momentum: Momentum = 0.9,
        weight_decay: Rate = 0.0,
    ) -> None:
        rates = {"lr": lr, "bias_lr": bias_lr, "linear_lr": linear_lr, "weight_decay": weight_decay}
        for name, value in rates.items():
            if not value >= 0:
                raise ValueError(f"{name}={value}: it is 0 or more")
        for name, value in {"momentum": momentum, "sgd_momentum": sgd_momentum}.items():
            if not 0 <= value < 1:
                raise ValueError(f"{name}={value}: it lies in [0, 1)")
        parameters = list(params)
        if not all(isinstance(parameter, Tensor) for parameter in parameters):
            raise ValueError("Muon sorts the parameters by itself: give it network.parameters(), not groups")
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        filters = [p for p in learning if p.ndim == 4]
        biases = [p for p in learning if p.ndim < 2]
        others = [p for p in learning if p.ndim >= 2 and p.ndim != 4]
        # the filters' group comes first: its learning rate is the one that is logged
        groups: list[dict[str, Any]] = [
            {"params": filters, "lr": lr, "ns_steps": ns_steps, "normalize_filters": normalize_filters}
        ]
        for rate, chosen in ((bias_lr, biases), (linear_lr, others)):
            decay = weight_decay / rate if rate else 0.0  # as torch's SGD means it
            groups.append({"params": chosen, "lr": rate, "momentum": sgd_momentum, "weight_decay": decay})
        defaults = {"lr": lr, "momentum": momentum, "ns_steps": 0}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step with the gradients at hand; parameters without one are left alone."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if group["ns_steps"]:
                    self._step_filters(parameter, parameter.grad, group)
                else:
                    gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
                    parameter.add_(self._nesterov(parameter, gradient, group), alpha=-group["lr"])
        return loss

    def _step_filters(self, filters: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        direction = self._nesterov(filters, gradient, group)
        if group["normalize_filters"]:
            filters.mul_(len(filters) ** 0.5 / filters.norm())
        update = orthogonalize(direction.flatten(1), group["ns_steps"])
        filters.add_(update.view(filters.shape), alpha=-group["lr"])

    def _nesterov(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        return gradient.add(buffer, alpha=group["momentum"])

"""Batch norm over the whole batch, where several processes hold a part of it each, on CPUs too."""

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from cnnexp.distributed import several


class _Synchronised(nn.modules.batchnorm._BatchNorm):
    """Batch norm with the mean and the variance of all processes' images together.

    The average comes before the squared deviations, so that nothing is lost where the mean is large; gradients
    flow through both sums. A process may hold no image at all.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and several()):
            return super().forward(input)
        dims = [dim for dim in range(input.dim()) if dim != 1]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        values = input.float()
        here = torch.full((1,), float(input.numel() // input.shape[1]), device=input.device)
        sums = all_reduce(torch.cat([values.sum(dims), here]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean.view(shape)
        variance = all_reduce(centred.square().sum(dims)) / count
        self._track(mean.detach(), variance.detach(), count)
        result = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return result.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


class _Synchronised1d(_Synchronised, nn.BatchNorm1d):
    pass


class _Synchronised2d(_Synchronised, nn.BatchNorm2d):
    pass


class _Synchronised3d(_Synchronised, nn.BatchNorm3d):
    pass


_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _Synchronised1d,
    nn.BatchNorm2d: _Synchronised2d,
    nn.BatchNorm3d: _Synchronised3d,
}


class SyncBatchNorm(TorchSyncBatchNorm):
    """Lightning's plugin for ``sync_batchnorm``, on CPUs too, where torch's own layer refuses to work."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Make the batch norms of a model look at all processes' images."""
        if dist.get_backend() == "nccl":
            return super().apply(model)
        # the same layers by another class: parameters, buffers and their names stay what they are
        _change(model, _KINDS)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Make them ordinary again."""
        _change(model, {synchronised: plain for plain, synchronised in _KINDS.items()})
        return super().revert(model)


def _change(model: nn.Module, kinds: dict[type[nn.Module], type[nn.Module]]) -> None:
    for layer in model.modules():
        if type(layer) in kinds:
            layer.__class__ = kinds[type(layer)]

"""What a network costs: multiply-adds and time."""

import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from cnnexp.models.classifier import Classifier
from cnnexp.models.eval_mode import evaluating


def multiply_adds(model: Classifier) -> int:
    """Return the multiplications (each with an addition) of one image's forward pass.

    Counted are convolutions and linear layers, which make up nearly all of them; biases, ReLU, pooling and
    normalisation aren't.
    """
    image = torch.zeros(1, *model.image_shape, device=model.device)
    with evaluating(model), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return counter.get_total_flops() // 2


def seconds_per_thousand(models: Sequence[Classifier], batches: Sequence[Tensor], rounds: int = 5) -> list[float]:
    """Return each network's seconds for the forward pass of a thousand images.

    The networks take turns, so that other load on the machine slows all of them alike. Each one's median over the
    rounds is returned; one more round comes first, to warm up.

    Args:
        models: in the mode and on the device to be timed in.
        batches: for each network a batch of prepared images, on its device.
        rounds: how often each is timed.
    """
    readings: list[list[float]] = [[] for _ in models]
    for _ in range(rounds + 1):
        for model, images, seconds in zip(models, batches, readings, strict=True):
            seconds.append(_seconds(model, images) * 1000 / len(images))
    return [statistics.median(seconds[1:]) for seconds in readings]


@torch.inference_mode()
def _seconds(model: Classifier, images: Tensor) -> float:
    begin = time.perf_counter()
    model(images)
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - begin

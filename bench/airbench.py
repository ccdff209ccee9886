"""``python -m bench.airbench DIR``: what ``experiment=cifar10_fast`` is measured against.

The recipe of ``airbench94_muon.py`` (KellerJordan/cifar10-airbench, MIT) as a plain loop: no Lightning, weights
and activations in bfloat16 (batch norms in single precision), a loss that is a sum, all 50,000 training
images, and a learning rate of its own for the first bias, which falls to nothing within three epochs. The
network, the batches and the update of the filters are cnnexp's; nothing is compiled.
"""

import argparse
import os
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnexp import Airbench, ImageDataModule
from cnnexp.models.tta import TestTimeAugmentation, weighted_views
from cnnexp.training.muon import Muon

BATCH_SIZE, EPOCHS, FIRST_BIAS_EPOCHS = 2000, 8, 3
BIAS_LR, HEAD_LR, DECAY = 0.053, 0.67, 2e-6 * BATCH_SIZE
FILTERS_LR = 0.24


def main() -> None:
    """Train once and print the accuracies and the seconds."""
    parser = argparse.ArgumentParser(prog="python -m bench.airbench", description=__doc__)
    parser.add_argument("root", nargs="?", default=os.environ.get("CNNEXP_DATA", "data"))
    parser.add_argument("--dataset", default="image_folder", choices=("image_folder", "cifar10"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    a = parser.parse_args()
    data = ImageDataModule(
        a.dataset, a.root, batch_size=BATCH_SIZE, eval_batch_size=BATCH_SIZE, validation="test", crop_padding=2,
        horizontal_flip="alternating", device="cuda" if a.device == "cuda" else "cpu", seed=a.seed,
    )  # fmt: skip
    data.setup()
    torch.manual_seed(a.seed)
    net = Airbench(data.image_shape, data.classes).to(a.device)
    begin = _now(a.device)
    net.whiten(data.training_images(5000).to(a.device))
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.bfloat16()
    train(net, data, a.steps)
    trained = _now(a.device)
    print(f"trained in {trained - begin:.1f} s")
    net.eval()
    for kind in ("none", "flip_and_shift"):
        print(f"{kind:>14}: {accuracy(net, data, kind):.2%} on the test set")
    print(f"tested in {_now(a.device) - trained:.1f} s")


def train(net: Airbench, data: ImageDataModule, most: int | None) -> None:
    """Train for eight epochs, or for so many steps."""
    bias = net.whitening.bias
    assert bias is not None
    groups = [
        {"params": [bias], "lr": BIAS_LR, "weight_decay": DECAY / BIAS_LR},
        {
            "params": [m.bias for m in net.layers if isinstance(m, nn.BatchNorm2d)],
            "lr": BIAS_LR,
            "weight_decay": DECAY / BIAS_LR,
        },
        {"params": [net.head.weight], "lr": HEAD_LR, "weight_decay": DECAY / HEAD_LR},
    ]
    sgd = torch.optim.SGD(groups, momentum=0.85, nesterov=True)
    filters = [m.weight for m in net.layers if isinstance(m, nn.Conv2d)]
    muon = Muon(filters, lr=FILTERS_LR, momentum=0.6, ns_steps=3, normalize_filters=True)
    loader = data.train_dataloader()
    total, first = EPOCHS * len(loader), FIRST_BIAS_EPOCHS * len(loader)
    full = [(group, group["lr"]) for group in (*sgd.param_groups, *muon.param_groups)]
    step = 0
    for epoch in range(EPOCHS):
        loader.batch_sampler.set_epoch(epoch)
        bias.requires_grad_(epoch < FIRST_BIAS_EPOCHS)
        for images, labels in loader:
            if step == most:
                return
            logits = net(images.bfloat16())
            F.cross_entropy(logits, labels, label_smoothing=0.2, reduction="sum").backward()
            for group, lr in full:
                group["lr"] = lr * max(0.0, 1 - step / (first if group["params"][0] is bias else total))
            sgd.step()
            muon.step()
            net.zero_grad()
            step += 1


@torch.no_grad()
def accuracy(net: Airbench, data: ImageDataModule, kind: TestTimeAugmentation) -> float:
    """Return the share of right answers on the test set."""
    right = 0
    for images, labels in data.test_dataloader():
        views = weighted_views(images.bfloat16(), kind)
        logits: Tensor = torch.stack([weight * net(view) for weight, view in views]).sum(0)
        right += int((logits.argmax(1) == labels).sum())
    return right / data.sizes["test"]


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()

import subprocess
import sys
from functools import partial

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cnnexp import CNN, FFNN, VGG16, CnnexpError
from cnnexp.models.losses import CrossEntropy
from cnnexp.models.shapes import conv_parameters, linear_parameters


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("shape", "side", "parameters"), [((1, 28, 28), 6, 1_475_146), ((3, 32, 32), 7, 1_974_922)]
)
def test_the_course_network(shape, side, parameters):
    torch.manual_seed(3)
    network = CNN(shape, 10)
    torch.manual_seed(3)
    plain = nn.Sequential(
        nn.Conv2d(shape[0], 32, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(32, 64, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * side * side, 600), nn.ReLU(), nn.Linear(600, 120), nn.ReLU(), nn.Linear(120, 10),
    )  # fmt: skip
    assert count(network) == parameters
    assert [str(layer) for layer in network.layers] == [str(layer) for layer in plain]
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    images = torch.rand(5, *shape)
    torch.testing.assert_close(network(images), plain(images))


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": [4]},
        {"channels": [4, 6, 8]},
        {"kernel_size": 5},
        {"kernel_size": [[2, 3], 1]},
        {"padding": "same", "kernel_size": [5, 3], "dilation": 2},
        {"padding": ["valid", [0, 2]]},
        {"stride": [[2, 1], 1], "pool": [1, [2, 3]]},
        {"pool": 1, "channels": [2, 2], "hidden": [5]},
        {"hidden": []},
        {"batch_norm": True, "dropout": 0.5},
    ],
)
def test_every_setting_builds_a_network_for_images_that_are_not_square(settings):
    network = CNN((2, 21, 30), 7, **settings)
    assert network(torch.rand(3, 2, 21, 30)).shape == (3, 7)


def test_settings_reach_the_layers():
    network = CNN(
        (3, 20, 20), 5, channels=[4, 6], kernel_size=[[2, 3], 3], padding=[0, "same"], pool=[1, 2], hidden=[]
    )
    # 20×20 becomes 19×18 by the first convolution, 9×9 by the pooling after the second
    expected = conv_parameters(3, 4, (2, 3)) + conv_parameters(4, 6, 3) + linear_parameters(6 * 9 * 9, 5)
    assert count(network) == expected
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in network.layers) == 1
    normed = CNN((3, 20, 20), 5, batch_norm=True)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in normed.layers) == 2
    assert count(normed) == count(CNN((3, 20, 20), 5)) + 32 + 64  # two a channel more, one bias less


@pytest.mark.parametrize(
    ("shape", "settings", "said"),
    [
        ((1, 28, 28), {"kernel_size": [3]}, r"kernel_size=\[3\] is a list of 1 for 2 convolutions"),
        ((1, 28, 28), {"kernel_size": (2, 3, 3)}, "is a list of 3 for 2 convolutions; give one value for all"),
        ((1, 28, 28), {"padding": [0, 0, 0]}, "padding"),
        ((1, 28, 28), {"padding": "same", "stride": 2}, 'padding="same" needs stride=1'),
        ((1, 7, 9), {}, r"layer 4 \(max-pool 2\) leaves nothing of a 7×9 image, which is 1×2 .* is 8×8"),
        ((1, 2, 2), {"kernel_size": [[5, 3], 1]}, r"layer 1 \(convolution 5×3\) .* is 6×4"),
        ((1, 28, 28), {"channels": [2] * 5}, r"layer 7 \(convolution 3\) .* that would do is 92×92"),
    ],
)  # fmt: skip
def test_what_can_not_be_built_is_refused(shape, settings, said):
    with pytest.raises(CnnexpError, match=said):
        CNN(shape, 10, **settings)


def test_the_smallest_image_named_will_do():
    assert CNN((1, 92, 92), 10, channels=[2] * 5)(torch.rand(1, 1, 92, 92)).shape == (1, 10)


def halve_each_step(optimizer, *, epochs, steps_per_epoch):
    return {"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5), "interval": "step"}


@pytest.mark.parametrize(
    "network",
    [
        partial(CNN, channels=(2, 3), kernel_size=((2, 3), 3), padding=("same", 1), hidden=(5,), batch_norm=True),
        partial(FFNN, hidden=(5, 4), dropout=0.1),
        partial(VGG16, hidden=(6,), dropout=0.5, width=0.02),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
def test_a_checkpoint_is_plain_and_rebuilds_the_network_by_itself(network, tmp_path):
    trained = network(torch.Size([1, 12, 12]), classes=3).train_with(
        partial(torch.optim.SGD, lr=0.1, momentum=0.9), halve_each_step, CrossEntropy(class_weights=[1, 2, 3])
    )
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    data = TensorDataset(torch.rand(8, 1, 12, 12), torch.arange(8) % 3)
    trainer.fit(trained, DataLoader(data, batch_size=4), DataLoader(data, batch_size=4))
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)

    saved = torch.load(path, weights_only=True)["hyper_parameters"]
    assert not {"optimizer", "scheduler"} & set(saved)
    assert saved["image_shape"] == [1, 12, 12]
    assert only_plain(saved)
    loaded = type(trained).load_from_checkpoint(path, weights_only=True)
    assert dict(loaded.hparams) == saved
    images = torch.rand(2, 1, 12, 12)
    assert torch.equal(loaded.eval()(images), trained.eval()(images))


def only_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and only_plain(entry) for key, entry in value.items())
    if isinstance(value, list):
        return all(map(only_plain, value))
    return value is None or type(value) in (int, float, str, bool)


def test_the_networks_need_neither_data_nor_hydra():
    code = (
        "import sys, cnnexp.models.cnn, cnnexp.models.ffnn, cnnexp.models.vgg16;"
        "sys.exit(any(m.startswith(('cnnexp.data', 'hydra')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

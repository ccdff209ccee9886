from functools import partial

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models

from cnnexp import CnnexpError, Network
from cnnexp.inspection.kernels import first_kernels
from cnnexp.inspection.saliency import grad_cam, last_map
from cnnexp.inspection.summary import summarize

GREY = (1, 28, 28)
SMALL = partial(models.shufflenet_v2_x0_5, weights=None)


class Own(nn.Module):
    """One pixel a map, then a batch norm, which a single image has no variance for; and a draw in passing."""

    def __init__(self, classes: int, in_channels: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(4),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(1),
            nn.BatchNorm2d(4),
            nn.Flatten(),
            nn.LazyLinear(classes),
        )

    def forward(self, images):
        torch.rand(3)
        return self.layers(self.conv(images))


def two_outputs(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, num_classes), nn.LSTM(num_classes, num_classes))


def seven_classes(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 7))


def trainer(**arguments) -> L.Trainer:
    return L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1, **arguments,
    )  # fmt: skip


def batches(shape, images: int, size: int) -> DataLoader:
    return DataLoader(TensorDataset(torch.rand(images, *shape), torch.arange(images) % 4), batch_size=size)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_grey_images_are_repeated_only_where_they_must_be(device):
    with torch.device(device):
        grey, colour, own = (
            Network(GREY, 4, SMALL),
            Network((3, 28, 28), 4, SMALL),
            Network(GREY, 4, Own, "classes"),
        )
    assert summarize(grey)[0].kind == "GreyToRGB"
    assert [summarize(grey)[0].input_shape, summarize(grey)[0].output_shape] == [(1, 28, 28), (3, 28, 28)]
    assert colour.grey_to_rgb is None
    assert own.grey_to_rgb is None
    assert grey.parameter_count == colour.parameter_count == sum(layer.parameters for layer in summarize(grey))


def test_the_network_is_the_module_as_its_builder_makes_it():
    torch.manual_seed(0)
    plain = SMALL(num_classes=4)
    drawn = torch.rand(2)
    torch.manual_seed(0)
    model = Network(GREY, 4, SMALL)
    assert torch.equal(torch.rand(2), drawn)
    for (name, theirs), (ours, same) in zip(plain.state_dict().items(), model.state_dict().items(), strict=True):
        assert ours == f"network.{name}"
        assert torch.equal(theirs, same)
    assert all(module.training for module in model.network.modules())
    images = torch.rand(5, *GREY)
    assert torch.equal(model(images), plain(images.repeat(1, 3, 1, 1)))


def test_a_last_batch_of_one_image_is_normalised_by_the_running_statistics():
    model = Network(GREY, 4, partial(Own, in_channels=1), "classes")
    run = trainer()
    run.fit(model, batches(GREY, 9, 4), batches(GREY, 4, 4))
    assert run.global_step == 3
    first, second = (layer for layer in model.network.layers if isinstance(layer, nn.BatchNorm2d))
    assert (int(first.num_batches_tracked), int(second.num_batches_tracked)) == (3, 2)
    assert second.training


@pytest.mark.parametrize(
    ("shape", "network", "argument", "said"),
    [
        (GREY, Own, "num_classes", "unexpected keyword argument 'num_classes'; .*model.classes_argument=…"),
        (GREY, models.vgg11, "num_classes", "vgg11 takes no images of 1×28×28: .*three.*data.image_size"),
        ((3, 28, 28), models.vgg11, "num_classes", "vgg11 takes no images of 3×28×28: .*\n.*data.image_size=…"),
        (GREY, seven_classes, "num_classes", r"\(1, 7\) of one, not \(1, 4\)"),
        (GREY, two_outputs, "num_classes", "returns a tuple instead of logits"),
        (GREY, partial(SMALL, weights="IMAGENET1K_V1"), "num_classes", "expected value 1000 but got 4"),
        (GREY, partial(models.resnet18, norm_layer=nn.Identity), "num_classes", "norm_layer=.*write a function"),
        (GREY, partial(Own, 4), "in_channels", "by name"),
        (GREY, lambda num_classes: num_classes, "num_classes", "returns a int, not a torch.nn.Module"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_answered(shape, network, argument, said):
    with pytest.raises(CnnexpError, match=f"(?s){said}") as error:
        Network(shape, 4, network, argument)
    assert len(str(error.value).splitlines()) <= 2


def test_outputs_beside_the_logits_are_answered_in_training():
    with pytest.warns(FutureWarning, match="initialization"):
        model = Network(GREY, 4, models.googlenet)
    with pytest.raises(CnnexpError, match="aux_logits=false"):
        model(torch.rand(2, *GREY))


def saved(model: Network, path):
    run = trainer(limit_train_batches=1)
    run.fit(model, batches(model.image_shape, 4, 4), batches(model.image_shape, 4, 4))
    run.save_checkpoint(path)
    return torch.load(path, weights_only=True)["hyper_parameters"]["network"]


def test_torchvisions_models_are_loaded_by_their_checkpoint_alone_and_others_with_their_function(tmp_path):
    model = Network(GREY, 4, SMALL)
    held = saved(model, tmp_path / "theirs.ckpt")
    assert held == {"_target_": "torchvision.models.shufflenetv2.shufflenet_v2_x0_5", "weights": None}
    images = torch.rand(2, *GREY)
    loaded = Network.load_from_checkpoint(tmp_path / "theirs.ckpt")
    assert torch.equal(loaded.eval()(images), model.eval()(images))

    own = Network(GREY, 4, partial(Own, in_channels=1), "classes")
    held = saved(own, tmp_path / "own.ckpt")
    assert held == {"_target_": f"{__name__}.Own", "in_channels": 1}
    with pytest.raises(CnnexpError, match=rf"only names its network, {__name__}\.Own; .*network=…"):
        Network.load_from_checkpoint(tmp_path / "own.ckpt")
    loaded = Network.load_from_checkpoint(tmp_path / "own.ckpt", network=Own)
    assert torch.equal(loaded.eval()(images), own.eval()(images))


@pytest.mark.parametrize(
    "call",
    [
        {"_target_": "os.mkdir", "path": "sprung"},
        {"_target_": "os.resnet18"},
        {"_target_": "torchvision.models.get_model", "name": "resnet18"},
        {"_target_": "torchvision.models.detection.fasterrcnn_resnet50_fpn"},
        {"_target_": "torchvision.models.resnet18", "weights": "DEFAULT"},
        {"_target_": ["torchvision.models.resnet18"]},
        {},
    ],
)
def test_a_name_alone_calls_nothing_but_torchvisions_models(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CnnexpError, match="only names its network"):
        Network(GREY, 4, call)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("builder", "shape", "layer", "rest"),
    [
        (models.resnet18, (3, 64, 64), "network.layer4", 0),
        (models.mobilenet_v3_small, GREY, "network.features", 0),
        (models.densenet121, (3, 64, 64), "network.features", 0),
        # what its attention holds for itself belongs to no layer that an image passes
        (models.vit_b_32, (3, 224, 224), "network.conv_proj", 28_387_584),
    ],
)
def test_torchvisions_networks_are_looked_into(builder, shape, layer, rest):
    with torch.device("meta"):
        model = Network(shape, 10, builder)
    rows = summarize(model)
    assert sum(row.parameters for row in rows) == model.parameter_count
    assert sum(row.parameters for row in rows if row.computed_parameters is None and not row.kind) == rest
    assert last_map(model) == layer
    assert first_kernels(model)[1].shape[1] == 3


def test_grad_cam_weighs_the_last_call_of_a_layer_that_is_called_twice():
    model = Network((3, 64, 64), 10, models.resnet18)
    image = torch.rand(3, 64, 64)
    by_block, by_relu = (grad_cam(model, image, 1, name) for name in ("network.layer4.1", "network.layer4.1.relu"))
    torch.testing.assert_close(by_block, by_relu)

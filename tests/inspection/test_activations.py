import pytest
import torch

from cnnexp import CNN, FFNN, VGG16
from cnnexp.errors import CnnexpError
from cnnexp.inspection.activations import record_activations, strongest_channels
from cnnexp.inspection.kernels import first_kernels, largest_kernels
from cnnexp.inspection.layers import named_layers
from cnnexp.inspection.saliency import enlarge, grad_cam, gradient_times_input, last_map

IMAGES = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize("batch_norm", [True, False])
def test_all_13_convolutions_are_recorded_before_their_relu_and_the_network_is_left_alone(batch_norm):
    torch.manual_seed(0)
    model = VGG16((1, 32, 32), 10, width=0.05, batch_norm=batch_norm).train()
    outputs = record_activations(model, IMAGES)
    assert len(outputs) == 13
    assert list(outputs) == sorted(outputs, key=lambda name: int(name.split(".")[1]))
    # the ReLU after it works in place, and would have left nothing below 0
    first = next(iter(outputs.values()))
    assert torch.equal(first, model.features[0](IMAGES).detach())
    assert float(first.min()) < 0
    assert model.training
    assert hooks(model) == 0


def test_hooks_are_gone_after_a_failure_too():
    model = CNN((1, 32, 32), 10, channels=[2], hidden=[])
    with pytest.raises(RuntimeError):
        record_activations(model, torch.zeros(1, 3, 32, 32))
    assert hooks(model) == 0


def test_any_layer_by_name():
    model = FFNN((1, 32, 32), 10, hidden=[4])
    assert {name: tuple(v.shape) for name, v in record_activations(model, IMAGES, ["layers.2"]).items()} == {
        "layers.2": (2, 4)
    }
    assert "running" not in named_layers(model)
    with pytest.raises(CnnexpError, match=r"no layer 'layer\.2'; did you mean layers\.2\?"):
        record_activations(model, IMAGES, ["layer.2"])
    with pytest.raises(CnnexpError, match=r"no convolution .* task\.layer=\[layers\.1,layers\.3\]"):
        record_activations(model, IMAGES)


def test_the_strongest_channels_by_hand():
    activation = torch.tensor([[[-9.0, 2.0]], [[1.0, 2.0]], [[-1.0, -1.0]]])  # means above 0: 1, 1.5 and 0
    assert strongest_channels(activation, 2) == [1, 0]
    assert strongest_channels(activation, None) == [0, 1, 2]


def test_the_first_kernels_have_the_images_shape():
    cnn = CNN((3, 32, 32), 10, channels=[4], kernel_size=[[2, 3]], hidden=[])
    name, kernels = first_kernels(cnn)
    assert (name, tuple(kernels.shape)) == ("layers.0", (4, 3, 2, 3))
    ffnn = FFNN((1, 32, 32), 10, hidden=[5])
    name, rows = first_kernels(ffnn)
    assert (name, tuple(rows.shape)) == ("layers.1", (5, 1, 32, 32))
    # a row is the image that its unit answers to: their product is the unit's output
    unit = ffnn.layers[1](ffnn.layers[0](IMAGES))[0]
    assert torch.allclose((rows * IMAGES[0]).sum((1, 2, 3)) + ffnn.layers[1].bias, unit, atol=1e-5)
    assert largest_kernels(torch.tensor([1.0, 3.0, 2.0]).view(3, 1, 1, 1), 2) == [1, 2]


def test_gradient_times_input_of_a_linear_network_is_exactly_what_each_pixel_adds():
    model = FFNN((1, 32, 32), 10, hidden=[])
    image = IMAGES[0]
    attribution = gradient_times_input(model, image, 3)
    logit = (model(image[None])[0, 3] - model.layers[1].bias[3]).detach()
    assert float(attribution.sum()) == pytest.approx(float(logit), abs=1e-5)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("batch_norm", [True, False])
def test_grad_cam_finds_the_part_of_the_image_that_decides(batch_norm):
    torch.manual_seed(0)
    model = VGG16((1, 32, 32), 10, width=0.05, batch_norm=batch_norm)
    assert last_map(model) == ("features.42" if batch_norm else "features.29")
    assert last_map(FFNN((1, 8, 8), 2)) is None
    assert tuple(grad_cam(model, IMAGES[0], 1, last_map(model)).shape) == (2, 2)
    assert hooks(model) == 0
    with pytest.raises(CnnexpError, match="no map"):
        grad_cam(model, IMAGES[0], 1, "classifier.1")

    # one kernel that sees brightness, and a class that counts it
    seeing = CNN((1, 8, 8), 2, channels=[1], kernel_size=1, padding=0, pool=1, hidden=[])
    with torch.no_grad():
        for p in seeing.parameters():
            p.zero_()
        seeing.layers[0].weight.fill_(1)
        seeing.layers[3].weight[1] = 1
    image = torch.zeros(1, 8, 8)
    image[:, 2, 5] = 1
    heat = grad_cam(seeing, image, 1, last_map(seeing))
    assert heat.nonzero().tolist() == [[2, 5]]
    assert not grad_cam(seeing, image, 0, "layers.1").any()
    assert tuple(enlarge(heat, (16, 12)).shape) == (16, 12)

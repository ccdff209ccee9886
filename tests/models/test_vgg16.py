import pytest
import torch
import torchvision
from sklearn.datasets import load_digits
from torch import nn

from cnnexp import VGG16, CnnexpError


@pytest.mark.parametrize(
    ("batch_norm", "build", "parameters"),
    [
        (False, torchvision.models.vgg16, 138_357_544),
        (True, torchvision.models.vgg16_bn, 138_365_992),
    ],
)
def test_state_dicts_are_interchangeable_with_torchvisions(batch_norm, build, parameters):
    theirs = build(init_weights=False).eval()
    with torch.no_grad():
        for name, buffer in theirs.named_buffers():  # means of 0 and variances of 1 would hide a mix-up
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
            assert name.startswith("features")
    with torch.device("meta"):  # its weights are about to be replaced: don't spend seconds on drawing them
        ours = VGG16((3, 224, 224), 1000, hidden=(4096, 4096), dropout=0.5, batch_norm=batch_norm).eval()
        back = build(init_weights=False).eval()
    assert sum(p.numel() for p in ours.parameters()) == parameters
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    back.load_state_dict(ours.state_dict(), strict=True, assign=True)
    images = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        expected = theirs(images)
        assert torch.equal(ours(images), expected)
        assert torch.equal(back(images), expected)


def test_the_initial_weights_have_hes_spread():
    torch.manual_seed(5)
    ours = VGG16((3, 32, 32), 10, batch_norm=False).features
    assert all(layer.bias.eq(0).all() for layer in ours if isinstance(layer, nn.Conv2d))
    # He's deviation over the outputs: √(2 / (512·3·3)), within a per cent for two million weights
    last = [layer for layer in ours if isinstance(layer, nn.Conv2d)][-1]
    assert last.weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("hidden", [(), (12,)])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 28, 45), (1, 64, 96), (3, 224, 256)])
def test_images_of_every_shape_train(shape, hidden):
    network = VGG16(shape, 10, hidden=hidden, width=1 / 16)
    logits = network(torch.rand(2, *shape))
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("shape", "hidden", "features"),
    [
        ((3, 32, 32), (), 512),
        ((3, 224, 224), (), 512),
        ((3, 32, 32), (8,), 512),
        ((3, 64, 96), (8,), 512 * 2 * 3),
        ((3, 224, 224), (8,), 512 * 7 * 7),
        ((3, 320, 224), (8,), 512 * 7 * 7),
    ],
)
def test_the_last_map_is_averaged_to_one_pixel_or_to_seven_a_side(shape, hidden, features):
    with torch.device("meta"):
        network = VGG16(shape, 10, hidden=hidden)
    first = next(layer for layer in network.classifier if isinstance(layer, nn.Linear))
    assert first.in_features == features


def test_small_images_are_padded_with_zeros_in_the_middle():
    torch.manual_seed(0)
    small = VGG16((1, 29, 28), 4, width=1 / 16).eval()
    large = VGG16((1, 32, 32), 4, width=1 / 16).eval()
    large.load_state_dict(small.state_dict())
    image = torch.rand(1, 1, 29, 28)
    framed = torch.zeros(1, 1, 32, 32)
    framed[..., 1:30, 2:30] = image
    assert torch.equal(small(image), large(framed))


@pytest.mark.parametrize("shape", [(1, 7, 28), (3, 28, 7)])
def test_images_that_would_be_nearly_all_padding_are_refused(shape):
    with pytest.raises(CnnexpError, match=f"8×8 and more, these are {shape[1]}×{shape[2]}; resize"):
        VGG16(shape, 10)


@pytest.mark.parametrize("hidden", [(), (64,)])
def test_dropout_acts_in_training_only_and_leaves_the_state_dicts_names(hidden):
    network = VGG16((1, 32, 32), 10, hidden=hidden, dropout=0.5, batch_norm=False, width=1 / 16)
    images = torch.rand(2, 1, 32, 32) * 100
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))
    without = VGG16((1, 32, 32), 10, hidden=hidden, batch_norm=False, width=1 / 16)
    without.load_state_dict(network.state_dict())


@pytest.fixture
def one_thread():
    """One thread: on layers this small, waiting for a second one on a busy machine takes all the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_it_learns_real_grey_digits_in_a_few_steps():
    digits = load_digits()
    images = torch.tensor(digits.images[:64], dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target[:64])
    torch.manual_seed(0)
    network = VGG16((1, 8, 8), 10, width=1 / 8)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(30):
        logits = network(images)
        nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert logits.argmax(1).eq(labels).float().mean().item() > 0.9

from functools import partial

import lightning as L
import pytest
import torch
from torch import nn

from cnnexp import Airbench, CnnexpError, ImageDataModule
from cnnexp.training.muon import Muon
from cnnexp.training.schedules import linear


def small(scheduler=None, **settings) -> Airbench:
    network = Airbench((1, 28, 28), 10, channels=[8, 8, 8], **settings)
    return network.train_with(partial(Muon, bias_lr=1.0, linear_lr=5.0), scheduler)


def trainer(epochs: int, **arguments) -> L.Trainer:
    return L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1, limit_train_batches=4,
        limit_val_batches=1, **arguments,
    )  # fmt: skip


def data() -> ImageDataModule:
    return ImageDataModule("digits", batch_size=50, horizontal_flip="alternating", crop_padding=1)


def test_on_cifar_it_is_the_network_of_the_source():
    network = Airbench((3, 32, 32), 10)
    learned = sum(p.numel() for p in network.parameters() if p.requires_grad)
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 256 * 256 + 256 * 256 + 256 * 256)
    assert learned == convolutions + 2 * (64 + 256 + 256) + 24 + 256 * 10
    (last,) = [layer for layer in network.layers if isinstance(layer, nn.MaxPool2d)][-1:]
    assert last.kernel_size == (3, 3)
    features = network.layers(network.whitening(torch.rand(2, 3, 32, 32)))
    assert features.shape == (2, 256)


@pytest.mark.parametrize("shape", [(1, 9, 9), (1, 28, 28), (3, 32, 45), (3, 64, 64)])
def test_images_of_every_shape_train(shape):
    network = Airbench(shape, 7, channels=[4, 6, 5])
    logits = network(torch.rand(2, *shape))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_images_of_which_nothing_would_be_left_are_refused():
    with pytest.raises(CnnexpError, match="smallest image that would do is 9×9"):
        Airbench((3, 8, 8), 10)


@pytest.mark.parametrize("channels", [1, 3])
def test_whitened_patches_have_unit_variance_and_no_correlation(channels):
    torch.manual_seed(0)
    images = torch.rand(40, channels, 12, 12).cumsum(3)  # neighbours are much alike
    network = Airbench((channels, 12, 12), 10)
    network.whiten(images, eps=0.0)
    half = network.whitening.weight[: 4 * channels]
    assert torch.equal(network.whitening.weight[4 * channels :], -half)
    maps = nn.functional.conv2d(images, half).transpose(0, 1).flatten(1)
    torch.testing.assert_close(maps @ maps.T / maps.shape[1], torch.eye(4 * channels), atol=1e-3, rtol=1e-3)


def test_a_fit_whitens_once_and_the_filters_stay():
    network, images = small(), data()
    expected = Airbench((1, 28, 28), 10)
    expected.whiten(images.training_images(5000))
    trainer(1).fit(network, images)
    assert torch.equal(network.whitening.weight, expected.whitening.weight)
    other = ImageDataModule("digits", batch_size=50, normalize=False)
    trainer(1).fit(network, other)
    assert torch.equal(network.whitening.weight, expected.whitening.weight)


def test_without_a_data_module_it_says_what_to_do():
    loaders = data().train_dataloader(), data().val_dataloader()
    with pytest.raises(CnnexpError, match=r"whiten\(images\)"):
        trainer(1).fit(small(), *loaders)
    network = small()
    network.whiten(data().training_images(100))
    trainer(1).fit(network, *loaders)


def test_the_first_bias_learns_for_its_epochs_only():
    biases = []

    class Watch(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            biases.append(pl_module.whitening.bias.detach().clone())

    network = small(whitening_bias_epochs=2)
    trainer(4, callbacks=[Watch()]).fit(network, data())
    assert not torch.equal(biases[0], biases[1])
    assert torch.equal(biases[1], biases[2])
    assert torch.equal(biases[2], biases[3])


def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path):
    make = partial(small, linear, whitening_bias_epochs=1)

    class Save(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "two.ckpt")

    torch.manual_seed(3)
    whole = make()
    trainer(3, callbacks=[Save()]).fit(whole, data())
    resumed = make()
    trainer(3).fit(resumed, data(), ckpt_path=tmp_path / "two.ckpt", weights_only=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    loaded = Airbench.load_from_checkpoint(tmp_path / "two.ckpt", weights_only=True)
    assert loaded.whitened
    assert loaded.hparams["channels"] == [8, 8, 8]

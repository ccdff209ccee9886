import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cnnexp import FFNN


@pytest.mark.parametrize(("shape", "parameters"), [((1, 28, 28), 44_458), ((3, 32, 32), 117_674)])
def test_the_course_network(shape, parameters):
    torch.manual_seed(3)
    network = FFNN(shape, 10)
    torch.manual_seed(3)
    plain = nn.Sequential(
        nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU(),
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    images = torch.rand(5, *shape)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert torch.equal(network(images), plain(images))


def test_hidden_layers_can_be_left_out_and_widened():
    linear = FFNN((3, 4, 5), 7, hidden=[])
    assert sum(p.numel() for p in linear.parameters()) == (60 + 1) * 7
    wide = FFNN((3, 4, 5), 7, hidden=[9, 8], batch_norm=True)
    assert sum(p.numel() for p in wide.parameters()) == 60 * 9 + 2 * 9 + 9 * 8 + 2 * 8 + 9 * 7
    assert wide(torch.rand(2, 3, 4, 5)).shape == (2, 7)


@pytest.mark.parametrize("hidden", [[], [50, 50]])
def test_dropout_acts_in_training_only(hidden):
    network = FFNN((1, 8, 8), 3, hidden=hidden, dropout=0.5)
    images = torch.rand(4, 1, 8, 8)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_batch_norm_survives_a_last_batch_of_one_image():
    network = FFNN((1, 4, 4), 2, hidden=[8], batch_norm=True)
    data = TensorDataset(torch.rand(5, 1, 4, 4), torch.tensor([0, 1, 0, 1, 1]))
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(network, DataLoader(data, batch_size=4), DataLoader(data, batch_size=4))
    assert trainer.global_step == 2
    assert all(torch.isfinite(p).all() for p in network.parameters())

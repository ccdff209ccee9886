import pytest
import torch
from torch import nn

from cnnexp.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (16, 16)])
def test_singular_values_become_ones_give_or_take_a_half(shape):
    torch.manual_seed(0)
    matrix = torch.randn(*shape) * 1e-3
    orthogonal = orthogonalize(matrix)
    assert orthogonal.shape == matrix.shape
    assert orthogonal.dtype == matrix.dtype
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    kept = s > 0.05 * s[0]  # five steps don't lift the very smallest
    values = (u.T @ orthogonal @ vh.T).diagonal()[kept]
    assert kept.sum() >= 6
    assert ((values > 0.5) & (values < 1.5)).all()


def test_a_matrix_of_zeros_stays_one():
    assert torch.equal(orthogonalize(torch.zeros(3, 5)), torch.zeros(3, 5))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def learn(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 4, first: int = 0) -> None:
    for number in range(first, first + steps):
        draw = torch.Generator().manual_seed(number)
        images, labels = torch.rand(8, 2, 4, 4, generator=draw), torch.randint(3, (8,), generator=draw)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()


def test_what_is_no_filter_takes_the_steps_of_torchs_own_sgd():
    ours, theirs = network(), network()
    for net in (ours, theirs):
        net[0].weight.requires_grad = False
    sgd = torch.optim.SGD(
        [
            {"params": [p for p in theirs.parameters() if p.ndim == 1], "lr": 0.2, "weight_decay": 0.01 / 0.2},
            {"params": [theirs[4].weight], "lr": 0.1, "weight_decay": 0.01 / 0.1},
        ],
        momentum=0.8,
        nesterov=True,
    )
    learn(theirs, sgd)
    learn(ours, Muon(ours.parameters(), bias_lr=0.2, linear_lr=0.1, sgd_momentum=0.8, weight_decay=0.01))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_how_far_filters_move_does_not_depend_on_the_size_of_the_gradient(scale):
    filters = nn.Parameter(torch.zeros(4, 2, 3, 3))
    torch.manual_seed(0)
    filters.grad = torch.randn_like(filters) * scale
    Muon([filters], lr=0.5).step()
    moved = torch.linalg.svdvals(filters.detach().flatten(1))
    assert ((moved > 0.25) & (moved < 0.75)).all()


def test_filters_have_the_norm_that_normalizing_gives_them_before_a_step():
    filters = nn.Parameter(torch.rand(4, 2, 3, 3))
    filters.grad = torch.zeros_like(filters)
    Muon([filters], normalize_filters=True).step()
    assert filters.norm().item() == pytest.approx(2.0)


def test_parameters_that_need_no_gradient_or_have_none_are_left_alone():
    net = network()
    net[0].weight.requires_grad = False
    before = net[0].weight.clone()
    optimizer = Muon(net.parameters(), weight_decay=0.1)
    learn(net, optimizer)
    assert torch.equal(net[0].weight, before)
    net[4].weight.grad, before = None, net[4].weight.clone()
    optimizer.step()
    assert torch.equal(net[4].weight, before)


def test_it_goes_on_bit_for_bit_from_its_state(tmp_path):
    whole, begun, resumed = network(), network(), network()
    learn(whole, Muon(whole.parameters(), weight_decay=0.01, normalize_filters=True), steps=6)
    optimizer = Muon(begun.parameters(), weight_decay=0.01, normalize_filters=True)
    learn(begun, optimizer, steps=3)
    torch.save({"net": begun.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    resumed.load_state_dict(state["net"])
    optimizer = Muon(resumed.parameters())
    optimizer.load_state_dict(state["optimizer"])
    learn(resumed, optimizer, steps=3, first=3)
    for mine, other in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"linear_lr": -1.0}, {"momentum": 1.0}, {"weight_decay": -0.1}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Muon(network().parameters(), **wrong)


def test_groups_are_refused():
    with pytest.raises(ValueError, match=r"network\.parameters\(\)"):
        Muon([{"params": list(network().parameters())}])

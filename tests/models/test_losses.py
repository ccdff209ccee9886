"""Losses against formulas written another way, and what a network reports of the one it is trained on."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from test_classifier import CLASSES, ImagesWithCleanTraining, network, trainer
from torch import nn

from cnnexp import FFNN, CnnexpError
from cnnexp.models.losses import CrossEntropy, Focal

WEIGHTS = [0.5, 1.0, 3.0]
STILL = partial(torch.optim.SGD, lr=0.0)


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(40, CLASSES, dtype=torch.float32, generator=draw) * 3
    return logits.requires_grad_(), torch.randint(CLASSES, (40,), generator=draw)


def by_hand(logits, labels, gamma=0.0, smoothing=0.0, weights=(1.0,) * CLASSES) -> torch.Tensor:
    """The mean over images of: summed over classes, target · weight · (1 − p)^gamma · −log p; in doubles."""
    p = logits.double().exp() / logits.double().exp().sum(1, keepdim=True)
    target = (1 - smoothing) * F.one_hot(labels, CLASSES).double() + smoothing / CLASSES
    return (target * torch.tensor(weights, dtype=torch.float64) * (1 - p) ** gamma * -p.log()).sum(1).mean()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (CrossEntropy(), {}),
        (CrossEntropy(0.3), {"smoothing": 0.3}),
        (CrossEntropy(class_weights=WEIGHTS), {"weights": WEIGHTS}),
        (CrossEntropy(0.3, WEIGHTS), {"smoothing": 0.3, "weights": WEIGHTS}),
        (Focal(0.0), {}),
        (Focal(), {"gamma": 2.0}),
        (Focal(0.5, WEIGHTS), {"gamma": 0.5, "weights": WEIGHTS}),
        (Focal(5.0), {"gamma": 5.0}),
    ],
)
def test_values_and_gradients_are_those_of_the_formula(loss, expected, batch):
    logits, labels = batch
    value, formula = loss(logits, labels), by_hand(logits, labels, **expected)
    assert value.item() == pytest.approx(formula.item(), rel=1e-5)
    [found], [right] = (torch.autograd.grad(number, logits) for number in (value, formula))
    torch.testing.assert_close(found, right.float(), rtol=1e-4, atol=1e-7)


def test_without_weights_it_is_torchs_to_the_last_bit(batch):
    for smoothing in (0.0, 0.2):
        assert torch.equal(CrossEntropy(smoothing)(*batch), nn.CrossEntropyLoss(label_smoothing=smoothing)(*batch))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_images_that_are_surely_right_have_finite_gradients(gamma):
    logits = torch.tensor([[200.0, 0.0, 0.0], [20.0, 0.0, 0.0], [-200.0, 0.0, 0.0]], requires_grad=True)
    Focal(gamma)(logits, torch.zeros(3, dtype=torch.long)).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[2, 0] < -0.3  # wrong, and so learned from


@pytest.mark.parametrize("make", [CrossEntropy, Focal])
def test_weights_go_with_the_network_and_not_into_its_checkpoints(make):
    plain, weighted = network(), network(loss=make(class_weights=WEIGHTS))
    assert list(weighted.state_dict()) == list(plain.state_dict())
    assert weighted.to("meta").loss.class_weights.device.type == "meta"
    with pytest.raises(CnnexpError, match="2 class_weights for 3 classes"):
        network(loss=make(class_weights=[1, 2]))
    assert network(loss=make(class_weights=WEIGHTS)).train_with().loss is F.cross_entropy


class Doubled(FFNN):
    def objective(self, logits, labels):
        return 2 * super().objective(logits, labels)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: network(optimizer=STILL), None),
        (lambda: network(loss=CrossEntropy(), optimizer=STILL), None),
        (lambda: network(loss=nn.CrossEntropyLoss(), optimizer=STILL), by_hand),
        (lambda: network(loss=Focal(2.0, WEIGHTS), optimizer=STILL), partial(by_hand, gamma=2.0, weights=WEIGHTS)),
        (
            lambda: Doubled((1, 4, 4), CLASSES, hidden=(6,)).train_with(STILL),
            lambda logits, labels: 2 * by_hand(logits, labels),
        ),
    ],
)
def test_the_objective_is_reported_where_it_is_not_the_loss(model, expected):
    data, run, model = ImagesWithCleanTraining(), trainer(), model()
    run.fit(model, data)
    images, labels = data.train.tensors
    logits = model(images).detach()
    [row] = model.history
    assert row["running_loss"] == row["train_loss"] == pytest.approx(by_hand(logits, labels).item(), rel=1e-5)
    if expected is None:
        assert "running_objective" not in row
    else:
        assert row["running_objective"] == pytest.approx(expected(logits, labels).item(), rel=1e-5)


def test_the_default_trains_to_the_same_last_bit_as_cross_entropy_by_name():
    weights = []
    for loss in (None, CrossEntropy(), F.cross_entropy, nn.CrossEntropyLoss()):
        model = network(loss=loss)
        trainer(2).fit(model, ImagesWithCleanTraining())
        weights.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    assert all(torch.equal(weights[0], other) for other in weights[1:])


class Learned(nn.Module):
    """A loss with a weight that is learned with the network's."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.ones(1))

    def forward(self, logits, labels):
        return F.cross_entropy(self.sharpness * logits, labels)


def test_a_losss_own_weights_are_trained_and_gone_on_with_and_not_asked_for_later(tmp_path):
    def fit(epochs: int, checkpoint=None) -> FFNN:
        model = network(loss=Learned(), optimizer=partial(torch.optim.Adam, lr=0.01))
        run = trainer(epochs)
        run.fit(model, ImagesWithCleanTraining(), ckpt_path=checkpoint, weights_only=True)
        run.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return model

    fit(1)
    resumed, straight = fit(3, tmp_path / "1.ckpt"), fit(3)
    assert resumed.loss.sharpness.item() != 1
    assert torch.equal(resumed.loss.sharpness, straight.loss.sharpness)
    loaded = FFNN.load_from_checkpoint(tmp_path / "3.ckpt")
    images = torch.rand(2, 1, 4, 4)
    assert torch.equal(loaded.eval()(images), resumed.eval()(images))

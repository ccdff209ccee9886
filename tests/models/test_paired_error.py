import numpy as np
import pytest
import torch

from cnnexp.models.metrics import LossAndAccuracy
from cnnexp.models.paired_error import PairedError

LABELS = torch.tensor([2, 0, 1, 1, 0, 2, 1])


def logits_of(losses: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return logits of three classes whose cross-entropy is this."""
    right = torch.exp(-losses)
    shares = ((1 - right) / 2).repeat(3, 1)
    shares[labels, torch.arange(len(labels))] = right
    return shares.T.log().float()


def validated(
    paired: PairedError, losses: np.ndarray, labels: torch.Tensor = LABELS, batch: int = 3
) -> float | None:
    paired.begin()
    for part in range(0, len(losses), batch):
        some, its = torch.tensor(losses[part : part + batch]), labels[part : part + batch]
        paired.add(logits_of(some, its), its, [len(some)])
    return paired.compute(float(losses.mean())).get("val_loss_se")


def by_hand(losses: np.ndarray, lowest: np.ndarray) -> float:
    return (losses - lowest).std(ddof=1) / np.sqrt(len(losses))


def test_the_error_is_of_the_differences_from_the_lowest_validation_before():
    first, lower, higher, last = np.random.default_rng(0).random((4, 7)) + np.array([[3], [1], [2], [2.5]])
    paired = PairedError()
    assert validated(paired, first) is None
    assert validated(paired, lower) == pytest.approx(by_hand(lower, first), rel=1e-5)
    assert validated(paired, higher) == pytest.approx(by_hand(higher, lower), rel=1e-5)
    assert validated(paired, last) == pytest.approx(by_hand(last, lower), rel=1e-5)
    # a change that is the same for all images is sure, however different their losses are
    assert validated(paired, lower + 0.5) == pytest.approx(0, abs=1e-6)


def test_images_in_another_order_or_number_are_not_paired():
    losses = np.random.default_rng(0).random(7)
    for labels, some in ((LABELS.flip(0), losses), (LABELS[:5], losses[:5])):
        paired = PairedError()
        validated(paired, losses)
        assert validated(paired, some + 1, labels) is None
        # from then on with these, though their loss is higher
        assert validated(paired, some, labels) == pytest.approx(0, abs=1e-6)


def test_what_was_kept_is_gone_on_with_to_the_last_bit():
    first, second = np.random.default_rng(0).random((2, 7))
    paired, other = PairedError(), PairedError()
    validated(paired, first)
    other.lowest = paired.lowest
    assert validated(paired, second) == validated(other, second, batch=2)


def test_the_answers_are_those_of_the_last_validation_in_its_order():
    paired, losses = PairedError(), np.array([0.1, 3, 0.2, 4, 0.3, 5, 0.4])
    assert paired.right is None
    for flipped in (losses, losses[::-1].copy()):
        validated(paired, flipped)
        assert paired.right.tolist() == (flipped < 1).tolist()


def test_images_losses_are_kept_only_where_they_are_asked_for():
    logits, labels = torch.randn(7, 3), LABELS
    measured, paired = LossAndAccuracy(3), PairedError()
    measured.paired = paired
    for part in (slice(0, 4), slice(4, 7)):
        measured.add(logits[part], labels[part])
    mean = measured.compute()["loss"]
    assert paired.compute(mean) == {}
    assert paired.lowest["losses"].mean().item() == pytest.approx(mean, rel=1e-5)
    measured.reset()  # for the test's images
    measured.add(logits, labels)
    measured.compute()
    assert paired._losses == []

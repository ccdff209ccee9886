import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnexp import CnnexpError
from cnnexp.data.split import hold_out_test, split, stratified_order

counts = st.lists(st.integers(1, 40), min_size=2, max_size=12)
seeds = st.integers(0, 2**32)


def make_labels(class_counts: list[int]) -> torch.Tensor:
    return torch.arange(len(class_counts)).repeat_interleave(torch.tensor(class_counts))


@given(counts, seeds)
@settings(deadline=None, max_examples=60)
def test_every_prefix_of_the_order_has_each_classs_share(class_counts: list[int], seed: int) -> None:
    labels = make_labels(class_counts)
    order = stratified_order(labels, seed)
    assert order.sort().values.tolist() == list(range(len(labels)))
    share = torch.tensor(class_counts) / len(labels)
    seen = torch.nn.functional.one_hot(labels[order], len(class_counts)).cumsum(0)
    expected = share * torch.arange(1, len(labels) + 1)[:, None]
    assert ((seen - expected).abs() <= 0.5 + share * len(class_counts) / 2 + 1e-4).all()


@given(st.integers(2, 12), st.integers(1, 30), seeds)
@settings(deadline=None, max_examples=60)
def test_prefixes_over_equal_classes_differ_by_one_image_at_most(classes: int, each: int, seed: int) -> None:
    labels = make_labels([each] * classes)
    seen = torch.nn.functional.one_hot(labels[stratified_order(labels, seed)], classes).cumsum(0)
    assert (seen.max(1).values - seen.min(1).values <= 1).all()


@given(st.integers(2, 8), st.integers(4, 30), st.floats(0.25, 0.6), seeds, st.data())
@settings(deadline=None, max_examples=60)
def test_parts_are_disjoint_and_training_sets_nested(
    classes: int, each: int, val_size: float, seed: int, data: st.DataObject
) -> None:
    labels = make_labels([each] * classes)
    train, validation = split(labels, val_size, None, seed)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(len(labels)))
    assert len(validation) == round(val_size * len(labels))
    small = data.draw(st.integers(classes, len(train)))
    large = data.draw(st.integers(small, len(train)))
    smaller, larger = (split(labels, val_size, size, seed) for size in (small, large))
    assert set(smaller[0].tolist()) <= set(larger[0].tolist())
    assert len(smaller[0]) == small
    assert torch.equal(smaller[1], validation)
    assert torch.bincount(labels[smaller[0]], minlength=classes).min() >= 1


def test_order_depends_on_the_seed_and_on_nothing_else() -> None:
    labels = make_labels([30, 30])
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = stratified_order(labels, 0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(stratified_order(labels, 0), first)
    assert not torch.equal(stratified_order(labels, 1), first)


def test_held_out_test_images_are_a_stratified_fifth() -> None:
    labels = make_labels([50, 100])
    train, test = hold_out_test(labels, ["cat", "dog"])
    assert torch.bincount(labels[test]).tolist() == [10, 20]
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(150))


@pytest.mark.parametrize(
    ("val_size", "train_size", "message"),
    [
        (20, None, "val_size=20.*1 to 19"),
        (0, None, "val_size=0.*1 to 19"),
        (1.0, None, r"val_size=1.0.*\(0, 1\)"),
        (5, 16, "train_size=16.*1 to 15"),
        (5, 1.5, r"train_size=1.5.*\(0, 1\]"),
        (1, None, "val_size=1 leaves 1 validation.*raise val_size"),
        (19, None, "val_size=19 leaves 1 training.*lower val_size"),
        (5, 1, "train_size=1 leaves 1 training.*class '(cat|dog)'.*raise train_size"),
    ],
)
def test_sizes_that_cannot_be_had_are_refused(
    val_size: int | float, train_size: int | float | None, message: str
) -> None:
    with pytest.raises(CnnexpError, match=message):
        split(make_labels([10, 10]), val_size, train_size, 0, ["cat", "dog"])


def test_a_class_too_small_to_validate_is_named() -> None:
    with pytest.raises(CnnexpError, match="none of class 'rare'"):
        split(make_labels([100, 2]), 0.1, None, 0, ["common", "rare"])


def test_a_class_too_small_to_hold_out_is_named() -> None:
    with pytest.raises(CnnexpError, match="class 'rare' has 2"):
        hold_out_test(make_labels([100, 2]), ["common", "rare"])

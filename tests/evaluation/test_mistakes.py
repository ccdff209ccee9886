import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from cnnexp.evaluation.mistakes import (
    accuracy_per_class,
    calibration,
    confusion_matrix,
    most_confident_mistakes,
    rates,
)
from cnnexp.evaluation.predictions import Predictions

FEW = Predictions(
    torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 1.0, 0.0], [0.4, 0.5, 0.1], [0.3, 0.6, 0.1]]),
    torch.tensor([0, 0, 0, 1, 1]),
)


def test_rows_are_the_true_classes():
    matrix = confusion_matrix(FEW)
    assert matrix.tolist() == [[1, 2, 0], [0, 2, 0], [0, 0, 0]]
    assert rates(matrix)[0].tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    assert rates(matrix)[2].tolist() == [0, 0, 0]


def test_each_class_has_its_accuracy_and_its_most_frequent_confusion():
    cat, dog, frog = accuracy_per_class(confusion_matrix(FEW), ["cat", "dog", "frog"])
    assert (cat["images"], cat["right"], cat["mistaken_for"], cat["times"]) == (3, 1, "dog", 2)
    assert cat["low"] < cat["accuracy"] == 1 / 3 < cat["high"]
    assert (dog["accuracy"], dog["mistaken_for"]) == (1, "")
    assert frog["accuracy"] != frog["accuracy"]


def test_the_most_confident_mistake_comes_first():
    assert most_confident_mistakes(FEW, 5).tolist() == [2, 1]
    assert most_confident_mistakes(FEW, 1).tolist() == [2]


def test_the_curve_and_the_calibration_error_are_of_the_same_bins():
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(500, 4, generator=generator).mul(9).softmax(1)
    probabilities[:50] = torch.tensor([1.0, 0, 0, 0])
    random = Predictions(probabilities, torch.randint(0, 4, (500,), generator=generator))
    found = calibration(random, bins=10)
    assert int(found.images.sum()) == 500
    gaps = (found.accuracy - found.confidence).abs().nan_to_num() * found.images / 500
    assert found.error == pytest.approx(float(gaps.sum()), abs=1e-6)
    assert (
        0 < found.error <= float(multiclass_calibration_error(probabilities, random.labels, 4, n_bins=10)) + 1e-6
    )


def test_the_calibration_error_of_chance_is_that_of_answers_right_as_often_as_sure():
    generator = torch.Generator().manual_seed(1)
    probabilities = torch.rand(400, 3, generator=generator).mul(3).softmax(1)
    drawn = [
        Predictions(probabilities, torch.multinomial(probabilities, 1, generator=generator).flatten())
        for _ in range(200)
    ]
    errors = torch.tensor([float(calibration(one).error) for one in drawn])
    mean, most = calibration(drawn[0]).by_chance
    assert mean == pytest.approx(float(errors.mean()), rel=0.1)
    assert 0.9 < float((errors <= most).double().mean()) <= 0.99
    assert calibration(drawn[1]).by_chance == (mean, most)  # of the confidences alone, and the same each time


def test_a_network_as_sure_as_it_is_right_has_no_calibration_error():
    probabilities = torch.tensor([0.75, 0.25]).repeat(40, 1)
    labels = torch.tensor([0, 0, 0, 1] * 10)
    assert calibration(Predictions(probabilities, labels)).error == pytest.approx(0, abs=1e-6)

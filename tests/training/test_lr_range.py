import numpy as np
import pytest

from cnnexp.training.lr_range import _losses, read_range_test

RATES = np.geomspace(1e-6, 1, 100)


def falling(noise=0.0):
    steps = np.random.default_rng(0).normal(size=100) * noise
    return 2.3 - 2 / (1 + np.exp(-4 * (np.log10(RATES) + 3))) + steps


@pytest.mark.parametrize("noise", [0, 0.05])
def test_the_suggestion_lies_where_the_loss_falls_most_steeply(noise):
    assert 3e-4 < read_range_test(RATES, falling(noise)).suggestion < 3e-3


def test_an_exploding_loss_moves_neither_the_suggestion_nor_the_lowest_point_by_much():
    losses = falling()
    losses[RATES > 0.1] = 1e6
    losses[-1] = np.nan
    found = read_range_test(RATES, losses)
    assert 3e-4 < found.suggestion < 3e-3
    assert 0.01 < found.lowest < 0.1
    assert len(found.losses) == 99


@pytest.mark.parametrize("losses", [np.linspace(2, 3, 100), np.full(100, np.nan), np.array([2.0, 1.0])])
def test_where_the_loss_never_falls_nothing_is_suggested(losses):
    assert read_range_test(RATES[: len(losses)], losses).suggestion is None


def test_the_losses_are_worked_out_of_lightnings_running_average():
    losses = falling(0.2)
    average, running = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = 0.98 * average + 0.02 * loss
        running.append(average / (1 - 0.98 ** (step + 1)))
    assert _losses(np.array(running)) == pytest.approx(losses)

import pytest
import torch

from cnnexp.training.schedules import linear


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        (0.0, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0]),
        (0.4, [0.2, 0.4, 0.6, 0.8, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0]),
    ],
)
def test_every_groups_rate_falls_to_nothing_in_a_line(warmup, expected):
    groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in (2.0, 30.0)]
    optimizer = torch.optim.SGD(groups)
    config = linear(optimizer, epochs=2, steps_per_epoch=5, warmup=warmup)
    assert config["interval"] == "step"
    seen = []
    for _ in expected:
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        config["scheduler"].step()
    for number, factor in enumerate(expected):
        assert seen[number] == pytest.approx([2 * factor, 30 * factor])

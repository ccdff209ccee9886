"""``python -m bench.verdicts``, small: the verdict on curves whose truth is known."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    from bench import verdicts

    return verdicts


def test_the_verdict_is_nearly_always_right_where_the_truth_is_known(bench):
    score = bench.score(8)
    counts = score.counts
    assert counts["curves"] == 8 * len(bench.KINDS)
    # of 1 in 8 and 1 in 200, these numbers or more have probabilities below 0.001
    assert counts["missed"] <= 14 < counts["turn"]
    assert counts["false"] <= 3 < counts["no turn"]
    assert counts["right"] >= 0.95 * counts["curves"]
    assert np.mean(score.lost) < 1
    assert len(score.lines()) == 5


def test_the_truth_of_each_kind_is_what_its_name_says(bench):
    for kind in bench.KINDS:
        ideals = [bench.measured(bench.courses(kind, np.random.default_rng(seed)), None) for seed in range(20)]
        turns, words = zip(*map(bench.truth, ideals), strict=True)
        if kind.endswith("overfits") or kind in ("forgets", "late turn", "surer"):
            assert turns.count(True) > 8, kind
        else:
            assert True not in turns, kind
        if kind.endswith(" fits") or kind in ("fits", "underfits", "gap"):
            word = {"gap": "overfits", "underfits": "underfits"}.get(kind, "fits")
            assert sum(word in right for right in words) >= 19, kind


def test_images_errors_are_paired(bench):
    rows = bench.measured(bench.courses("few images overfits", np.random.default_rng(0)), np.random.default_rng(1))
    assert "val_loss_se" not in rows[0]
    assert all(row["val_loss_se"] > 0 for row in rows[1:])

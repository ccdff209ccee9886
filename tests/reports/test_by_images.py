"""Networks of one seed each, compared by their answers on the same validation images."""

import json
import math

import numpy as np
import pytest
from run_folders import FITTING, make_run

from cnnexp.evaluation.answers import Answers
from cnnexp.evaluation.intervals import newcombe_paired_interval
from cnnexp.reports.by_images import against_by_images
from cnnexp.reports.leaderboard import verdict_of
from cnnexp.reports.records import read_runs, sweep_runs
from cnnexp.reports.study import study
from cnnexp.reports.summary_files import summary

IMAGES = 400


def answers(wrong, images="ab", count=IMAGES):
    right = np.ones(count, dtype=bool)
    right[list(wrong)] = False
    return Answers(images, right)


BEST, CLOSE, FAR = answers(range(10)), answers(range(5, 17)), answers(range(8, 33))


def test_the_numbers_are_those_by_hand():
    found = against_by_images(0, [BEST, CLOSE, FAR], chosen_by_them=True)
    # only the best right on 10..16, only the other on 0..4: 2 · Σ C(12, k ≤ 5) / 2^12
    close = 2 * sum([1, 12, 66, 220, 495, 792]) / 2**12
    # 23 against 8; and the pair of the two others, 16 against 3
    far = 2 * sum(math.comb(31, k) for k in range(9)) / 2**31
    others = 2 * sum(math.comb(19, k) for k in range(4)) / 2**19
    assert others < far < close
    assert found[2].p_value == pytest.approx(max(3 * others, 2 * far))
    assert found[1].p_value == pytest.approx(max(3 * others, 2 * far, close))
    assert (found[1].is_real, found[2].is_real) == (False, True)
    assert found[2].difference.mean == pytest.approx(15 / IMAGES)
    assert found[2].interval == newcombe_paired_interval(367, 23, 8, 2)
    assert (found[2].images, found[2].compared) == (IMAGES, 3)
    named = against_by_images(0, [BEST, CLOSE, FAR], chosen_by_them=False)
    assert (named[2].p_value, named[2].compared) == (pytest.approx(2 * far), 2)
    turned = against_by_images(2, [BEST, CLOSE, FAR], chosen_by_them=False)[0]
    assert turned.difference.mean == -found[2].difference.mean
    assert turned.interval == pytest.approx((-found[2].interval[1], -found[2].interval[0]))


def test_only_answers_on_the_same_images_are_compared():
    others = [answers(range(30), images="cd"), answers(range(30), count=300), None]
    assert against_by_images(0, [BEST, *others], chosen_by_them=True) == {}
    found = against_by_images(1, [BEST, CLOSE, *others], chosen_by_them=True)
    assert found.keys() == {0}
    assert against_by_images(4, [BEST, CLOSE, *others], chosen_by_them=True) == {}


def test_equal_networks_are_seldom_told_apart():
    rng, false = np.random.default_rng(0), 0
    for _ in range(300):
        chances = 1 - 0.3 * rng.random(144)
        networks = [Answers("ab", rng.random(144) < chances) for _ in range(6)]
        best = max(range(6), key=lambda i: networks[i].right.sum())
        false += any(one.is_real for one in against_by_images(best, networks, chosen_by_them=True).values())
    assert false / 300 <= 0.09  # 5 % and three standard errors


def made(folder, *runs, **result):
    """Configurations, the next one further behind; a run is (size, seed, answers)."""
    for number, (size, seed, kept) in enumerate(runs):
        rows = [row | {"val_accuracy": kept.right.mean() - (i < 5) * 0.01} for i, row in enumerate(FITTING)]
        typed = [f"data.train_size={size}", f"seed={seed}"]
        make_run(folder / str(number), typed, rows, answers=kept, val_images=IMAGES, **result)
    return study(read_runs(sweep_runs(folder)))


def test_networks_of_one_seed_are_compared_and_the_tables_say_what_was(tmp_path):
    found = made(tmp_path, (1, 0, BEST), (2, 0, CLOSE), (3, 1, FAR))
    assert [verdict_of(found, i) for i in range(3)] == ["best", "not told apart", "worse network"]
    last = summary(found)[2]
    assert last["difference"] == pytest.approx(15 / IMAGES)
    assert (last["difference_low"], last["difference_high"]) == newcombe_paired_interval(367, 23, 8, 2)
    assert (last["difference_images"], last["compared"]) == (IMAGES, "worse network")
    assert json.dumps(summary(found))


def test_one_second_seed_anywhere_and_seeds_alone_count(tmp_path):
    found = made(tmp_path, (1, 0, BEST), (2, 0, FAR), (2, 1, FAR))
    assert [verdict_of(found, i) for i in range(2)] == ["best", "one seed"]


@pytest.mark.parametrize("spoilt", ["another accuracy", "not completed", "no file"])
def test_a_record_that_is_not_of_the_results_says_nothing(spoilt, tmp_path):
    made(tmp_path, (1, 0, BEST), (2, 0, CLOSE), (3, 0, FAR))
    [result] = [path / "result.json" for path in tmp_path.iterdir() if path.name == "2"]
    content = json.loads(result.read_text())
    if spoilt == "another accuracy":
        (result.parent / "val_answers.json").write_text(CLOSE.text())
    elif spoilt == "not completed":
        result.write_text(json.dumps({**content, "status": "interrupted"}))
    else:
        (result.parent / "val_answers.json").unlink()
    found = study(read_runs(sweep_runs(tmp_path)))
    assert found.comparisons[1].compared == 1
    assert found.comparisons[1].images == IMAGES
    assert found.comparisons[2].images is None

"""Every kind of sentence that a report says: runs where it must appear, and runs where it must not."""

import re

import numpy as np
import pytest
from run_folders import FITTING, OVERFITTING, history, make_run

from cnnexp.evaluation.answers import Answers
from cnnexp.reports.findings import findings, headline
from cnnexp.reports.records import read_runs, sweep_runs
from cnnexp.reports.study import study

SETTLE = {"recorded": {"settle": {"enabled": True, "max_seeds": 20}}}
BASELINE = {"recorded": {"baseline": ["train_size=10"]}}
BEST = r"highest validation accuracy: .* with \d\d\.\d\d"
NO_TEST = {"test_accuracy": None, "test_loss": None}
NOISE = [0.002, -0.003, 0.001, 0.0, -0.001, 0.003, -0.002]


def shifted(rows, less, gap=0.0):
    return [
        row | {"val_accuracy": row["val_accuracy"] - less, "train_accuracy": row["train_accuracy"] - less + gap}
        for row in rows
    ]


def sizes(*behind, seeds=7, rows=FITTING, gap=0.0, **made):
    """Configurations, each so far behind, of so many seeds: with the same luck, and some noise of their own."""
    return [
        (
            [f"data.train_size={10 ** (number + 1)}", f"seed={seed}"],
            shifted(
                rows, less + 0.01 * (seed % 3) + (NOISE[(seed + number) % 7] if less != 0 else 0.0), gap * number
            ),
            made,
        )
        for number, less in enumerate(behind)
        for seed in range(seeds)
    ]


def stopped(*epochs, most=6):
    """Configurations of which those with fewer than six epochs were stopped before their end."""
    return [
        (
            [f"data.train_size={10 ** (number + 1)}"],
            FITTING[:length],
            {"recorded": {"trainer": {"max_epochs": most}}}
            | ({} if length == 6 else {"status": "interrupted", "stopped_after_epoch": length}),
        )
        for number, length in enumerate(epochs)
    ]


ONE = [(["seed=0"], FITTING, {})]
ONE_OVERFITS = [(["seed=0"], OVERFITTING, {})]
UNDERFITTING = shifted(FITTING, 0.3)
DIVERGING = history([1.0, 0.6, 0.5, 5.0, 50.0, 500.0], [0.9, 0.5, 0.4, 5.0, 50.0, 500.0], val_accuracy=[0.1] * 6)
NOTHING = [(["seed=0"], [], {"status": "running"})]
MANY_OVERFIT = sizes(*[0.0] * 10, seeds=1, rows=OVERFITTING)
CLEAR, ALIKE, SINGLE = sizes(0.0, 0.2), sizes(0.0, 0.0005), sizes(0.0, 0.2, seeds=1)
SHARED = [*sizes(0.0, 0.2), (["data.train_size=777", "seed=99"], shifted(FITTING, 0.3), {})]
LEARNING = [  # an error of 0.5, 0.25 and 0.125, and a few runs' luck
    (
        typed,
        [row | {"val_accuracy": 1 - 0.5 ** (i // 3 + 1) * (1 + 0.02 * (i % 3))} for row in FITTING],
        {"train_images": 10 ** (i // 3 + 1)},
    )
    for i, (typed, _, _) in enumerate(sizes(0.0, 0.0, 0.0, seeds=3))
]
ONE_OF_SEVEN_IS_NO_BETTER = [
    (typed, rows, {"test_accuracy": 0.8 if i % 7 == 0 else 0.95, "test_images": 100, "majority_baseline": 0.75})
    for i, (typed, rows, _) in enumerate(sizes(0.0, 0.2))
]
LOOKS = {"test_looks": 7, "test_images": 1000, "val_images": 400, "data_fingerprint": "ab"}


def one_each(*wrong, images="ab", **made):
    """Networks of one seed each, and which of 400 validation images each answers wrongly."""
    return [
        (
            [f"data.train_size={10 ** (number + 1)}", "seed=0"],
            shifted(FITTING, len(some) / 400 - 0.0625),
            {"answers": Answers(images, np.array([i not in some for i in range(400)])), "val_images": 400, **made},
        )
        for number, some in enumerate(wrong)
    ]


NETWORKS, FAR = one_each(range(10), range(5, 17), range(8, 60)), one_each(range(10), range(8, 60))
NEAR = one_each(range(10), range(5, 17))

KINDS = {
    # the headline
    "nothing yet": (r"^No run has finished an epoch yet\.$", NOTHING, ONE),
    "one overfits": (
        r"^cnn on digits overfits, gap 19\.6 points at the end \(1 of 1 runs completed\)",
        ONE_OVERFITS,
        ONE,
    ),
    "one does not": (r"^cnn on digits does not overfit, gap .* points at the end \(1 of", ONE, ONE_OVERFITS),
    "underfits": (
        r"^cnn on digits underfits in 2 of 3 runs, gap 0\.3 \(n = 3\) points at the end \(3 of 3",
        [(["seed=0"], FITTING, {}), (["seed=1"], UNDERFITTING, {}), (["seed=2"], UNDERFITTING, {})],
        ONE,
    ),
    "diverges": (r"^cnn on digits diverges, gap .* points at the end \(", [(["seed=0"], DIVERGING, {})], ONE),
    "its interval": (
        r"^cnn on digits overfits, gap 19\.6 \[1\d\.\d, 2\d\.\d\] points at the end \(",
        [(["seed=0"], OVERFITTING, {"train_eval_images": 1000, "val_images": 1000})],
        ONE_OVERFITS,
    ),
    "in its runs": (
        r"^cnn on digits overfits in 2 of 3 runs, gap .* ± .* points at the end \(3 of 3",
        [(["seed=0"], OVERFITTING, {}), (["seed=1"], OVERFITTING, {}), (["seed=2"], FITTING, {})],
        ONE_OVERFITS,
    ),
    "some overfit": (r"^\d+ of \d+ configurations overfits?(; | \(\d)", CLEAR, ONE),
    "of several seeds": (
        rf"^0 of 2 configurations overfit \(0 of 14 runs\); {BEST} ± .* interval of 7 seeds",
        CLEAR,
        SINGLE,
    ),
    "the best": (rf"; {BEST}.* seeds; test .* %\), told apart from all others \(", CLEAR, ALIKE),
    "not the best": (rf"; {BEST}.*, told apart from 0 of 1 others \(", ALIKE, CLEAR),
    "best of one seed": (
        rf"; {BEST} \[.*\] % \(95 % interval of its images, one seed; test .*\), not compared by seeds \(",
        sizes(0.0, 0.2, seeds=1, val_images=400),
        CLEAR,
    ),
    "of an unknown number of images": (rf"; {BEST} % \(one seed; test", SINGLE, CLEAR),
    "of two seeds": (rf"; {BEST} and .* % \(2 seeds; test .* and .* %\), ", sizes(0.0, 0.2, seeds=2), CLEAR),
    "no test": (rf"; {BEST}[^;]* seeds\), ", sizes(0.0, 0.2, **NO_TEST), CLEAR),
    "is the baseline": (r", which is the baseline \(", sizes(0.0, 0.2, **BASELINE), CLEAR),
    "better than the baseline": (
        r", told apart from the baseline \(train_size=10\) \(",
        sizes(0.2, 0.0, **BASELINE),
        CLEAR,
    ),
    "like the baseline": (r", not told apart from the baseline \(", sizes(0.0005, 0.0, **BASELINE), CLEAR),
    "best of the networks": (
        rf"; {BEST}.*, as a trained network told apart from (all|1 of 2) others \(",
        NETWORKS,
        CLEAR,
    ),
    "a network against the baseline": (
        r", as a trained network (not )?told apart from the baseline \(train_size=10\) \(",
        one_each(range(8, 60), range(10), **BASELINE),
        NETWORKS,
    ),
    "none at its end": (r"^No run has come to its end yet\.$", stopped(3, 3), NOTHING),
    "stopped ones": (
        r"^train_size=.* does not overfit, gap .* \(1 of . runs completed, . stopped\)\.$",
        stopped(3, 6),
        CLEAR,
    ),
    # what is below it
    "stopped early": (
        r"^Stopped early: \d of \d configurations \(\d at epoch \d.*\); nothing .*\. \d+ of \d+ epochs were",
        stopped(3, 2, 6),
        CLEAR,
    ),
    "stopped of an unknown length": (
        r"^Stopped early: 1 of 2 .* would have come to\.$",
        stopped(2, 6, most=None),
        CLEAR,
    ),
    "overfits": (r"^[^:]+: overfits.* points at the end\.$", MANY_OVERFIT, CLEAR),
    "more overfit": (r"^… and 2 more, see the leaderboard\.$", MANY_OVERFIT, CLEAR),
    "one seed": (r"^Is it real\? No configuration can be told apart .* type seed=0,1,2 or more\.$", SINGLE, CLEAR),
    "real": (
        r"^Is it real\? [12] of [12] other configurations? (is|are) told apart .*t-test, p < 0\.05.*\)\.$",
        CLEAR,
        SINGLE,
    ),
    "not real": (r"^Is it real\? 0 of \d other configurations? (is|are) told apart .*t-test, p", ALIKE, CLEAR),
    "by e-values": (r"^Is it real\?.* e-values, which hold whenever", sizes(0.0, 0.2, **SETTLE), CLEAR),
    "settled": (r"^Settled after 7 seeds: .* is better than .* points\.$", sizes(0.0, 0.2, **SETTLE), CLEAR),
    "not told apart": (
        r"^Not told apart from the (best|baseline \(.*\)): .* (behind|ahead) over 7 seeds\.$",
        ALIKE,
        CLEAR,
    ),
    "more seeds": (r"^\d+ more seeds? would decide", ALIKE, CLEAR),
    "not compared": (r"^1 configuration with fewer than two seeds in common can't be", SHARED, CLEAR),
    "by images": (
        r"^Is it real\? \d of \d other trained networks? (is|are) told apart from the (best|baseline \(.*\)) "
        r"by the same 400 validation images \(McNemar's exact test, p < 0\.05( after Holm for \d compar\w+)?\)\.$",
        NETWORKS,
        CLEAR,
    ),
    "networks apart": (
        r"^Told apart: train_size=\d+, 10\.50 points (behind|ahead) \(95 % interval [5-9]\.\d\d to 1\d\.\d\d\)\.$",
        FAR,
        NEAR,
    ),
    "networks not apart": (
        r"^Not told apart from the best: train_size=100; the closest is train_size=100, 0\.50 points behind "
        r"\(95 % interval -\d\.\d\d to \d\.\d\d\)\.$",
        NETWORKS,
        FAR,
    ),
    "of networks only": (r"^This speaks of these trained networks only, not of their configurations", NEAR, ALIKE),
    "networks not compared": (
        r"^1 network without recorded answers on these images can't be compared\.$",
        [*NETWORKS, *one_each((), (), (), range(70), images="cd")[3:]],
        NETWORKS,
    ),
    "answers on other images": (
        r"^Is it real\? No configuration can be told apart from the best",
        [NEAR[0], *one_each((), range(5, 17), images="cd")[1:]],
        NEAR,
    ),
    "optimistic": (r"^Validation is no test: .* points from test .*\)\.$", sizes(0.0, 0.2, **LOOKS), CLEAR),
    "no amount": (r"^Validation is no test: .*docs/overfitting\.md", CLEAR, sizes(0.0, 0.2, **LOOKS)),
    "hidden": (r"^Test numbers are shown of the best by validation only", CLEAR, sizes(0.0, 0.2, **NO_TEST)),
    "looks": (r"^7th look at these 1,000 test images", sizes(0.0, 0.2, **LOOKS), CLEAR),
    "no better": (
        r"^No better than a constant answer, .*: always .*: 75\.00% of 100 test images; .* isn't told apart",
        sizes(0.0, 0.2, test_accuracy=0.8, test_images=100, majority_baseline=0.75),
        ONE_OF_SEVEN_IS_NO_BETTER,
    ),
    "worse": (
        r"^No better than a constant answer, .* is worse \(95 % interval",
        sizes(0.0, 0.2, test_accuracy=0.5, test_images=100, majority_baseline=0.75),
        sizes(0.0, 0.2, test_accuracy=0.5, test_images=100),
    ),
    "learning curve": (
        r"^Validation error falls with the number of training images as n\^−0\.\d\d .* on twice the most, 2,000, ",
        LEARNING,
        sizes(0.0, 0.0, 0.0),
    ),
    "trend": (
        r"^From train_size=10 to 1000 the gap (grows|shrinks) by .* interval",
        sizes(0.0, 0.0, 0.0, gap=0.05),
        CLEAR,
    ),
}


def said(folder, runs) -> list[str]:
    for number, (typed, rows, made) in enumerate(runs):
        make_run(folder / f"{number:03}", typed, rows, **made)
    found = study(read_runs(sweep_runs(folder)))
    return [headline(found), *findings(found)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_is_said_where_it_holds_and_nowhere_else(kind, tmp_path):
    pattern, where, elsewhere = KINDS[kind]
    there, not_there = said(tmp_path / "there", where), said(tmp_path / "elsewhere", elsewhere)
    assert any(re.search(pattern, line) for line in there), "\n".join(there)
    assert not any(re.search(pattern, line) for line in not_there), "\n".join(not_there)
    # and there is no sentence that this table doesn't know
    known = [kind for kind, _, _ in KINDS.values()]
    unknown = [line for line in (*there, *not_there) if not any(re.search(pattern, line) for pattern in known)]
    assert not unknown

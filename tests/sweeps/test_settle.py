"""``settle=true``: which jobs are run next, told by the folders of those that are over."""

import json
import sys
from pathlib import Path

import pytest

from cnnexp.sweeps.settle import Settling

sys.path.insert(0, str(Path(__file__).parents[1] / "reports"))
from run_folders import FITTING, make_run

NOISE = [0.001, -0.002, 0.0005, 0.002, -0.001, 0.0, 0.0015, -0.0005]


def jobs(sizes=(50, 500), seeds=(0, 1), fixed="model.dropout=0.1"):
    return [[f"data.train_size={size}", f"seed={seed}", fixed] for size in sizes for seed in seeds]


def over(folder: Path, overrides, accuracy: float, status: str = "completed") -> None:
    """Leave a run's folder as a job does."""
    number = len(list(folder.iterdir()))
    run = make_run(folder / f"job-{number:03}", overrides, [FITTING[0] | {"val_accuracy": accuracy}], status)
    if status == "completed":
        assert json.loads((run / "result.json").read_text())["val_accuracy"] == accuracy


def run_them(folder: Path, some, ahead: float, status: str = "completed") -> None:
    """Do jobs: that on 500 images is better by so much, and each seed has its luck and its noise."""
    for job in some:
        settings = dict(override.split("=") for override in job)
        size, seed = int(settings["data.train_size"]), int(settings["seed"])
        noise = NOISE[(seed + size) % len(NOISE)] if size == 500 else 0.0
        over(folder, job, 0.9 + 0.01 * (seed % 3) + (ahead + noise if size == 500 else 0.0), status)


def seeds_of(found):
    return [tuple(override for override in job if override.startswith(("data", "seed"))) for job in found]


def test_both_get_another_seed_until_they_are_told_apart(tmp_path):
    settling = Settling(tmp_path, jobs(), (), 20)
    run_them(tmp_path, jobs(), 0.02)
    seeds = 2
    while further := settling.next_jobs():
        assert seeds_of(further) == [(f"data.train_size={size}", f"seed={seeds}") for size in (500, 50)]
        assert all("model.dropout=0.1" in job for job in further)
        run_them(tmp_path, further, 0.02)
        seeds += 1
    assert 5 <= seeds <= 7


def test_what_is_alike_ends_with_the_most_seeds(tmp_path):
    settling = Settling(tmp_path, jobs(), (), 6)
    run_them(tmp_path, jobs(), 0.0)
    rounds = 0
    while further := settling.next_jobs():
        run_them(tmp_path, further, 0.0)
        rounds += 1
    assert rounds == 4


def test_what_is_told_apart_gets_no_more_and_a_baseline_is_compared_with(tmp_path):
    three = jobs((50, 500, 5000), range(8))
    for job in three:
        settings = dict(override.split("=") for override in job)
        seed = int(settings["seed"])
        worse = {"50": 0.2, "500": 0.0, "5000": 0.0}[settings["data.train_size"]]
        over(tmp_path, job, 0.9 - worse + NOISE[(seed + len(settings["data.train_size"])) % 8])
    best = seeds_of(Settling(tmp_path, three, (), 20).next_jobs())
    assert {size for size, _ in best} == {"data.train_size=500", "data.train_size=5000"}
    assert Settling(tmp_path, three, ["train_size=50"], 20).next_jobs() == []


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_job_that_did_not_complete_is_not_tried_for_ever(status, tmp_path):
    settling = Settling(tmp_path, jobs(), (), 20)
    run_them(tmp_path, jobs(), 0.0)
    run_them(tmp_path, settling.next_jobs(), 0.0, status)
    assert settling.next_jobs() == []
    # resumed, an interrupted one is gone on with; a failed one would fail again
    assert bool(Settling(tmp_path, jobs(), (), 20).next_jobs()) is (status == "interrupted")


def test_nothing_is_added_before_each_configuration_has_a_run(tmp_path):
    run_them(tmp_path, jobs((50,)), 0.0)
    assert Settling(tmp_path, jobs(), (), 20).next_jobs() == []


def test_what_is_not_swept_may_have_been_typed_otherwise(tmp_path):
    run_them(tmp_path, jobs(fixed="model.dropout=0.2"), 0.0)
    (tmp_path / "damaged" / ".hydra").mkdir(parents=True)
    (tmp_path / "damaged" / ".hydra" / "overrides.yaml").write_text("[")
    assert len(Settling(tmp_path, jobs(), (), 20).next_jobs()) == 2


def test_a_sweep_goes_on_until_it_is_settled_also_after_an_interruption(cnnexp, folder, interrupt_when, capsys):
    tiny = ["model=ffnn", "model.hidden=[8]", "data.batch_size=32", "trainer.max_epochs=1", "logger=none"]
    tiny += ["trainer.limit_train_batches=30", "optimizer.lr=1e-6,0.03", "seed=0,1"]
    interrupt_when(lambda steps, trainer, batch_idx: steps.seed == 3)
    assert cnnexp("-m", *tiny, "settle=true", "settle.max_seeds=9") == 130
    [sweep] = folder.glob("outputs/sweeps/*/*")
    assert cnnexp(f"resume={sweep}") == 0
    printed = capsys.readouterr().out
    done = [json.loads(path.read_text())["status"] for path in sweep.glob("*/result.json")]
    assert set(done) == {"completed"}
    seeds = len(done) // 2
    assert 5 <= seeds <= 9
    assert f"Settled after {seeds} seeds: lr=0.03 is better than lr=1e-06 by " in printed
    assert "e-values" in printed
    # nothing is left to do
    assert cnnexp(f"resume={sweep}") == 0
    assert len(list(sweep.glob("*/result.json"))) == len(done)

import csv
import io
import statistics

import pytest
from run_folders import FITTING, OVERFITTING, history, make_run

from cnnexp.reports.contents import contents
from cnnexp.reports.leaderboard import csv_text, text_table
from cnnexp.reports.records import read_run, read_runs, sweep_runs
from cnnexp.reports.study import study
from cnnexp.reports.write import html_page


def studied(folder, *runs):
    for number, (typed, *rest) in enumerate(runs):
        make_run(folder / f"job-{number:03}", typed.split(), *rest)
    return study(read_runs(sweep_runs(folder)))


@pytest.mark.parametrize(
    ("runs", "swept"),
    [
        (["seed=0", "seed=1"], []),
        (["data.train_size=50 seed=0", "data.train_size=100 seed=1"], ["data.train_size"]),
        (["", "data.train_size=100"], ["data.train_size"]),
        # the choice, and not what comes with it
        (["model=cnn", "model=ffnn"], ["model"]),
        (["optimizer=adam", "optimizer=sgd"], ["optimizer"]),
        (["optimizer=adam", "optimizer=sgd", "optimizer=sgd optimizer.lr=0.1"], ["optimizer", "optimizer.lr"]),
        (["model=cnn optimizer.lr=1", "model=ffnn optimizer.lr=2"], ["model", "optimizer.lr"]),
        (
            ["model=ffnn model.hidden=[8]", "model=ffnn model.hidden=[16,8]", "model=cnn"],
            ["model", "model.hidden"],
        ),
        # where the data lie doesn't make it another experiment
        (["data.root=/a", "data.root=/b"], []),
    ],
)
def test_what_differs_is_swept(runs, swept, tmp_path):
    found = studied(tmp_path, *[(typed,) for typed in runs]).swept
    assert sorted(found) == sorted(swept)


def test_what_was_typed_comes_first_and_in_that_order(tmp_path):
    typed = "optimizer.lr={lr} data.train_size={size} model.dropout=0.1"
    runs = [(typed.format(lr=lr, size=size),) for lr in (0.1, 0.2) for size in (50, 100)]
    assert studied(tmp_path, *runs).swept == ["optimizer.lr", "data.train_size"]


def test_numbers_are_means_over_the_seeds_and_the_best_comes_first(tmp_path):
    better = [row | {"val_accuracy": row["val_accuracy"] + 0.02} for row in FITTING]
    found = studied(
        tmp_path,
        ("data.train_size=50 seed=0", OVERFITTING),
        ("data.train_size=50 seed=1", OVERFITTING),
        ("data.train_size=100 seed=0", FITTING),
        ("data.train_size=100 seed=1", better),
    )
    first, second = found.configurations
    assert first.values == {"data.train_size": 100}
    values = [row[-1]["val_accuracy"] for row in (FITTING, better)]
    assert first.numbers["val_accuracy"].mean == pytest.approx(statistics.fmean(values))
    assert first.numbers["val_accuracy"].values == pytest.approx(tuple(values))
    assert first.verdict == "fits"
    assert second.numbers["val_loss_turned"].mean == 3
    assert second.verdict == "overfits from 4"


def test_a_seed_that_was_run_twice_counts_once(tmp_path):
    found = studied(tmp_path, ("seed=0", FITTING), ("seed=0", FITTING), ("seed=1", FITTING))
    [configuration] = found.configurations
    assert (len(configuration.runs), configuration.numbers["val_loss"].count) == (3, 2)


def test_seeds_that_disagree_are_counted(tmp_path):
    found = studied(tmp_path, ("seed=0", OVERFITTING), ("seed=1", FITTING), ("seed=2", FITTING))
    assert found.configurations[0].verdict == "fits (2 of 3)"
    assert "3 (1 of 3)" in text_table(found)


def test_unfinished_runs_are_shown_and_not_averaged(tmp_path):
    found = studied(
        tmp_path,
        ("optimizer.lr=0.1 seed=0", FITTING),
        ("optimizer.lr=0.1 seed=1", FITTING[:2], "interrupted"),
        ("optimizer.lr=0.2", FITTING[:2], "running"),
        ("optimizer.lr=-1", [], "failed"),
    )
    half, running, failed = found.configurations
    assert half.numbers["epochs"].mean == 6
    assert half.completed == 1
    assert len(half.runs) == 2
    # killed, as nobody holds its lock; its best epoch so far stands for it
    assert running.runs[0].record.status == "interrupted"
    assert running.numbers["val_loss"].mean == FITTING[1]["val_loss"]
    assert failed.verdict == "failed"
    table = text_table(found).splitlines()
    assert [line.split()[:2] for line in table[2:]] == [["0.1", "1/2"], ["0.2", "0/1"], ["-1", "0/1"]]


DAMAGE = {
    "result.json": ["", "{", "[]", "3", '{"status": 1}', '{"status": "done", "seed": []}', "\0"],
    "metrics.csv": ["", "\0\n", "a,b\n1,2,3\n", "epoch,val_loss\n1\n2,x\n", "epoch,val_loss\nnan,1\n"],
    ".hydra/config.yaml": ["", "[1", "3", "!!python/object:os.system {}", "callbacks: 3"],
    ".hydra/hydra.yaml": ["", "hydra: 3"],
    ".hydra/overrides.yaml": ["3", "{a: [}"],
}


@pytest.mark.parametrize(("file", "content"), [(file, text) for file, texts in DAMAGE.items() for text in texts])
def test_a_damaged_run_spoils_nothing_but_itself(file, content, tmp_path):
    for seed in (0, 1):
        make_run(tmp_path / f"good-{seed}", ["optimizer.lr=0.1", f"seed={seed}"])
    make_run(tmp_path / "bad", ["optimizer.lr=0.2"])
    (tmp_path / "bad" / file).write_text(content)
    found = study(read_runs(sweep_runs(tmp_path)))
    good = next(c for c in found.configurations if c.runs[0].name == "good-0")
    assert good.completed == 2
    bad = next(run for run in found.runs if run.name == "bad")
    assert bad.record.status == "completed" or bad.record.error
    assert "bad" in csv_text(found)
    assert text_table(found)


def test_a_folder_without_a_result_is_unreadable(tmp_path):
    (tmp_path / ".hydra").mkdir()
    record = read_run(tmp_path)
    assert record.status == "unreadable"
    assert "no result.json" in record.error


def test_a_sweeps_runs_are_its_folders_that_hold_a_run(tmp_path):
    for name in ("b", "a"):
        make_run(tmp_path / name)
    make_run(tmp_path / "report" / "2026-01-31_12-00-00")
    (tmp_path / ".submitit").mkdir()
    (tmp_path / "multirun.yaml").write_text("")
    assert [path.name for path in sweep_runs(tmp_path)] == ["a", "b"]
    assert sweep_runs(tmp_path / "a") == [tmp_path / "a"]


def test_the_table_keeps_to_the_width_and_drops_the_least_important_first(tmp_path):
    found = studied(tmp_path, *[(f"model.dropout={d} seed={s}", OVERFITTING) for d in (0, 0.5) for s in (0, 1)])
    everything = text_table(found)
    assert "train loss" in everything
    assert "seconds" in everything
    for width in (160, 120, 100, 80, 60, 40, 20):
        lines = text_table(found, width).splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) == 4
        assert "dropout" in lines[0]
        if width >= 60:
            assert "val acc %" in lines[0]
            assert "overfits from 4" in lines[2]
    assert "train loss" not in text_table(found, 120).splitlines()[0]


def test_a_long_leaderboard_is_cut_in_the_terminal_and_whole_in_the_csv(tmp_path):
    found = studied(tmp_path, *[(f"data.train_size={size}",) for size in range(1, 71)])
    assert text_table(found).endswith("… and 10 more configurations in report.csv")
    assert len(csv_text(found).splitlines()) == 71


def test_the_csv_has_a_line_a_run_with_all_its_numbers(tmp_path):
    found = studied(tmp_path, ("data.train_size=50 seed=1", OVERFITTING), ("seed=1", FITTING))
    first, second = csv.DictReader(io.StringIO(csv_text(found)))
    assert (first["folder"], first["status"], first["seed"]) == ("job-000", "completed", "1")
    assert first["data.train_size"] == "50"
    assert second["data.train_size"] == "all"
    assert (first["verdict"], first["overfits_since"], first["val_loss_turned"]) == ("overfits", "4", "3")
    assert (second["verdict"], second["val_loss_turned"]) == ("fits", "")
    assert float(first["val_loss"]) == 0.5
    last = OVERFITTING[-3:]
    gap = statistics.fmean(row["train_accuracy"] - row["val_accuracy"] for row in last)
    assert float(first["final_gap"]) == pytest.approx(gap)
    assert first["val_accuracy_turned"] == "3"


def test_a_users_own_numbers_have_columns_without_being_named_anywhere(tmp_path):
    # grad_norm is logged each epoch; a text, and a number that isn't known, are no columns
    epochs = history([1.0, 0.5], [0.9, 0.4], grad_norm=[3.0, 2.0], val_f1=[0.1, 0.5])
    own = {"train_f1": 0.9, "val_f1": 0.5, "test_f1": 0.4, "test_name": "x", "val_auc": None, "test_images": 9}
    for seed in (0, 1):
        make_run(tmp_path / f"{seed}", [f"seed={seed}"], epochs, **own)
    make_run(tmp_path / "2", ["seed=2"], FITTING)
    found = study(read_runs(sweep_runs(tmp_path)))
    assert sorted(found.own_numbers) == ["grad_norm", "test_f1", "train_f1", "val_f1"]
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert [(row["val_f1"], row["test_f1"], row["grad_norm"]) for row in rows] == [
        ("0.5", "0.4", "2.0"), ("0.5", "0.4", "2.0"), ("", "", ""),
    ]  # fmt: skip
    titles, _, line = text_table(found).splitlines()
    assert titles.index("seconds") < min(titles.index(name) for name in ("test f1", "grad norm"))
    assert "2.0000 (2 of 3)" in line
    assert "test f1" not in text_table(found, 100)
    assert ">test f1</th>" in html_page(contents(found, "own numbers"), {})

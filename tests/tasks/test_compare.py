import csv
import json

import pytest
import yaml

from cnnexp.reports.comparison import configurations_table
from cnnexp.reports.statistic import Statistic


def test_runs_are_put_side_by_side_and_tested_on_the_same_images(trained, cnnexp, folder, capsys):
    cnn, ffnn = trained("cnn"), trained("ffnn")
    assert cnnexp("task=compare", f"task.runs=[{cnn},{ffnn}]", "task.rounds=1") == 0
    [made] = (folder / "outputs" / "compare").iterdir()
    done = json.loads((made / "result.json").read_text())
    with (made / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, run in zip(rows, (cnn, ffnn), strict=True):
        result = json.loads((run / "result.json").read_text())
        assert row["model"] == result["model"]
        assert float(row["test_accuracy"]) == pytest.approx(result["test_accuracy"])
        assert float(row["test_loss"]) == pytest.approx(result["test_loss"], rel=1e-4)
        assert int(row["parameters"]) == result["parameters"]
        assert float(row["low"]) < float(row["test_accuracy"]) < float(row["high"])
        assert float(row["seconds_per_epoch"]) > 0
        assert float(row["seconds_per_thousand"]) > 0
    assert int(rows[0]["multiply_adds"]) > int(rows[1]["multiply_adds"]) == 784 * 16 + 16 * 10
    [pair] = done["pairs"]
    assert pair["only_first_right"] - pair["only_second_right"] == pytest.approx(359 * pair["difference"])
    assert 0 <= pair["p_value"] == pair["p_value_holm"] <= 1
    assert (made / "comparison.png").exists()
    assert "McNemar" in (made / "run.log").read_text()


def test_a_sweeps_finished_runs_are_compared_by_its_folder(cnnexp, folder, caplog):
    tiny = ["model=ffnn", "model.hidden=[]", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    assert cnnexp("-m", *tiny, "optimizer.lr=1e39,0.001,0.01", "name=rates") == 1
    [sweep] = (folder / "outputs" / "sweeps" / "rates").iterdir()
    assert cnnexp("task=compare", f"task.runs=[{sweep}]", "task.rounds=1") == 0
    [made] = (folder / "outputs" / "compare").iterdir()
    assert len(json.loads((made / "result.json").read_text())["runs"]) == 2
    assert "left out" in (made / "run.log").read_text()
    assert "optimizer.lr-1e+39 (failed)" in (made / "run.log").read_text()


def test_data_that_were_moved_are_named_for_all_runs(trained, cnnexp, folder, images, capsys):
    moved, tiny = folder / "moved", ["data=image_folder", "data.val_size=0.2", "trainer.max_epochs=1"]
    moved.symlink_to(images)
    assert cnnexp("-m", "model=ffnn", "model.hidden=[],[4]", *tiny, "data.root=moved", "name=two") == 0
    moved.rename(folder / "there")
    compare = ("task=compare", "task.runs=[outputs/sweeps/two/*]", "task.rounds=1")
    assert cnnexp(*compare) == 2
    assert "data.root=DIR" in capsys.readouterr().err
    assert cnnexp(*compare, "data.root=there") == 0


def test_what_cant_be_compared_is_refused(trained, cnnexp, folder, images, capsys):
    digits = trained("cnn")
    colour = trained("cnn", "data=image_folder", f"data.root={images}", "data.val_size=0.2")
    swapped = folder / "swapped"
    for part, other in (("train", "test"), ("test", "train")):
        (swapped / part).parent.mkdir(exist_ok=True)
        (swapped / part).symlink_to(images / other)
    tiny = ["model.hidden=[]", "trainer.max_epochs=1", "data.val_size=0.3"]
    assert cnnexp("model=ffnn", "data=image_folder", f"data.root={swapped}", *tiny) == 0
    [elsewhere] = (folder / "outputs" / "ffnn-image_folder").iterdir()
    for typed, said in (
        ([f"task.runs=[{digits}]"], "names 1 finished run: "),
        ([f"task.runs=[{digits},{digits}]"], "names 1 finished run: "),
        ([f"task.runs=[{digits},nowhere]"], "nowhere matches nothing"),
        ([f"task.runs=[{digits},{images}]"], "isn't a run or a sweep"),
        ([f"task.runs=[{digits},{colour}]"], "the runs' classes differ"),
        ([f"task.runs=[{elsewhere},{colour}]"], "the runs' test images differ"),
        ([f"task.runs=[{digits},{colour}]", "checkpoint=a.ckpt"], "takes best or last"),
        ([f"run={digits}", "task.runs=[a,b]"], "type task.runs="),
        ([], "type task.runs="),
        (["task.runs=3"], "task.runs=3 is not allowed"),
    ):
        capsys.readouterr()
        assert cnnexp("task=compare", *typed) == 2, typed
        assert said in capsys.readouterr().err


def test_seeds_are_compared_by_configuration(cnnexp, folder):
    tiny = ["model=ffnn", "trainer.max_epochs=1", "trainer.limit_train_batches=4", "logger=none"]
    assert cnnexp("-m", *tiny, "model.hidden=[],[8]", "seed=0,1,2", "name=seeds") == 0
    assert cnnexp("task=compare", "task.runs=[outputs/sweeps/seeds/*]", "task.rounds=1") == 0
    [made] = (folder / "outputs" / "compare").iterdir()
    done = json.loads((made / "result.json").read_text())
    measured = {}
    for run in done["runs"]:
        config = yaml.safe_load((folder / run["folder"] / ".hydra" / "config.yaml").read_text())
        measured[f"hidden={config['model']['hidden']}", config["seed"]] = run["test_accuracy"]
    [pair] = done["differences"]
    assert {pair["first"], pair["second"]} == {"hidden=[]", "hidden=[8]"}
    apart = [measured[pair["first"], seed] - measured[pair["second"], seed] for seed in range(3)]
    assert pair["difference"] == pytest.approx(sum(apart) / 3)
    assert pair["seeds"] == 3
    log = (made / "run.log").read_text()
    assert f"{100 * pair['difference']:+.2f} ± {100 * pair['half_width']:.2f}" in log
    assert "paired by seed" in log
    assert "McNemar" not in log
    assert (made / "differences.csv").read_text().count("\n") == 2


def test_configurations_without_seeds_in_common_are_named_so():
    pair = {"difference": None, "half_width": None, "seeds": 0, "p_value_holm": None, "more_seeds": None}
    one_seed = {**pair, "difference": 0.01, "seeds": 1}
    many = {**one_seed, "seeds": 4, "half_width": 0.02, "p_value_holm": 0.2, "more_seeds": 7}
    rows = [{"first": "a", "second": name, **row} for name, row in zip("bcd", (pair, one_seed, many), strict=True)]
    text = configurations_table({"a": Statistic((0.5, 0.6, 0.7)), "b": Statistic((0.5,), 100)}, rows)
    lines = {line[:5]: line for line in text.splitlines() if line.startswith("a - ")}
    assert lines["a - b"].split()[3:] == ["–", "0", "–", "fewer", "than", "two", "seeds", "in", "common"]
    assert "+1.00" in lines["a - c"]
    assert "±" not in lines["a - c"]
    assert "+1.00 ± 2.00" in lines["a - d"]
    assert "may be chance; 7 more seeds would decide" in lines["a - d"]
    assert "adjusted for 3 pairs" in text

import pytest
from run_folders import make_run

from cnnexp.errors import CnnexpError
from cnnexp.reports.baseline import as_list, named
from cnnexp.reports.records import read_runs, sweep_runs
from cnnexp.reports.study import study

SWEPT = [
    {"model": "cnn", "optimizer.lr": 0.001, "callbacks": None, "model.hidden": [32, 16]},
    {"model": "cnn", "optimizer.lr": 0.01, "callbacks": ["early_stopping"], "model.hidden": [8]},
    {"model": "ffnn", "optimizer.lr": 0.1, "callbacks": ["ema", "early_stopping"], "data.train_size": None},
]


@pytest.mark.parametrize(
    ("baseline", "index"),
    [
        (["model=ffnn"], 2),
        (["optimizer.lr=0.001"], 0),
        (["lr=1e-3"], 0),
        (["model=cnn", "lr=0.01"], 1),
        (["callbacks=none"], 0),
        (["callbacks=[none]"], 0),
        (["callbacks=early_stopping"], 1),
        (["callbacks=[early_stopping]"], 1),
        (["hidden=[32,16]"], 0),
        (["train_size=all"], 2),
        (["data.train_size=null"], 2),
    ],
)
def test_settings_name_the_configuration_that_has_them_all(baseline, index):
    assert named(baseline, SWEPT) == index


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (["model=vgg16"], "baseline=model=vgg16 names no configuration of these: model=cnn, lr=0.001"),
        (["model=cnn", "model.hidden=[1]"], "names no configuration"),
        (["model=cnn"], "names 2 configurations: .*\nName one, such as baseline='model=cnn,optimizer.lr=0.001,"),
        (["seed=1"], "seed isn't swept here .swept are model, "),
        (["ffnn"], "ffnn isn't swept here"),
    ],
)
def test_what_names_none_or_several_is_told_in_a_line_or_two(baseline, said):
    with pytest.raises(CnnexpError, match=said) as raised:
        named(baseline, SWEPT)
    assert len(str(raised.value).splitlines()) <= 2


def test_a_setting_is_one_text_or_several():
    assert [as_list(value) for value in (None, "a=1", ["a=1", "b=2"])] == [[], ["a=1"], ["a=1", "b=2"]]


def test_what_the_runs_recorded_counts_where_they_agree_and_nothing_else_is_asked(tmp_path):
    for name, size in (("a", 50), ("b", 500)):
        make_run(tmp_path / name, [f"data.train_size={size}"], recorded={"baseline": ["train_size=500"]})
    records = read_runs(sweep_runs(tmp_path))
    found = study(records)
    assert found.configurations[found.baseline].values == {"data.train_size": 500}
    assert study(records, baseline=()).baseline is None
    assert study(records[:1]).baseline is None  # it hasn't begun
    make_run(tmp_path / "c", ["data.train_size=5000"])
    assert study(read_runs(sweep_runs(tmp_path))).baseline is None

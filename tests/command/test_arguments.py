import pytest

from cnnexp.command.arguments import flags_first, read, value_of
from cnnexp.errors import CnnexpError


@pytest.mark.parametrize(
    ("typed", "ordered"),
    [
        (["seed=1"], ["seed=1"]),
        (["experiment=x", "-m", "seed=0,1"], ["-m", "--", "experiment=x", "seed=0,1"]),
        (["a=1", "--config-dir", "mine", "b=2"], ["--config-dir", "mine", "--", "a=1", "b=2"]),
        (["a=1", "--cfg", "job"], ["--cfg", "job", "--", "a=1"]),
        (["--info", "a=1"], ["--info", "--", "a=1"]),
        (["a=1", "--info", "defaults"], ["--info", "defaults", "--", "a=1"]),
        (["optimizer.lr=-1", "~experiment"], ["optimizer.lr=-1", "~experiment"]),
        (["-m"], ["-m"]),
    ],
)
def test_flags_may_stand_anywhere(typed, ordered):
    assert flags_first(typed) == ordered


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-m", "--run"], "exclude each other"),
        (["--cfg", "job", "-m"], "exclude each other"),
        (["--resolve"], "--cfg job"),
        (["--experimental-rerun", "x.pickle"], "pickle"),
    ],
)
def test_flags_that_hydra_would_stumble_over_are_refused(flags, said):
    with pytest.raises(CnnexpError, match=said):
        read(flags)


def test_the_last_value_of_a_key_counts():
    assert value_of("run", ["run=a", "seed=1", "run='b c'"]) == "b c"
    assert value_of("run", ["seed=1", "rune=2"]) is None
    with pytest.raises(CnnexpError, match="run can't be swept"):
        value_of("run", ["run=a,b"])


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["model.channels=[8]"], ["model.channels=[8]"]),
        (["callbacks.ema.decay=0.9"], ["callbacks.ema.decay=0.9"]),
        (["logger.x._target_=a.B", "logger.x.top_k=2"], ["++logger.x._target_=a.B", "++logger.x.top_k=2"]),
        (["model.network._target_=a.B", "model.dropout=1"], ["++model.network._target_=a.B", "model.dropout=1"]),
        (["a.network._target_=a.B"], ["a.network._target_=a.B"]),
        (["hydra.launcher._target_=a.B"], ["hydra.launcher._target_=a.B"]),
        (["hydra.launcher=joblib"], ["hydra.launcher=joblib"]),
        (["~metrics.f1", "+model.x=1"], ["~metrics.f1", "+model.x=1"]),
    ],
)
def test_keys_beside_a_typed_target_need_no_plus(typed, expected):
    assert read(typed).overrides == expected


def test_a_choice_may_be_typed_with_a_dot(tmp_path):
    (tmp_path / "model" / "head").mkdir(parents=True)
    typed = ["model.head=wide", "-m", "model.heads=1", "--config-dir", str(tmp_path)]
    assert read(typed).overrides == ["model/head=wide", "model.heads=1"]
    assert read(typed[:1]).overrides == typed[:1]

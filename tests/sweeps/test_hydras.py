"""What differs between Hydra 1.3 and 1.4, in few seconds: .ci/run calls this with both."""

import json

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from cnnexp.command.call import instantiate
from cnnexp.command.studies import is_study

TINY = [
    "model.channels=[2]",
    "model.hidden=[]",
    "trainer.limit_train_batches=2",
    "trainer.max_epochs=1",
    "logger=none",
]


def results(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("outputs/**/result.json"))]


def test_a_run_is_trained_asked_about_and_gone_on_with(cnnexp, folder):
    assert cnnexp(*TINY) == 0
    [run] = folder.glob("outputs/cnn-digits/*")
    assert cnnexp("task=test", f"run={run}") == 0
    assert cnnexp(f"resume={run}", "trainer.max_epochs=2") == 0
    assert [result["epochs"] for result in results(folder) if result["task"] == "fit"] == [2]
    # the records of three commands had the same name in Hydra's store, each after the other
    assert "recorded.yaml" in ConfigStore.instance().repo


def test_a_sweep_runs_and_is_gone_on_with(cnnexp, folder):
    assert cnnexp("-m", *TINY, "seed=0,1") == 0
    [sweep] = folder.glob("outputs/sweeps/adhoc/*")
    assert cnnexp(f"resume={sweep}", "seed=0,1,2") == 0
    assert [result["seed"] for result in results(folder)] == [0, 1, 2]


def test_a_search_runs(cnnexp, folder):
    pytest.importorskip("optuna")
    assert cnnexp(
        "experiment=search_learning_rate", *TINY, "optimizer.lr=interval(1e-3,0.2)", "hydra.sweeper.n_trials=2",
    ) == 0  # fmt: skip
    assert [result["status"] for result in results(folder)] == ["completed"] * 2


@pytest.mark.parametrize(
    ("content", "study"),
    [
        ("hydra: {mode: MULTIRUN}", True),
        ("hydra: {mode: RUN}\ndefaults: [parent]", False),
        ("defaults: [parent, override /model: ffnn]", True),
        ("defaults: [parent, {override /model: ffnn}]", True),
        ("defaults: [{/model: parent}]", False),
        ("defaults: [child]", False),
        ("seed: 0", False),
        ("[1]", False),
        ("{", False),
    ],
)
def test_a_study_is_known_by_its_file(content, study, tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "parent.yaml").write_text("hydra: {mode: MULTIRUN}")
    (tmp_path / "experiment" / "child.yaml").write_text(content)
    assert is_study("child", [tmp_path]) is study


def test_what_a_node_names_is_made_by_either_name_of_it_and_a_shell_is_not():
    for name in ("cnnexp.CNN", "cnnexp.models.cnn.CNN"):
        node = {"_target_": name, "image_shape": [1, 28, 28], "classes": 2, "channels": [2], "hidden": []}
        assert instantiate(OmegaConf.create(node)).classes == 2
    with pytest.raises(Exception, match="list"):
        instantiate({"_target_": "os.system", "command": "true"})

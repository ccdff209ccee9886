"""A run's folder or a checkpoint from somebody else can't run code: each payload here would make a folder."""

import contextlib
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from serving import FileServer, Trap

from cnnexp import FFNN, CnnexpError, ImageDataModule, Network, load_run
from cnnexp.app import run
from cnnexp.data.preprocessing import read_data_state
from cnnexp.training.checkpoints import WholeCheckpointIO

QUICK = ["model=ffnn", "model.hidden=[4]", "trainer=debug", "logger=none", "data.batch_size=64"]
MODULE = "from cnnexp import FFNN\nimport os\nos.mkdir({sprung!r})\nclass Net(FFNN): pass\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; nobody writes to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fit"))
        assert run(QUICK) == 0
        [folder] = Path("outputs/ffnn-digits").iterdir()
        return folder.absolute()


@pytest.fixture
def theirs(finished: Path, folder: Path) -> Path:
    """A copy of it, to be changed."""
    return shutil.copytree(finished, folder / "theirs")


@pytest.fixture
def sprung(folder: Path) -> Path:
    return folder / "sprung"


@pytest.fixture
def module(folder: Path, sprung: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a network whose module makes the folder as it is imported."""
    (folder / "theirnet.py").write_text(MODULE.format(sprung=str(sprung)))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "theirnet", raising=False)
    return "theirnet.Net"


def write_record(run: Path, key: str, value: Any) -> None:
    file = run / ".hydra" / "config.yaml"
    record = OmegaConf.load(file)
    OmegaConf.update(record, key, value, force_add=True, merge=False)
    OmegaConf.save(record, file)


CALL = {"_target_": "os.mkdir", "path": "sprung"}
CALLS = [
    ("model", CALL, "wants to call model._target_=os.mkdir"),
    ("optimizer", {**CALL, "_partial_": True}, "wants to call optimizer._target_=os.mkdir"),
    ("callbacks", {"mine": CALL}, "wants to call callbacks.mine._target_=os.mkdir"),
    ("data.mirrors", [CALL], r"wants to call data.mirrors[0]._target_=os.mkdir"),
    ("trainer.strategy", CALL, "wants to call trainer.strategy._target_=os.mkdir"),
    ("model._target_", ["os.mkdir"], "wants to call model._target_="),
    ("model", {"_target_": "cnnexp.Network", "network": CALL}, "wants to call model.network._target_=os.mkdir"),
    *(
        ("model.network", {"_target_": name, "_partial_": True}, f"wants to call model.network._target_={name}")
        for name in (
            "theirnet.Net",
            "torchvision.models.get_model",
            "torchvision.models.os.mkdir",
            "torchvision.models.Resnet18",
            "torchvision.models.resnet18.os",
            "torchvision.models.theirnet",
        )
    ),
    ("model._target_", "theirnet.Net", "wants to call model._target_=theirnet.Net"),
    ("scheduler._target_", "cnnexp.runs.write_json", "wants to call scheduler._target_=cnnexp.runs.write_json"),
    ("scheduler._target_", "torch.optim.sys.exit", "wants to call scheduler._target_=torch.optim.sys.exit"),
    ("name", "${claim_job:.,sprung}", "more in it than plain values"),
    ("name", "\\${claim_job:.,sprung}", "more in it than plain values"),
    ("defaults", [{"task": "test"}, "_self_"], "more in it than plain values"),
    ("hydra", {"callbacks": {"mine": CALL}}, "more in it than plain values"),
    ("logger", {"../../sprung": {"_target_": "cnnexp.training.loggers.TensorBoardLogger"}}, "no setting's name"),
]


def refused(said: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Assert that a command was refused, in a line or two that say why."""
    assert status == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert len(printed.strip().splitlines()) <= 2


@pytest.mark.parametrize(("key", "value", "said"), CALLS)
def test_a_record_calls_nothing_but_what_is_known(
    key: str,
    value: Any,
    said: str,
    theirs: Path,
    sprung: Path,
    module: str,
    cnnexp: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_record(theirs, key, value)
    for arguments in (["task=fit", f"run={theirs}"], ["task=test", f"run={theirs}"], [f"resume={theirs}"]):
        refused(said, cnnexp(*arguments), capsys)
    with pytest.raises(CnnexpError):
        load_run(theirs)
    assert not sprung.exists()
    assert "theirnet" not in sys.modules


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("hydra.yaml", "hydra: ${claim_job:.,sprung}"),
        ("hydra.yaml", "hydra: {runtime: {choices: {model: '${claim_job:.,sprung}'}}}"),
        ("hydra.yaml", "hydra: {runtime: {choices: [model]}}"),
        ("hydra.yaml", "!!python/object/apply:os.mkdir [sprung]"),
        ("config.yaml", "!!python/object/apply:os.mkdir [sprung]"),
        ("config.yaml", "[]"),
        ("config.yaml", "a: [b"),
        ("config.yaml", "\x00"),
        ("config.yaml", "model: 1"),
    ],
)
def test_a_record_that_is_none_is_refused(
    file: str, content: str, theirs: Path, sprung: Path, cnnexp: Callable[..., int], capsys: Any
) -> None:
    (theirs / ".hydra" / file).write_text(content)
    refused(f"run={theirs}: ", cnnexp("task=test", f"run={theirs}", "model=ffnn"), capsys)
    assert not sprung.exists()


def test_the_payloads_of_the_records_would_work(folder: Path, sprung: Path, module: str) -> None:
    instantiate(CALL)
    assert sprung.is_dir()
    sprung.rmdir()
    instantiate({"_target_": module, "_partial_": True})
    assert sprung.is_dir()
    sprung.rmdir()
    assert OmegaConf.create({"name": "${claim_job:.,sprung}"}).name == "sprung"
    assert sprung.is_dir()


def test_a_network_of_ones_own_is_loaded_once_it_is_named(
    finished: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, cnnexp: Callable[..., int]
) -> None:
    (folder / "mynet.py").write_text("from cnnexp import FFNN\nclass Net(FFNN): pass\n")
    monkeypatch.syspath_prepend(folder)
    configs = folder / "conf" / "model"
    configs.mkdir(parents=True)
    (configs / "mine.yaml").write_text("_target_: mynet.Net\nhidden: [4]\n")
    own = f"--config-dir={folder / 'conf'}"
    assert cnnexp(*QUICK, "model=mine", "optimizer._target_=torch.optim.NAdam", "~optimizer.fused", own) == 0
    [trained] = (folder / "outputs" / "mine-digits").iterdir()
    again = ("task=test", f"run={trained}")
    assert cnnexp(*again) == 2
    assert cnnexp(*again, own) == 0
    assert cnnexp(*again, "--config-dir", str(folder / "conf")) == 0
    assert cnnexp(*again, "model._target_=mynet.Net") == 0
    with pytest.raises(CnnexpError, match=r"model\._target_=mynet\.Net"):
        load_run(trained)
    assert type(load_run(trained, trusted=["mynet.Net"]).model).__name__ == "Net"


def test_a_module_of_ones_own_is_called_once_it_is_named(
    folder: Path, module: str, sprung: Path, cnnexp: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    own = "def Net(num_classes): return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))"
    text = MODULE.format(sprung=str(sprung)).replace("class Net(FFNN): pass", own)
    (folder / "theirnet.py").write_text(f"from torch import nn\n{text}")
    named = "model.network._target_=theirnet.Net"
    assert cnnexp("model=network", named, *QUICK[3:]) == 0
    [trained] = (folder / "outputs" / "network-digits").iterdir()
    sprung.rmdir()
    del sys.modules["theirnet"]
    refused("wants to call model.network._target_=theirnet.Net", cnnexp("task=test", f"run={trained}"), capsys)
    with pytest.raises(CnnexpError, match="only names its network, theirnet.Net"):
        Network.load_from_checkpoint(trained / "checkpoints" / "best.ckpt")
    assert not sprung.exists()
    assert cnnexp("task=test", f"run={trained}", named) == 0
    assert load_run(trained, trusted=["theirnet.Net"]).model.network[1].out_features == 10


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep; nobody writes to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sweep"))
        plain = [
            "optimizer._target_=torch.optim.NAdam,torch.optim.Adam",
            "~optimizer.fused",
            "hydra/launcher=basic",
        ]
        assert run(["-m", *QUICK, *plain]) == 0
        [folder] = Path("outputs/sweeps/adhoc").iterdir()
        return folder.absolute()


@pytest.mark.parametrize(
    ("kind", "override"),
    [
        ("task", "model._target_=os.mkdir"),
        ("task", "model._target_=cnnexp.FFNN,theirnet.Net"),
        ("task", "+model.network._target_=torchvision.models.resnet18,torchvision.models.get_model"),
        ("task", "+callbacks.mine={_target_: os.mkdir, path: sprung}"),
        ("task", "name='${claim_job:.,sprung}'"),
        ("task", "task=test"),
        ("task", "model=../../../theirs/model"),
        ("task", "model=/theirs/model"),
        ("task", "callbacks@hydra.callbacks=none"),
        ("task", {"_target_": "os.mkdir"}),
        ("hydra", "hydra.launcher._target_=theirnet.Net"),
        ("hydra", "hydra.sweeper.params.model._target_=theirnet.Net"),
        ("hydra", "+hydra.callbacks.mine._target_=theirnet.Net"),
        ("hydra", "hydra.searchpath=[theirs]"),
        ("hydra", "hydra/launcher=../../theirs"),
        ("hydra", "hydra.launcher.setup=['mkdir sprung']"),
        ("hydra", "hydra/job_logging=none"),
        ("hydra", "--config-dir=theirs"),
        ("hydra", "-cd"),
    ],
    ids=str,
)
def test_a_sweeps_record_sets_plain_values_only(
    kind: str,
    override: Any,
    swept: Path,
    folder: Path,
    sprung: Path,
    module: str,
    cnnexp: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = shutil.copytree(swept, folder / "theirs")
    record = OmegaConf.load(theirs / "multirun.yaml")
    record.hydra.overrides[kind].append(override)
    OmegaConf.save(record, theirs / "multirun.yaml")
    refused("which may run any code", cnnexp(f"resume={theirs}"), capsys)
    assert not sprung.exists()
    assert "theirnet" not in sys.modules


def test_an_honest_sweep_is_resumed(swept: Path, folder: Path, cnnexp: Callable[..., int]) -> None:
    ours = shutil.copytree(swept, folder / "ours")
    [first, *_] = sorted(path for path in ours.iterdir() if path.is_dir())
    shutil.rmtree(first)
    assert cnnexp(f"resume={ours}") == 0
    assert (first / "result.json").is_file()


# checkpoints


def evil_checkpoints(whole: Path, sprung: Path) -> dict[str, Callable[[Path], None]]:
    def save(**content: Any) -> Callable[[Path], None]:
        checkpoint = torch.load(whole, weights_only=True)
        return lambda path: torch.save({**checkpoint, **content}, path)

    trap = Trap(str(sprung))
    return {
        "a value": save(extra=trap),
        "hyperparameters": save(hyper_parameters=trap),
        "weights": save(state_dict={"0.weight": trap}),
        "a module": save(model=torch.nn.Linear(1, 1)),
        "an old format": lambda path: torch.save({"extra": trap}, path, _use_new_zipfile_serialization=False),
        "a bare pickle": lambda path: path.write_bytes(pickle.dumps(trap)) and None,
        "a class by its name": save(
            hyper_parameters={"_instantiator": "theirnet.Net", "_class_path": "theirnet.Net"},
        ),
    }


KINDS = [
    "a value", "hyperparameters", "weights", "a module", "an old format", "a bare pickle", "a class by its name",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_runs_no_code(
    kind: str,
    finished: Path,
    theirs: Path,
    sprung: Path,
    module: str,
    cnnexp: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = theirs / "checkpoints" / "best.ckpt"
    evil_checkpoints(finished / "checkpoints" / "best.ckpt", sprung)[kind](evil)
    for other in ("last.ckpt", "previous.ckpt"):
        shutil.copy(evil, evil.with_name(other))
    for arguments in ([f"run={theirs}"], [f"run={finished}", f"checkpoint={evil}"]):
        refused("best.ckpt can't be loaded as a FFNN: ", cnnexp("task=test", *arguments), capsys)
    # a resume builds its network from the record and doesn't look at the class that a checkpoint names
    assert cnnexp(f"resume={theirs}", "trainer.max_epochs=3") == (0 if "class" in kind else 2)
    model, data = FFNN((1, 28, 28), 10, hidden=[4]), ImageDataModule("digits")
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, max_epochs=1,
        plugins=[WholeCheckpointIO()],
    )  # fmt: skip
    for load in (
        lambda: load_run(theirs),
        lambda: read_data_state(evil),
        lambda: FFNN.load_from_checkpoint(evil),
        lambda: trainer.test(model, data, ckpt_path=evil, weights_only=False),
        lambda: trainer.fit(model, data, ckpt_path=evil, weights_only=False),
    ):
        with contextlib.suppress(Exception):
            load()
    assert not sprung.exists()
    assert "theirnet" not in sys.modules
    if kind not in ("a module", "a class by its name"):
        with contextlib.suppress(RuntimeError):  # a bare pickle is opened before it is found to be no checkpoint
            torch.load(evil, weights_only=False)
        assert sprung.exists()


def test_a_checkpoint_from_the_web_runs_no_code(
    sprung: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    served = folder / "served"
    served.mkdir()
    torch.save({"state_dict": {}, "extra": Trap(str(sprung))}, served / "evil.ckpt")
    server = FileServer(served)
    try:
        with pytest.raises(pickle.UnpicklingError):
            FFNN.load_from_checkpoint(f"{server.url}evil.ckpt")
    finally:
        server.stop()
    assert server.requests
    assert not sprung.exists()

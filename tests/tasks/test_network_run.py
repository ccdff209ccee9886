"""What can be done with a run of a network from elsewhere: everything that can be done with one of ours."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from cnnexp import Network, load_run
from cnnexp.app import run

SHORT = ["trainer.limit_train_batches=2", "trainer.max_epochs=1", "data.eval_batch_size=2000", "logger=none"]
TORCHVISION = "model.network._target_=torchvision.models.shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("network"))
        assert run(["model=network", TORCHVISION, "model.network.weights=null", *SHORT]) == 0
        [folder] = Path("outputs/network-digits").iterdir()
        return folder.absolute()


@pytest.fixture
def copied(finished: Path, folder: Path) -> Path:
    return shutil.copytree(finished, folder / "run")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("task", "made"),
    [
        ("test", "result.json"),
        ("summary", "summary.csv"),
        ("activations", "activations.png"),
        ("kernels", "kernels.png"),
        ("saliency", "saliency.png"),
        ("mistakes", "confusion.csv"),
        ("export task.format=onnx", "model.onnx"),
        ("export task.format=torch_export", "model.pt2"),
        ("predict task.images=photo.png", "predictions.csv"),
    ],
)
def test_each_task_works_on_it(task, made, copied, folder, cnnexp):
    Image.new("L", (40, 30), 90).save(folder / "photo.png")
    name, *arguments = task.split()
    assert cnnexp(f"task={name}", *arguments, f"run={copied}") == 0
    [done] = (copied / name).iterdir()
    assert (done / made).stat().st_size > 100


def test_the_summary_says_that_grey_is_repeated(cnnexp, folder, capsys):
    assert cnnexp("task=summary", "model=network", "model.network._target_=torchvision.models.resnet18") == 0
    assert "grey_to_rgb" in capsys.readouterr().out
    assert cnnexp("task=summary", "model=network", "model.network._target_=torchvision.models.regnet_x_400mf") == 0


def test_it_is_resumed_and_loaded_without_a_word_more(copied, cnnexp):
    assert cnnexp(f"resume={copied}", "trainer.max_epochs=2") == 0
    assert json.loads((copied / "result.json").read_text())["epochs"] == 2
    loaded = load_run(copied, "last").model
    alone = Network.load_from_checkpoint(copied / "checkpoints" / "last.ckpt").eval()
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(loaded(images), alone(images))
    assert len(loaded.history) == 2


def test_a_module_of_ones_own_is_swept(cnnexp, folder, monkeypatch):
    (folder / "swept_net.py").write_text(
        "from torch import nn\n"
        "def net(classes, width): return nn.Sequential(\n"
        "    nn.Conv2d(1, width, 5, 4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes))\n"
    )
    monkeypatch.syspath_prepend(folder)
    typed = ["model=network", "model.network._target_=swept_net.net", "model.classes_argument=classes", *SHORT]
    assert cnnexp(*typed, "model.network.width=2,3", "-m") == 0
    jobs = sorted((folder / "outputs" / "sweeps" / "adhoc").glob("*/model*"))
    assert [job.name for job in jobs] == ["model.network.width-2", "model.network.width-3"]
    counted = [json.loads((job / "result.json").read_text())["parameters"] for job in jobs]
    assert counted == [26 * width + (36 * width + 1) * 10 for width in (2, 3)]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "model.network._target_ has no value yet; type model.network._target_=…"),
        ([TORCHVISION.replace("shuffle", "shufle")], "can't be imported"),
        (["model.network._target_=torchvision.models.vgg11"], "takes no images of 1×28×28"),
    ],
)
def test_mistakes_are_answered(typed, said, cnnexp, folder, capsys):
    assert cnnexp("model=network", *typed) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) <= 3
    assert not list(folder.glob("outputs/*/*"))


def test_the_console_command_finds_the_working_folders_modules_too(folder):
    (folder / "found.py").write_text("import cnnexp\nclass Found(cnnexp.FFNN): pass\n")
    typed = ["task=summary", "model=own", "model._target_=found.Found"]
    # what pip writes to bin/cnnexp
    start = "import sys; sys.path[:] = [p for p in sys.path if p]; from cnnexp.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", start, *typed], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Found for images of 1×28×28" in done.stdout

"""Every network on every data set, with nothing else set."""

import csv
import json
import math

import pytest

pytestmark = pytest.mark.slow

DATA = ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "image_folder"]
FEW = ["trainer.max_epochs=1", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "data.batch_size=8"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tarfile")
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", ["cnn", "ffnn", "vgg16", "airbench"])
def test_every_network_trains_on_every_data_set(model, data, cnnexp, folder, every_data_set):
    root = [f"data.root={every_data_set / 'images'}"] if data == "image_folder" else []
    # its 14 million weights are trained on digits alone
    narrow = ["model.width=0.25"] if model == "vgg16" and data != "digits" else []
    steps = 4 if model == "vgg16" and not narrow else 20
    assert (
        cnnexp(f"model={model}", f"data={data}", *root, *narrow, *FEW, f"trainer.limit_train_batches={steps}") == 0
    )
    [run] = (folder / "outputs" / f"{model}-{data}").iterdir()
    done = json.loads((run / "result.json").read_text())
    assert done["status"] == "completed"
    with (run / "metrics.csv").open() as file:
        [row] = csv.DictReader(file)
    assert all(math.isfinite(float(value)) for value in row.values() if value)
    # it has learned something: a network that knows nothing has a cross-entropy of log(classes)
    classes = {"cifar100": 100, "image_folder": 3}.get(data, 10)
    assert float(row["running_loss"]) < 3 * math.log(classes)


@pytest.mark.parametrize("data", ["mnist", "image_folder"])
@pytest.mark.parametrize("model", ["cnn", "ffnn", "vgg16", "airbench"])
def test_every_network_trains_on_the_real_images_that_are_here(model, data, cnnexp, folder, request):
    root = request.getfixturevalue("mnist_root" if data == "mnist" else "cifar_images")
    small = ["data.train_size=400", "data.val_size=100", "data.batch_size=20"]
    small += ["model.width=0.5"] if model == "vgg16" else []
    assert cnnexp(f"model={model}", f"data={data}", f"data.root={root}", *small, *FEW[:3]) == 0
    [run] = (folder / "outputs" / f"{model}-{data}").iterdir()
    with (run / "metrics.csv").open() as file:
        [row] = csv.DictReader(file)
    # better than one guess in ten, after twenty steps
    assert float(row["running_accuracy"]) > 0.11


@pytest.mark.parametrize("model", ["cnn", "ffnn", "vgg16", "airbench"])
def test_every_network_learns_real_digits(model, cnnexp, folder):
    small = {
        "vgg16": ["model.width=0.125", "trainer.max_epochs=2"],
        "airbench": ["model.channels=[16,32,32]", "optimizer=muon", "scheduler=linear", "trainer.max_epochs=2"],
    }.get(model, ["trainer.max_epochs=3"])
    assert cnnexp(f"model={model}", "data=digits", *small) == 0
    [run] = (folder / "outputs" / f"{model}-digits").iterdir()
    assert json.loads((run / "result.json").read_text())["test_accuracy"] > 0.8


@pytest.mark.parametrize("name", ["notebook_cnn_mnist", "notebook_ffnn_mnist", "notebook_cnn_cifar10"])
def test_the_notebooks_settings_are_exactly_those(name, cnnexp, folder, every_data_set, capsys):
    assert cnnexp(f"experiment={name}", "trainer.limit_train_batches=2") == 0
    [run] = next((folder / "outputs").iterdir()).iterdir()
    from omegaconf import OmegaConf

    record = OmegaConf.load(run / ".hydra" / "config.yaml")
    assert (record.data.batch_size, record.data.normalize, record.data.validation) == (16, False, "test")
    assert (record.optimizer._target_, record.optimizer.lr) == ("torch.optim.Adam", 0.001)
    assert record.trainer.max_epochs == 5
    done = json.loads((run / "result.json").read_text())
    assert done["val_accuracy"] == pytest.approx(done["test_accuracy"])
    assert "validating on the test set" in (run / "run.log").read_text()


def test_the_fast_recipe_survives_a_folder_of_images(cnnexp, folder, every_data_set, capsys):
    images = ["data=image_folder", f"data.root={every_data_set / 'images'}", "data.val_size=6"]
    tiny = ["model.channels=[4,8,8]", "data.batch_size=9", "trainer.max_epochs=2"]
    assert cnnexp("experiment=cifar10_fast", *images, *tiny) == 0
    assert "tta" in capsys.readouterr().out
    [run] = (folder / "outputs" / "airbench-image_folder").iterdir()
    done = json.loads((run / "result.json").read_text())
    assert done["best_epoch"] == 2
    assert 0 <= done["test_accuracy_tta"] <= 1
    with (run / "metrics.csv").open() as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert rates == pytest.approx([0.24, 0.12])
    # the same again, from the run's checkpoint
    assert cnnexp("task=test", f"run={run}") == 0
    [again] = (folder / run / "test").iterdir()
    tested = json.loads((again / "result.json").read_text())
    for key in ("test_loss", "test_accuracy", "test_loss_tta", "test_accuracy_tta"):
        assert tested[key] == done[key]
    assert cnnexp("task=test", f"run={run}", "model.test_time_augmentation=none") == 0
    *_, plain = sorted((folder / run / "test").iterdir())
    assert "test_accuracy_tta" not in json.loads((plain / "result.json").read_text())

"""The tasks that look inside a network, on real runs on digits, and what they leave behind."""

import csv
import json
from pathlib import Path

import matplotlib.image
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cnnexp import load_run
from cnnexp.app import run
from cnnexp.data.sets import SHIPPED, find, load

SHORT = ["trainer.limit_train_batches=4", "trainer.max_epochs=1", "logger=tensorboard"]
SMALL = {
    "cnn": ["model.channels=[4,8]", "model.hidden=[16]"],
    "ffnn": ["model.hidden=[6]"],
    "vgg16": ["model.width=0.05"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A short run of each network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("runs"))
        for model, small in SMALL.items():
            assert run([f"model={model}", *small, *SHORT]) == 0
        return {model: next(Path("outputs", f"{model}-digits").iterdir()).absolute() for model in SMALL}


@pytest.fixture(autouse=True)
def runs_are_left_alone(runs):
    def files():
        return {
            path: path.read_bytes()
            for folder in runs.values()
            for path in folder.rglob("*")
            if path.is_file() and path.relative_to(folder).parts[0] not in TASKS
        }

    before = files()
    yield
    assert files() == before


TASKS = {"summary", "activations", "kernels", "saliency", "examples"}


def newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: path.stat().st_ctime_ns)


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def is_drawn(path: Path) -> bool:
    pixels = matplotlib.image.imread(path)[..., :3]
    return min(pixels.shape[:2]) > 100 and float(pixels.std()) > 0.02


@pytest.mark.parametrize("model", SMALL)
def test_summary_counts_what_the_run_recorded(model, runs, cnnexp, capsys):
    assert cnnexp("task=summary", f"run={runs[model]}") == 0
    rows = table(newest(runs[model] / "summary") / "summary.csv")
    counted = json.loads((runs[model] / "result.json").read_text())["parameters"]
    assert sum(int(row["parameters"]) for row in rows) == counted
    assert sum(int(row["computed_parameters"] or 0) for row in rows) == counted
    assert sum(float(row["parameters_share"]) for row in rows) == pytest.approx(1, abs=1e-5)
    assert f"{counted:,}" in capsys.readouterr().out


def test_summary_needs_no_data_where_the_shape_is_known(cnnexp, folder, capsys):
    assert cnnexp("task=summary", "data=cifar100", f"data.root={folder / 'nothing'}") == 0
    assert not (folder / "nothing").exists()
    assert "(3·3·3 + 1)·32 = 896" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tarfile")
@pytest.mark.parametrize("dataset", [name for name in SHIPPED if hasattr(find(name), "known_shape")])
def test_the_known_shapes_are_the_data_sets_own(dataset, every_data_set):
    source = load(dataset, every_data_set)
    assert find(dataset).known_shape == (tuple(source.train_images.shape[1:]), len(source.class_names))


def test_scaling_compares_the_three_networks_and_takes_the_settings_of_the_chosen_one(cnnexp, folder, capsys):
    assert cnnexp("task=summary", "task.scaling=[32,64,128]", "model=ffnn", "model.hidden=[7]") == 0
    done = newest(folder / "outputs" / "summary")
    assert is_drawn(done / "scaling.png")
    rows = {(row["model"], row["side"]): row for row in table(done / "scaling.csv")}
    assert {model for model, _ in rows} == {"CNN", "FFNN", "VGG16"}
    assert int(rows["FFNN", "64"]["parameters"]) == (64 * 64 + 1) * 7 + (7 + 1) * 10
    assert "hidden=[7]" in capsys.readouterr().out


def test_examples_shows_one_image_of_each_class(cnnexp, folder):
    for seed in (0, 1):
        assert cnnexp("task=examples", f"seed={seed}") == 0
    shown = [
        [row["shown"] for row in table(path / "examples.csv")] for path in (folder / "outputs/examples").iterdir()
    ]
    assert len(shown[0]) == 10
    assert shown[0] != shown[1]
    assert is_drawn(newest(folder / "outputs" / "examples") / "examples.png")


def test_activations_show_trained_and_untrained_channels(runs, cnnexp):
    assert cnnexp("task=activations", f"run={runs['cnn']}", "task.index=3", "task.channels=2") == 0
    done = newest(runs["cnn"] / "activations")
    rows = table(done / "activations.csv")
    assert {(row["network"], row["layer"]) for row in rows} == {
        (network, layer) for network in ("trained", "untrained") for layer in ("layers.0", "layers.3")
    }
    shown = [row for row in rows if row["shown"] == "True"]
    for network in ("trained", "untrained"):
        assert [row["channel"] for row in shown if row["network"] == network and row["layer"] == "layers.3"] == [
            row["channel"] for row in shown if row["network"] == "trained" and row["layer"] == "layers.3"
        ]
    # the numbers are the network's own, worked out anew
    loaded = load_run(runs["cnn"])
    batch, _ = next(iter(loaded.data.test_dataloader()))
    first = loaded.model.layers[0](batch[3:4])[0].detach()
    assert [float(r["mean"]) for r in rows[:4]] == pytest.approx(first.mean((1, 2)).tolist(), abs=1e-5)
    assert is_drawn(done / "activations.png")
    events = EventAccumulator(str(done / "tensorboard"))
    events.Reload()
    assert events.Tags()["images"] == ["activations"]


def test_the_untrained_network_is_the_one_that_training_began_with(runs, cnnexp):
    first = [f"run={runs['cnn']}", "task.layer=layers.0", "task.channels=all"]
    assert cnnexp("task=activations", *first) == 0
    table_ = table(newest(runs["cnn"] / "activations") / "activations.csv")
    torch.manual_seed(0)
    from cnnexp import CNN

    fresh = CNN((1, 28, 28), 10, channels=[4, 8], hidden=[16])
    batch, _ = next(iter(load_run(runs["cnn"]).data.test_dataloader()))
    means = fresh.layers[0](batch[:1])[0].detach().mean((1, 2)).tolist()
    assert [float(r["mean"]) for r in table_ if r["network"] == "untrained"] == pytest.approx(means, abs=1e-5)


@pytest.mark.slow
def test_all_convolutions_of_vgg16_fit_into_one_figure_and_all_channels_into_one_a_layer(runs, cnnexp):
    assert cnnexp("task=activations", f"run={runs['vgg16']}", "logger=none") == 0
    done = newest(runs["vgg16"] / "activations")
    assert is_drawn(done / "activations.png")
    assert not (done / "tensorboard").exists()
    layers = "task.layer=[features.0,features.40]"
    assert cnnexp("task=activations", f"run={runs['vgg16']}", layers, "task.channels=all") == 0
    done = newest(runs["vgg16"] / "activations")
    assert {path.name for path in done.glob("*.png")} == {
        "activations-features.0.png", "activations-features.40.png",
    }  # fmt: skip


@pytest.mark.parametrize("model", SMALL)
def test_a_photo_needs_no_data(model, runs, cnnexp, folder):
    Image.effect_mandelbrot((90, 61), (-2, -1, 1, 1), 50).convert("RGB").save(folder / "photo.jpg")
    layer = ["task.layer=layers.1"] if model == "ffnn" else []
    # the digits are always there; a data set that isn't shows that it isn't asked for
    for task in (["task=activations", *layer], ["task=saliency"]):
        assert cnnexp(*task, f"run={runs[model]}", "task.image=photo.jpg", "data=mnist", "data.root=nothing") == 0
        done = newest(runs[model] / task[0].removeprefix("task="))
        assert all(is_drawn(path) for path in done.glob("*.png"))
    assert not (folder / "nothing").exists()


@pytest.mark.parametrize("model", SMALL)
def test_kernels_before_and_after(model, runs, cnnexp):
    assert cnnexp("task=kernels", f"run={runs[model]}", "task.count=2") == 0
    done = newest(runs[model] / "kernels")
    assert is_drawn(done / "kernels.png")
    rows = table(done / "kernels.csv")
    assert all(float(row["norm_of_change"]) > 0 for row in rows)
    shown = [float(row["norm_after"]) for row in rows if row["shown"] == "True"]
    assert sorted(shown) == sorted(float(row["norm_after"]) for row in rows)[-2:]


def test_saliency_asks_about_the_right_class_too(runs, cnnexp):
    loaded = load_run(runs["cnn"])
    images, labels = next(iter(loaded.data.test_dataloader()))
    guesses = loaded.model(images).argmax(1)
    wrong = int((guesses != labels).nonzero()[0])
    assert cnnexp("task=saliency", f"run={runs['cnn']}", f"task.index={wrong}") == 0
    rows = table(newest(runs["cnn"] / "saliency") / "saliency.csv")
    assert {row["class"] for row in rows} == {str(int(guesses[wrong])), str(int(labels[wrong]))}
    assert len(rows) == 2 * 28 * 28
    assert cnnexp("task=saliency", f"run={runs['cnn']}", "task.target=5") == 0
    assert {row["class"] for row in table(newest(runs["cnn"] / "saliency") / "saliency.csv")} == {"5"}


@pytest.mark.parametrize(
    ("model", "typed", "said"),
    [
        ("cnn", ["task=activations", "task.layer=layer.0"], "did you mean layers.0?"),
        ("cnn", ["task=activations", "task.index=359"], "there are 359 test images, 0 to 358"),
        ("cnn", ["task=activations", "task.image=notes.txt"], "notes.txt can't be read as an image"),
        ("cnn", ["task=activations", "task.image=nothing.png"], "nothing.png: there is no such file"),
        ("cnn", ["task=activations", "task.image=notes.txt", "task.index=1"], "give one of them"),
        ("cnn", ["task=activations", "task.channels=0"], "task.channels=0 is not allowed"),
        ("ffnn", ["task=activations"], "task.layer=[layers.1,layers.3]"),
        ("cnn", ["task=activations", "data=image_folder", "data.root=images"], "with task.image=…"),
        ("cnn", ["task=saliency", "task.target=ten"], "there is no such class"),
        ("ffnn", ["task=saliency", "task.layer=layers.1"], "is no map"),
        ("cnn", ["task=summary", "task.scaling=[32]"], "task.scaling=[32] is not allowed"),
    ],
)
def test_mistakes_are_answered(model, typed, said, runs, cnnexp, folder, capsys):
    (folder / "notes.txt").write_text("not an image")
    for number in range(12):
        place = folder / "images" / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (20 * number, 0, 0)).save(place / f"{number}.png")
    assert cnnexp(*typed, f"run={runs[model]}") == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error

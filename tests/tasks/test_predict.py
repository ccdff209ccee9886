import csv
import json

import pytest
from PIL import Image

from cnnexp import ImageDataModule, load_run


@pytest.fixture
def digits(folder):
    """Six of the test digits as files of several formats and modes, one negative, and two that are no images."""
    (folder / "photos").mkdir()
    data = ImageDataModule("digits")
    for number, pixels in enumerate(data.images("test", range(6))):
        image = Image.fromarray(pixels[0].numpy())
        image.convert("RGB" if number % 2 else "L").save(folder / "photos" / f"{number}.png")
    Image.fromarray(255 - pixels[0].numpy()).save(folder / "photos" / "negative.png")
    (folder / "photos" / "torn.png").write_bytes((folder / "photos" / "0.png").read_bytes()[:60])
    (folder / "photos" / "fake.jpg").write_text("not an image")
    return folder / "photos"


def table(run):
    made = max((run / "predict").iterdir(), key=lambda path: path.stat().st_ctime_ns)
    with (made / "predictions.csv").open() as file:
        return made, {row["file"].split("/")[-1]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    "model", ["cnn", pytest.param("ffnn", marks=pytest.mark.slow), pytest.param("vgg16", marks=pytest.mark.slow)]
)
def test_files_of_test_images_get_the_networks_own_probabilities(model, trained, cnnexp, digits, folder, capsys):
    run = trained(model)
    assert cnnexp("task=predict", f"run={run}", "task.images=photos", "task.top=10") == 0
    made, rows = table(run)
    loaded = load_run(run)
    batch, _ = next(iter(loaded.data.test_dataloader()))
    expected = loaded.model(batch[:6]).softmax(1).detach()
    for number in range(6):
        row = rows[f"{number}.png"]
        assert row["class_1"] == str(int(expected[number].argmax()))
        for place in range(1, 11):
            probability = float(row[f"probability_{place}"])
            assert probability == pytest.approx(float(expected[number, int(row[f"class_{place}"])]), abs=1e-5)
        assert row["warning"] == ""
    assert rows["negative.png"]["warning"].startswith("inverted")
    assert json.loads((made / "result.json").read_text())["unreadable"] == ["photos/fake.jpg", "photos/torn.png"]
    log = (made / "run.log").read_text()
    assert "skipped: photos/fake.jpg can't be read as an image" in log
    assert "2 of 9 files can't be read" in log
    assert "inverted: light and dark are swapped" in log
    assert (made / "predictions.png").exists()


def test_negatives_can_be_taken(trained, cnnexp, digits):
    run = trained("cnn")
    assert cnnexp("task=predict", f"run={run}", "task.images=[photos/negative.png]", "task.invert=true") == 0
    _, rows = table(run)
    assert rows["negative.png"]["warning"] == ""


def test_colour_photos_of_any_size_for_a_colour_network(trained, cnnexp, folder, images):
    run = trained("cnn", "data=image_folder", f"data.root={images}", "data.val_size=0.2", "trainer.max_epochs=30")
    for kind, size, mode in (("cat", (300, 280), "RGB"), ("dog", (20, 24), "RGBA")):
        photo = Image.open(images / "test" / kind / "0.png").resize(size, Image.Resampling.BOX)
        photo.convert(mode).save(folder / f"{kind}.webp", lossless=True)
    typed = ["task.images=*.webp", "task.top=5", "checkpoint=last"]
    assert cnnexp("task=predict", f"run={run}", *typed) == 0
    _, rows = table(run)
    assert {file: row["class_1"] for file, row in rows.items()} == {"cat.webp": "cat", "dog.webp": "dog"}
    assert "class_3" not in rows["cat.webp"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("task.images=nothing", "nothing is not there"),
        ("task.images=photos/fake.jpg", "none of the 1 files can be read as an image"),
        ("task.images=[]", "at least 1 item"),
        ("task.top=0", "greater than or equal to 1"),
        ("seed=0", "task.images has no value yet; type task.images=…"),
    ],
)
def test_a_mistake_is_answered(typed, said, trained, cnnexp, digits, capsys):
    photos = [] if typed.startswith(("task.images", "seed")) else ["task.images=photos"]
    assert cnnexp("task=predict", f"run={trained('cnn')}", *photos, typed) == 2
    assert said in capsys.readouterr().err

import csv
import json
import shutil

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

FIGURES = {"confusion", "accuracy_per_class", "calibration", "mistakes"}


def newest(run, task):
    return max((run / task).iterdir(), key=lambda path: path.stat().st_ctime_ns)


@pytest.mark.parametrize(
    "model", ["cnn", pytest.param("ffnn", marks=pytest.mark.slow), pytest.param("vgg16", marks=pytest.mark.slow)]
)
def test_the_files_the_numbers_and_the_table_agree(model, trained, cnnexp, folder, capsys):
    run = trained(model)
    assert cnnexp("task=mistakes", f"run={run}", "task.images=5") == 0
    made = newest(run, "mistakes")
    done, trained_to = (json.loads((where / "result.json").read_text()) for where in (made, run))
    assert done["test_accuracy"] == pytest.approx(trained_to["test_accuracy"])
    assert {path.stem for path in made.glob("*.png")} == FIGURES
    with (made / "confusion.csv").open() as file:
        matrix = {row.pop("true"): {k: int(v) for k, v in row.items()} for row in csv.DictReader(file)}
    right = sum(row[name] for name, row in matrix.items())
    total = sum(sum(row.values()) for row in matrix.values())
    assert right / total == pytest.approx(done["test_accuracy"])
    with (made / "accuracy_per_class.csv").open() as file:
        assert {r["class"]: int(r["right"]) for r in csv.DictReader(file)} == {n: matrix[n][n] for n in matrix}
    with (made / "mistakes.csv").open() as file:
        mistakes = list(csv.DictReader(file))
    assert len(mistakes) == total - right == done["mistakes"]
    assert sorted((float(r["confidence"]) for r in mistakes), reverse=True) == [
        float(r["confidence"]) for r in mistakes
    ]
    events = EventAccumulator(str(made / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["images"]) == FIGURES
    log = (made / "run.log").read_text()
    assert f"{done['test_accuracy']:.2%}" in log
    assert f"expected calibration error {done['expected_calibration_error']:.2%}" in log


def test_the_images_are_prepared_as_in_training_even_where_the_data_is_another(trained, cnnexp, folder, images):
    run = trained("cnn", "data=image_folder", f"data.root={images}", "data.val_size=0.2")
    few = folder / "few"
    shutil.copytree(images / "test", few / "test")
    for file in (images / "train").glob("*/*.png"):  # much darker ones to train on
        (few / "train" / file.parent.name).mkdir(parents=True, exist_ok=True)
        Image.open(file).point(lambda value: value // 4).save(few / "train" / file.parent.name / file.name)
    assert cnnexp("task=mistakes", f"run={run}", f"data.root={few}", "logger=none") == 0
    made = newest(run, "mistakes")
    expected = json.loads((run / "result.json").read_text())["test_accuracy"]
    assert json.loads((made / "result.json").read_text())["test_accuracy"] == pytest.approx(expected)
    assert not (made / "tensorboard").exists()


def test_other_classes_are_refused(trained, cnnexp, folder, images, capsys):
    run = trained("cnn", "data=image_folder", f"data.root={images}", "data.val_size=0.2")
    other = folder / "other"
    for part in ("train", "test"):
        (other / part).mkdir(parents=True)
        for old, new in (("cat", "lion"), ("dog", "wolf")):
            (other / part / new).symlink_to(images / part / old)
    assert cnnexp("task=mistakes", f"run={run}", f"data.root={other}") == 2
    assert (
        "the checkpoint's classes (cat, dog) are not those of image_folder (lion, wolf)" in capsys.readouterr().err
    )

import json
import shutil

import numpy as np
import pytest
from PIL import Image


def test_other_images_are_prepared_as_those_it_was_trained_on(trained, images, cnnexp, folder):
    run = trained("cnn", "data=image_folder", f"data.root={images}", "data.image_size=32")
    elsewhere = folder / "elsewhere"
    shutil.copytree(images, elsewhere)
    for number, file in enumerate(sorted((elsewhere / "train").glob("*/*.png"))):
        # much darker ones to train on; those to test on are the same
        Image.fromarray(np.full((32, 32, 3), number, np.uint8)).save(file)
    assert cnnexp("task=test", f"run={run}", f"data.root={elsewhere}") == 0
    [tested] = (run / "test").iterdir()
    again, first = (json.loads((path / "result.json").read_text()) for path in (tested, run))
    assert again["test_accuracy"] == first["test_accuracy"]
    in_test = [len(list((images / "test" / name).iterdir())) for name in ("cat", "dog")]
    assert again["test_images"] == first["test_images"] == sum(in_test)
    assert again["majority_baseline"] == first["majority_baseline"]
    assert first["majority_baseline"] in (in_test[0] / sum(in_test), in_test[1] / sum(in_test))
    assert first["train_images"] + first["val_images"] == len(list((images / "train").glob("*/*.png")))
    assert again["test_loss"] == pytest.approx(first["test_loss"], rel=1e-6)


def test_images_of_other_classes_are_refused(trained, images, cnnexp, folder, capsys):
    run = trained("cnn", "data=image_folder", f"data.root={images}", "data.image_size=32")
    elsewhere = folder / "elsewhere"
    shutil.copytree(images, elsewhere)
    for part in ("train", "test"):
        (elsewhere / part / "cat").rename(elsewhere / part / "lion")
    assert cnnexp("task=test", f"run={run}", f"data.root={elsewhere}") == 2
    assert (
        "the checkpoint's classes (cat, dog) are not those of image_folder (dog, lion)" in capsys.readouterr().err
    )

"""Image folders as people have them: each is read as it is meant, or a line says what isn't."""

from pathlib import Path

import pytest
from images import counted, images

from cnnexp import CnnexpError, ImageDataModule
from cnnexp.data.image_folder import list_images


def tree(root: Path, spec: str) -> None:
    """Make a folder: ``a/b:3`` is a folder with three images, ``a/`` one without, ``a>b`` a link, others files.

    ``+`` stands for a blank in a name.
    """
    for item in spec.split():
        path = root / item.partition(":")[0].partition(">")[0].replace("+", " ")
        if ":" in item:
            images(path, int(item.partition(":")[2]))
        elif item.endswith("/"):
            path.mkdir(parents=True)
        elif ">" in item:
            path.symlink_to(item.partition(">")[2])
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no image")


def both(*folders: str, count: int = 2) -> str:
    """Two classes in each of some folders."""
    return " ".join(f"{folder}/{name}:{count}" for folder in folders for name in ("cat", "dog"))


PARTED = [
    ("Training_Set", "Test_Set"), ("train_images", "test_images"), ("TRAIN", "TEST"), ("Train+data", "Test+data"),
    ("tr", "te"), ("tra", "tst"), ("1_train", "2_test"), ("01-training", "03-testing"),
    ("my+train+(1)", "my+test+(1)"),
    ("x_train", "x_test"), ("dataset_train", "dataset_test"), ("train-set-v2", "test-set-v2"),
    ("train.zip", "test.zip"),
    ("Trainingsdaten", "Testdaten"), ("entrenamiento", "prueba"), ("训练集", "测试集"), ("trainval", "test"),
    ("train/images", "test/images"), ("training_set/training_set", "test_set/test_set"), ("train+", "test"),
]  # fmt: skip


@pytest.mark.parametrize(("train", "test"), PARTED)
def test_parts_in_further_forms(train, test, tmp_path, caplog) -> None:
    tree(tmp_path, both(train) + " " + both(test, count=1))
    assert counted(tmp_path) == (("cat", "dog"), {"train": 4, "val": 0, "test": 2})
    assert not caplog.records


@pytest.mark.parametrize(
    ("spec", "sizes", "said"),
    [
        (both("train", "valid", "test"), (4, 4, 4), ""),
        (both("train", "test") + " train/.cache:1 train/__MACOSX:1", (4, 0, 4), "train/.cache/, train/__MACOSX/"),
        (both("train", "test") + " train:2 test/labels.csv", (4, 0, 4), "test/labels.csv, train/0.png, train/1"),
        (both("seg_train/seg_train", "seg_test/seg_test") + " seg_train/a.txt", (4, 0, 4), "seg_train/a.txt"),
        (both("train", "test") + " train_labels/a.txt submission.csv", (4, 0, 4), "data set: train_labels/"),
        (both("train", "test", "chest/train", "chest/test"), (4, 0, 4), "no part of the data set: chest/"),
        (both("train", "test") + " unlabeled:3 holdout:2", (4, 0, 4), "set: holdout/, unlabeled/"),
        (both("real", "test") + " train>real", (4, 0, 4), "no part of the data set: real/"),
        ("cat/siam:2 cat/tabby/old:1 dog/lab:3 dog:1", (7, 0, 0), ""),
        ("cat/img:2 cat/masks:2 dog/img:2 dog/masks:2", (8, 0, 0), "same folders in it ('img', 'masks')"),
        (both("augmented", "original"), (8, 0, 0), "classes are 'augmented', 'original', and each has"),
        (both("Xtrain", "Xtest"), (8, 0, 0), "must be called train, val and test"),
        ("Cat:2 cat:2 dog:2", (6, 0, 0), "'Cat' and 'cat' are two classes"),
        ("cat:2 cat+:2 dog:2", (6, 0, 0), "'cat' and 'cat ' are two classes"),
        ("cat:2 dog:2 Thumbs.db .DS_Store ._a data.zip", (4, 0, 0), "in no class's folder: Thumbs.db, data.zip"),
        ("cat:2 dog:2 cat/a.json dog/a.xml cat/Thumbs.db cat/v.mp4 cat/.DS_Store", (4, 0, 0), "4 files (1 .json"),
        ("cat:2 dog:2 cat/.hidden:2", (4, 0, 0), ""),
        ("train_cat:2 train_dog:2", (4, 0, 0), ""),
        ("test:2 control:2", (4, 0, 0), ""),
        ("0:2 1:2 10:2 2:2", (8, 0, 0), ""),
        (" ".join(f"class{n:04}:1" for n in range(300)), (300, 0, 0), ""),
        ("c" * 250 + ":2 " + "d" * 250 + ":2", (4, 0, 0), ""),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_read_and_what_is_said(spec, sizes, said, tmp_path, caplog) -> None:
    tree(tmp_path, spec)
    assert tuple(counted(tmp_path)[1].values()) == sizes
    assert said in caplog.text
    assert bool(said) == bool(caplog.records)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (both("dataset/dataset/train", "dataset/dataset/test"), "Did you mean data.root={root}/dataset/dataset?"),
        (both("a/b/c/train", "a/b/c/test"), "Did you mean data.root={root}/a/b/c?"),
        (both("archive/archive"), "Did you mean data.root={root}/archive/archive?"),
        (both("archive") + " README.md", "Did you mean data.root={root}/archive?"),
        (both("images/train", "images/test") + " labels/a.txt", "Did you mean data.root={root}/images?"),
        (both("split1", "split2"), "split1 would be a class, and has cat/ and dog/ in it"),
        (both("fold_0", "fold_1", "fold_2"), "fold_0 would be a class"),
        (both("dataset") + " sample:2", "type data.root={root}/dataset"),
        (both("setA/train", "setA/test", "setB/train", "setB/test"), "type data.root={root}/setA"),
        ("cat/train:2 cat/test:1 dog/train:2 dog/test:1", "cat would be a class, and has test/ and train/ in it"),
        ("images/train:2 images/val:2 labels/train/a.txt labels/val/a.txt", "images would be a class"),
        ("cats_train:2 dogs_train:2 cats_test:2 dogs_test:2", "have part and class in one"),
        ("trainA:2 trainB:2 testA:2 testB:2", "have part and class in one"),
        ("train/cat:2 train/dog:2 test:4", "held out for the test, type data.root={root}/train"),
        ("Train/cat:2 Train/dog:2 Test:4", "type data.root={root}/Train"),
        ("train:4 test:2 labels.csv", "if labels.csv says which class"),
        ("images:6 labels.csv", "if labels.csv says which class"),
        (" labels.csv a.png", "if labels.csv says which class"),
        (both("train", "test") + " val/", "move {root}/val away to have validation drawn from training"),
        (both("train", "test") + " val/cat:2", "move {root}/val away"),
        (both("train", "test") + " test/owl:2", "owl is in only one of them"),
        (both("train", "test") + " train/owl:2", "owl is in only one of them"),
        ("train/Cat:2 train/Dog:2 test/cat:1 test/dog:1", "differ: Cat, Dog, cat, dog are in only one"),
        ("train/cat+:2 train/dog:2 test/cat:1 test/dog:1", "differ: cat, 'cat ' are in only one"),
        (both("train", "train2", "test"), "train/ and train2/, which both name the train part"),
        (both("train", "train_backup", "test"), "which both name the train part"),
        (both("train"), "to have a fifth held out for the test, type data.root={root}/train"),
        (both("train", "val"), "no test/ (there is val/)"),
        (both("train", "eval"), "no test/ (there is eval/)"),
        (both("test"), "has test/ but no train/"),
        (both("val", "test"), "but no train/"),
        (both("test") + " train/", "train needs a folder for each of at least 2 classes, and has none"),
        (both("train") + " test/cat/ test/dog/", "test/cat has no images"),
        ("cat:3 dog:3 owl/", "owl has no images; put some there or remove the folder"),
        ("cat:3 dog:3 models/x.pt", "models has no images but 1 files of other kinds (models/x.pt)"),
        ("cat:3", "has one, cat"),
        (":6", "and has none"),
        ("", "and has none"),
    ],
    ids=lambda value: value[:40],
)  # fmt: skip
def test_what_is_refused_says_what_to_do(spec, told, tmp_path) -> None:
    tree(tmp_path, spec)
    with pytest.raises(CnnexpError) as error:
        list_images(tmp_path)
    assert told.replace("{root}", str(tmp_path)) in str(error.value)
    assert len(str(error.value).replace(str(tmp_path), "ROOT")) < 300


def test_a_message_has_no_escape_sequence(tmp_path) -> None:
    images(tmp_path / "a\x1b[31mb")
    with pytest.raises(CnnexpError, match=r"has one, a\\x1b\[31mb"):
        list_images(tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tgz", "a.csv", "a"])
def test_a_file_is_no_root(name, tmp_path) -> None:
    (tmp_path / name).touch()
    what = "is an archive; unpack it" if name not in ("a.csv", "a") else "is a file"
    with pytest.raises(CnnexpError, match=f"data.root=.*{name} {what}"):
        ImageDataModule("image_folder", str(tmp_path / name)).setup()

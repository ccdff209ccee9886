"""What becomes of each folder and file of an image folder: one table over how people lay them out."""

import os
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from images import CLASSES, counted, images, part
from PIL import Image

from cnnexp import CnnexpError, ImageDataModule
from cnnexp.data.image_file import read_image
from cnnexp.data.image_folder import list_images
from cnnexp.data.layout import part_of

TRAIN = (
    "train",
    "TRAIN",
    "Training",
    "seg_train",
    "train_set",
    "trainset",
    "TrainImages",
    "train-data",
    "x.train",
    "train2017",
)
VAL = ("val", "Valid", "VALIDATION", "dev", "seg_val", "val_set", "valset", "ValData", "x.valid", "val2017")
TEST = (
    "test",
    "Test",
    "TESTING",
    "seg_test",
    "test_set",
    "testset",
    "TestImages",
    "test-data",
    "x.test",
    "test2017",
)


@pytest.mark.parametrize(
    ("part_name", "named"),
    [(p, n) for p, names in (("train", TRAIN), ("val", VAL), ("test", TEST)) for n in names],
)
def test_a_part_goes_by_any_of_its_usual_names(part_name: str, named: str) -> None:
    for name in (named, named.lower(), named.upper(), named.title()):
        assert part_of(name)[0] == part_name, name


@pytest.mark.parametrize(
    "name",
    [
        "cat",
        "contest",
        "strain",
        "valley",
        "devil",
        "testament",
        "trains station",
        "value",
        "train_test",
        "latest",
        "照片",
    ],
)
def test_other_names_are_no_parts(name: str) -> None:
    assert part_of(name)[0] is None


@pytest.mark.parametrize("stray", [None, "outputs", ".cache", "__MACOSX", "notes", "extra"])
@pytest.mark.parametrize("has_val", [False, True])
@pytest.mark.parametrize("names", list(zip(TRAIN, VAL, TEST, strict=True))[:6], ids=lambda names: names[0])
def test_parts_are_found_and_what_is_none_is_named(names, has_val, stray, tmp_path, caplog) -> None:
    train, val, test = names
    part(tmp_path / train, 3)
    part(tmp_path / test, 2)
    if has_val:
        part(tmp_path / val, 1)
    if stray:
        images(tmp_path / stray / "deep" / "below", 2)
    classes, sizes = counted(tmp_path)
    assert classes == CLASSES
    assert sizes == {"train": 9, "val": 3 * has_val, "test": 6}
    assert (f"no part of the data set: {stray}/" in caplog.text) == bool(stray)


@pytest.mark.parametrize("stray", [None, "outputs", ".cache", "__MACOSX", "lightning_logs", "runs"])
@pytest.mark.parametrize("loose", [False, True])
def test_one_folder_a_class_and_what_is_no_class_is_named(stray, loose, tmp_path, caplog) -> None:
    part(tmp_path)
    if stray:
        images(tmp_path / stray / "cnn-digits" / "r0", 1)
        (tmp_path / stray / "cnn-digits" / "r0" / "result.json").touch()
    if loose:
        images(tmp_path, 2)
    assert counted(tmp_path) == (CLASSES, {"train": 9, "val": 0, "test": 0})
    assert (f"no class of the data set: {stray}/" in caplog.text) == bool(stray)
    assert ("in no class's folder: 0.png, 1.png" in caplog.text) == loose


def _twice(root: Path) -> None:
    for name in ("train", "Training", "test"):
        part(root / name)


def _no_train(root: Path) -> None:
    part(root / "test")
    part(root)


def _only_val(root: Path) -> None:
    part(root / "train")
    part(root / "valid")


def _unlabelled(root: Path) -> None:
    images(root / "train")
    images(root / "test")


def _wrapped(root: Path) -> None:
    part(root / "archive" / "train")
    part(root / "archive" / "test")


def _other_val(root: Path) -> None:
    for name in ("train", "test"):
        part(root / name)
    part(root / "val", classes=("cat", "dog", "yak"))


def _two_classes(root: Path) -> None:
    part(root)
    part(root.parent / "elsewhere", classes=("more",))
    for name in ("cat", "dog"):
        (root / name / "link").symlink_to(root.parent / "elsewhere" / "more")


def _linked_test(root: Path) -> None:
    part(root / "train")
    (root / "test").symlink_to(root / "train")


def _heic_only(root: Path) -> None:
    part(root)
    (root / "emu").mkdir()
    (root / "emu" / "notes.txt").touch()


@pytest.mark.parametrize(
    ("lay_out", "told"),
    [
        (_twice, "Training/ and train/, which both name the train part"),
        (_no_train, "has test/ but no train/"),
        (_only_val, r"has train/ but no test/ \(there is valid/\)"),
        (_unlabelled, "at least 2 classes, and has none"),
        (_wrapped, "Did you mean data.root=.*archive"),
        (_other_val, "train/ and val/ differ: owl, yak"),
        (_two_classes, "dog/link and cat/link are the same folder by a link"),
        (_linked_test, "are the same folder by a link"),
        (_heic_only, "emu has no images but 1 files of other kinds"),
    ],
)
@pytest.mark.parametrize("on_corrupt", ["error", "skip"])
def test_what_cannot_be_told_is_refused_with_a_remedy(lay_out, told, on_corrupt, tmp_path) -> None:
    (tmp_path / "set").mkdir()
    lay_out(tmp_path / "set")
    with pytest.raises(CnnexpError, match=told):
        list_images(tmp_path / "set", on_corrupt)


def test_a_class_may_be_called_as_a_part(tmp_path) -> None:
    part(tmp_path, classes=("bus", "car", "train"))
    assert counted(tmp_path)[0] == ("bus", "car", "train")


def test_archives_that_unpack_into_a_folder_of_their_own_name(tmp_path) -> None:
    part(tmp_path / "seg_train" / "seg_train")
    part(tmp_path / "seg_test" / "seg_test")
    images(tmp_path / "seg_pred" / "seg_pred")
    assert counted(tmp_path) == (CLASSES, {"train": 9, "val": 0, "test": 9})


@pytest.mark.parametrize("where", ["..", "../..", "../dog", "../../set/dog", "."])
def test_a_link_above_or_beside_gives_no_image_two_labels(where, tmp_path, caplog) -> None:
    root = tmp_path / "set"
    part(root)
    (root / "cat" / "link").symlink_to(where)
    assert counted(root) == (CLASSES, {"train": 9, "val": 0, "test": 0})
    assert "lead back into the data set: cat/link" in caplog.text


def test_a_class_that_is_a_link_to_another_is_none(tmp_path, caplog) -> None:
    part(tmp_path)
    (tmp_path / "kitten").symlink_to("cat")
    assert counted(tmp_path)[0] == CLASSES
    assert "lead back into the data set: kitten" in caplog.text


@pytest.mark.parametrize("parts", [("train", "test"), ("", "")])
def test_one_name_in_two_forms_of_unicode_is_one_class(parts, tmp_path) -> None:
    for form, where in zip(("NFC", "NFD"), parts, strict=True):
        part(tmp_path / where, classes=(unicodedata.normalize(form, "café"), "tea"))
    names, sizes = counted(tmp_path)
    assert names == ("café", "tea")
    assert sum(sizes.values()) == (12 if parts[0] else 9)


@pytest.mark.parametrize(
    ("folder", "shown"),
    [
        (b"caf\xff", "caf\\xff"), (b"a\nb", "a\\nb"), (b"a\x1b[31mb", "a\\x1b[31mb"), (b"$x$", "$x$"),
        (b"=cmd()", "=cmd()"), (b"<script>", "<script>"),
        ("照片".encode(), "照片"), ("a\u202eb".encode(), "a\\u202eb"),
    ],
)  # fmt: skip
def test_a_class_is_called_by_text(folder: bytes, shown: str, tmp_path) -> None:
    part(tmp_path, classes=(os.fsdecode(folder), "zebra"))
    assert shown in counted(tmp_path)[0]


def test_what_is_an_image_is_asked_of_its_content(tmp_path, caplog) -> None:
    part(tmp_path)
    (tmp_path / "cat" / "0.png").rename(tmp_path / "cat" / "photo")
    (tmp_path / "cat" / "1.png").rename(tmp_path / "cat" / "b.jpg_large")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "dog" / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 50)
    assert counted(tmp_path)[1]["train"] == 9
    assert "2 files (" in caplog.text
    assert "such as dog/clip.mp4, dog/notes.txt" in caplog.text


def test_heic_is_read_where_its_package_is(tmp_path, monkeypatch, caplog) -> None:
    from cnnexp.data import image_file

    part(tmp_path)
    (tmp_path / "cat" / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 100)
    monkeypatch.setattr(image_file, "_readable", lambda: ("PNG",))
    image_file.image_extensions.cache_clear()
    try:
        assert counted(tmp_path)[1]["train"] == 9
    finally:
        image_file.image_extensions.cache_clear()
    assert "cat/a.HEIC; HEIC files are read once pillow-heif is there: pip install pillow-heif" in caplog.text


def test_heic_is_read(tmp_path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red")).save(tmp_path / "a.heic")
    assert np.abs(read_image(tmp_path / "a.heic", 8).astype(int) - (255, 0, 0)).max() < 10


def test_a_link_to_nothing_is_named_or_left_out(tmp_path, caplog) -> None:
    part(tmp_path)
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(CnnexpError, match=r"gone\.png: it is a link to (.|\n)*data\.on_corrupt=skip"):
        list_images(tmp_path)
    assert counted(tmp_path, on_corrupt="skip")[1]["train"] == 9
    assert "1 files can't be read and are left out: cat/gone.png" in caplog.text


def test_a_photo_of_108_megapixels_is_read(tmp_path) -> None:
    Image.new("RGB", (12000, 9000), (200, 40, 40)).save(tmp_path / "a.jpg")
    assert np.abs(read_image(tmp_path / "a.jpg", 8).astype(int) - (200, 40, 40)).max() < 5


@pytest.mark.parametrize(
    ("kind", "suffix", "top"),
    [("uint16", "png", 89), ("int32", "tiff", 89), ("uint16", "png", 4000), ("int32", "tiff", 10**6)],
)
def test_deep_images_are_scaled_by_the_data_sets_range(kind, suffix, top, tmp_path) -> None:
    for number, name in enumerate(("dark", "light")):
        (tmp_path / name).mkdir()
        for i in range(4):
            level = top * (i + 1 + 4 * number) // 8
            Image.fromarray(np.full((6, 6), level, kind)).save(tmp_path / name / f"{i}.{suffix}")
    data = ImageDataModule("image_folder", str(tmp_path), image_size=6, val_size=2)
    data.setup()
    seen = data._source.train_images[:, 0, 0, 0].tolist()
    assert len(set(seen)) == 8
    assert max(seen) == round(255 * top / data.state_dict()["levels"][1])
    assert max(seen) == 89 if top == 89 else max(seen) > 127
    assert Counter(seen).most_common(1)[0][1] == 1

"""The test set stays the test set: whatever becomes of the files, what was trained on is never tested."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnexp import CnnexpError, ImageDataModule
from cnnexp.data.recorded_split import PARTS, decode, encode, reuse


def image(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (6, 6), dtype=np.uint8)).save(path)


def flat(root: Path, parts: tuple[str, ...] = ("",)) -> Path:
    for place, part in enumerate(parts):
        for label, name in enumerate(("cat", "dog")):
            for number in range(20):
                image(root / part / name / f"{number:02d}.png", 1000 * place + 100 * label + number)
    return root


def module(root: Path, record=None, only_test=False, **options) -> ImageDataModule:
    data = ImageDataModule("image_folder", str(root), image_size=6, **options)
    if record is not None:
        data.use_split(record, only_test)
    return data


def digests(data: ImageDataModule) -> dict[str, list[str]]:
    return {part: [digest for _, digest in entries] for part, entries in data.split_record().items()}


def add(root: Path) -> None:
    for number in range(10):
        image(root / "cat" / f"{number:02d}a.png", 5000 + number)  # between the others, so that a draw would move


def rename(root: Path) -> None:
    files = sorted(root.rglob("*.png"))
    for number, file in enumerate(files):
        file.rename(file.with_name(f"tmp{number}"))
    for number, file in enumerate(random.Random(0).sample(files, len(files))):
        there = sorted(file.parent.glob("tmp*"))[0]
        there.rename(file.with_name(f"new{number}.png"))


def remove(root: Path) -> None:
    (root / "cat" / "03.png").unlink()


def copy(root: Path) -> None:
    for file in sorted(root.rglob("*.png")):
        file.with_name(f"copy-{file.name}").write_bytes(file.read_bytes())


def alter(root: Path) -> None:
    for number in range(0, 20, 2):
        image(root / "dog" / f"{number:02d}.png", 9000 + number)


@pytest.mark.parametrize("change", [add, rename, remove, copy, alter])
@pytest.mark.parametrize("options", [{}, {"train_size": 16}, {"validation": "test"}], ids=str)
def test_what_was_trained_on_is_never_tested_and_what_tests_never_trains(
    change, options, tmp_path, caplog
) -> None:
    root = flat(tmp_path / "set")
    before = digests(module(root, **options))
    record = module(root, **options).split_record()
    change(root)
    data = module(root, record, **options)
    kept, places = data._parts["test"]
    tested = {data._source.digests[kept][i] for i in places.tolist()}
    trained = {data._source.digests["train"][i] for i in data._parts["train"][1].tolist()}
    assert tested <= set(before["test"])
    assert not trained & set(before["test"])
    assert not tested & {*before["train"], *before["val"], *before["rest"]}
    assert ("since the run's split" in caplog.text) == (change is not rename)
    now = digests(data)
    assert all(set(before[part]) <= set(now[part]) for part in PARTS)
    if "train_size" in options:
        assert data.sizes["train"] <= 16
    elif change is add:
        assert data.sizes["train"] == len(before["train"]) + 10


def _to_other_class(root: Path) -> None:
    (root / "cat" / "03.png").rename(root / "dog" / "99.png")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (add, "10 added (cat/00a.png, cat/01a.png, cat/02a.png, …); what is new joins training, never the test"),
        (remove, "1 removed (cat/03.png)"),
        (copy, "added (cat/copy-"),
        (alter, "10 altered ("),
        (_to_other_class, "1 moved to another folder (cat/03.png)"),
    ],
)
def test_each_change_is_said(change, told, tmp_path, caplog) -> None:
    root = flat(tmp_path / "set")
    before = module(root)
    record, fingerprint = before.split_record(), before.fingerprint
    change(root)
    after = module(root)
    after.use_split(record, fingerprint=fingerprint)
    after.setup()
    assert after.fingerprint != fingerprint
    [said] = [line.getMessage() for line in caplog.records if "since" in line.getMessage()]
    assert told in said
    assert said.endswith("never the test") == (change in (add, copy, alter))
    assert "data_fingerprint" not in caplog.text


@pytest.mark.parametrize("kind", ["csv", "arrays"])
def test_other_labels_or_images_than_the_run_began_with_are_told(kind, tmp_path, caplog) -> None:
    def data(label: str) -> ImageDataModule:
        if kind == "csv":
            file = flat(tmp_path) / "a.csv"
            rows = [f"{name}/{n:02}.png,{name if n else label}" for name in ("cat", "dog") for n in range(20)]
            file.write_text("\n".join(["path,label", *rows]))
            return ImageDataModule("csv", str(file), image_size=6)
        file = tmp_path / "a.npz"
        labels = np.arange(40) % 2
        labels[0] = label == "cat"
        images = np.random.default_rng(0).integers(0, 256, (40, 6, 6), np.uint8)
        np.savez(file, images=images, labels=labels)
        return ImageDataModule("arrays", str(file))

    first = data("dog")
    record, fingerprint = first.split_record(), first.fingerprint
    for label in ("dog", "cat"):
        again = data(label)
        again.use_split(record, fingerprint=fingerprint)
        again.setup()
        assert ("aren't those that the run began with" in caplog.text) == (label == "cat")


@pytest.mark.parametrize("parts", [("",), ("train", "test"), ("train", "val", "test")], ids=len)
@pytest.mark.parametrize("options", [{}, {"train_size": 16}, {"validation": "test"}], ids=str)
def test_unchanged_data_are_split_in_the_same_order(parts, options, tmp_path, caplog) -> None:
    root = flat(tmp_path / "set", parts)
    first = module(root, **options)
    again = module(root, first.split_record(), **options)
    assert {p: (k, i.tolist()) for p, (k, i) in again._parts.items()} == {
        p: (k, i.tolist()) for p, (k, i) in first._parts.items()
    }
    assert again.split_record() == first.split_record()
    assert again.fingerprint == first.fingerprint
    assert not caplog.records


def test_a_new_fit_by_another_seed_keeps_the_test(tmp_path) -> None:
    root = flat(tmp_path / "set")
    record = module(root).split_record()
    add(root)
    data = module(root, record, only_test=True, seed=7)
    assert digests(data)["test"] == [digest for _, digest in record["test"]]
    assert sum(data.sizes.values()) == 50


def test_images_of_test_that_were_trained_on_are_not_tested(tmp_path) -> None:
    root = flat(tmp_path / "set", ("train", "test"))
    record = module(root).split_record()
    moved = root / "train" / "cat" / "05.png"
    moved.rename(root / "test" / "cat" / "99.png")
    image(root / "test" / "cat" / "98.png", 7777)
    assert module(root, record).sizes["test"] == 41


def test_other_images_are_tested_as_ever(tmp_path) -> None:
    record = module(flat(tmp_path / "set")).split_record()
    for label, name in enumerate(("cat", "dog")):
        for number in range(10):
            image(tmp_path / "other" / name / f"{number}.png", 4000 + 100 * label + number)
    assert module(tmp_path / "other", record).sizes["test"] == 4


def test_a_test_set_that_is_gone_is_told(tmp_path) -> None:
    root = flat(tmp_path / "set")
    record = module(root).split_record()
    for name, _ in record["test"]:
        (root / name).unlink()
    with pytest.raises(CnnexpError, match="none of the images that the run is tested on"):
        module(root, record).setup()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"\x1f\x8b", encode({"train": []}), encode({part: [["a"]] for part in PARTS}),
        encode({part: [[1, 2]] for part in PARTS}), encode(dict.fromkeys(PARTS, 5)),
        encode({part: [["a", "b"]] for part in PARTS})[:-4],
    ],
    ids=range(8),
)  # fmt: skip
def test_a_record_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(CnnexpError, match="damaged"):
        decode(content)


def test_a_record_comes_back_whole() -> None:
    record = {part: [(f"{part}\udcff\n.png", "00"), ("é", "11")] for part in PARTS}
    assert decode(encode(record)) == record
    assert reuse(record, []).told.startswith("8 removed")


@pytest.mark.parametrize(("where", "told"), [("test/cat", "two parts"), ("train/dog", "two classes")])
def test_identical_images_are_told_dropped_or_refused(where, told, tmp_path, caplog) -> None:
    root = flat(tmp_path / "set", ("train", "val", "test"))
    (root / where / "copy.png").write_bytes((root / "train" / "cat" / "00.png").read_bytes())
    whole = module(root).sizes
    assert f"1 image is in {told}, byte for byte" in caplog.text
    assert "data.duplicates=drop" in caplog.text
    with pytest.raises(CnnexpError, match=told):
        module(root, duplicates="error").setup()
    sizes = module(root, duplicates="drop").sizes
    assert sizes["train"] == whole["train"] - (1 if told == "two parts" else 2)
    assert (sizes["val"], sizes["test"]) == (whole["val"], whole["test"])


def test_identical_names_sizes_and_times_are_other_images(tmp_path) -> None:
    for version, shift in (("v1", 0), ("v2", 500)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(5):
                file = tmp_path / version / name / f"{number}.bmp"
                image(file, shift + 100 * label + number)
                os.utime(file, (0, 0))
    first, second = (module(tmp_path / version, val_size=2) for version in ("v1", "v2"))
    assert first.fingerprint != second.fingerprint
    assert not first.images("test", [0]).equal(second.images("test", [0]))

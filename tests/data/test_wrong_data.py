"""What is wrong with the data is told in a line or two: the command, and the sentence."""

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from serving import idx

QUICK = ["model=ffnn", "model.hidden=[4]", "trainer=debug", "logger=none"]
NOWHERE = "data.mirrors=[file:///nowhere]"
RAW = "MNIST/raw"


def nothing(root: Path) -> None:
    """No folder at all."""


def an_empty_folder(root: Path) -> None:
    root.mkdir()


def a_file(root: Path) -> None:
    root.write_text("not a folder")


def locked(root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    mnist(root)
    root.chmod(0)


def read_only(root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    root.mkdir()
    root.chmod(0o500)


def mnist(root: Path, **changed: bytes) -> None:
    """MNIST in its own format, forty images and ten; but for the files that are given another content."""
    raw = root / RAW
    raw.mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 10)):
        images = np.zeros((count, 28, 28), np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(unpacked(images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(unpacked(np.arange(count, dtype=np.uint8) % 10))
    for name, content in changed.items():
        (raw / name.replace("_", "-")).write_bytes(content)


def unpacked(array: np.ndarray) -> bytes:
    return gzip.decompress(idx(array))


def spoilt(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda root: mnist(root, **{name: content})


def an_npy(root: Path) -> None:
    mnist(root)
    with (root / RAW / "train-images-idx3-ubyte").open("wb") as file:
        np.save(file, np.zeros((40, 28, 28), np.uint8))


def a_folder_for_a_file(root: Path) -> None:
    mnist(root)
    (root / RAW / "t10k-labels-idx1-ubyte").unlink()
    (root / RAW / "t10k-labels-idx1-ubyte").mkdir()


def a_file_for_a_folder(root: Path) -> None:
    root.mkdir()
    (root / "MNIST").write_text("")


def cifar_of_another_kind(root: Path) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps({"data": [], "labels": []}))


def images(root: Path, each: int = 10, parts: tuple[str, ...] = ("",), suffix: str = "png") -> None:
    for part in parts:
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number in range(each):
                Image.new("L", (8, 8), number).save(root / part / name / f"{number}.{suffix}")


def few_images(root: Path) -> None:
    images(root, each=2)


def few_of_a_class(root: Path) -> None:
    images(root, each=40, parts=("train", "test"))
    for file in list((root / "train" / "dog").iterdir())[1:]:
        file.unlink()


def files_of_another_kind(root: Path) -> None:
    images(root)
    for file in (root / "dog").iterdir():
        file.with_suffix(".txt").write_text("a text")
        file.unlink()


def a_text_called_png(root: Path) -> None:
    images(root)
    (root / "cat" / "3.png").write_text("not an image")


def only_texts_called_png(root: Path) -> None:
    images(root)
    for file in (root / "dog").iterdir():
        file.write_text("not an image")


def an_array_called_png(root: Path) -> None:
    images(root)
    with (root / "cat" / "3.png").open("wb") as file:
        np.save(file, np.zeros((8, 8), np.uint8))


def a_tensor_called_jpg(root: Path) -> None:
    images(root, suffix="jpg")
    torch.save(torch.zeros(8, 8), root / "cat" / "3.jpg")


FOLDER, MNIST = "data=image_folder", f"data=mnist {NOWHERE}"

TABLE = [
    # data.root
    (FOLDER, nothing, "there is no folder {root}; data.root=DIR names one with train/<class>/"),
    (FOLDER, an_empty_folder, "needs a folder for each of at least 2 classes, and has none"),
    (FOLDER, a_file, "data.root={root} is a file; give the folder that the data lies in"),
    (FOLDER, locked, "can't read the folder data.root={root}: Permission denied"),
    (MNIST, nothing, "mnist is not in {root} and could not be downloaded"),
    (MNIST, an_empty_folder, "Place train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "),
    (MNIST, a_file, "data.root={root} is a file; give the folder that the data lies in"),
    (MNIST, a_file_for_a_folder, "mnist can't be read from {root} or put there: "),
    (MNIST, locked, "mnist can't be read from {root} or put there: Permission denied"),
    (MNIST, read_only, "mnist can't be read from {root} or put there: Permission denied"),
    (f"data=cifar10 {NOWHERE}", an_empty_folder, "Place cifar-10-python.tar.gz from file:///nowhere/"),
    (f"data=cifar10 {NOWHERE}", cifar_of_another_kind, "cifar10 is not in {root} and could not be downloaded"),
    ("data=mnist data.mirrors=[nowhere]", an_empty_folder, "No scheme supplied"),
    # files in another format
    (MNIST, an_npy, "train-images-idx3-ubyte isn't a whole IDX file"),
    (MNIST, spoilt("train_images_idx3_ubyte", b"a text, and not a short one"), "isn't a whole IDX file"),
    (MNIST, spoilt("train_images_idx3_ubyte", b""), "train-images-idx3-ubyte isn't a whole IDX file"),
    (MNIST, spoilt("t10k_labels_idx1_ubyte", b"\0\0\x0a\1\0\0\0\0"), "t10k-labels-idx1-ubyte isn't a whole"),
    (MNIST, spoilt("t10k_images_idx3_ubyte", unpacked(np.zeros((9, 28), np.uint8))), "isn't a whole IDX file"),
    (MNIST, spoilt("t10k_images_idx3_ubyte", unpacked(np.zeros((9, 28, 28), np.uint8))), "10 labels for 9 ima"),
    (MNIST, spoilt("t10k_labels_idx1_ubyte", unpacked(np.full(10, 10, np.uint8))), "isn't labels of 10 classes"),
    (MNIST, a_folder_for_a_file, "Is a directory"),
    (FOLDER, files_of_another_kind, "the class folder {root}/dog has no images"),
    (FOLDER, a_text_called_png, "can't read the image {root}/cat/3.png: "),
    (FOLDER, an_array_called_png, "type data.on_corrupt=skip: such files are left out then"),
    (FOLDER, a_tensor_called_jpg, "can't read the image {root}/cat/3.jpg: "),
    (f"{FOLDER} data.on_corrupt=skip", only_texts_called_png, "no training image of class dog can be read"),
    (f"{FOLDER} data.on_corrupt=ignore", images, "data.on_corrupt=\"ignore\" is not allowed"),
    # the split
    (FOLDER, few_images, "class 'cat' has 2 image(s): holding out a fifth for the test takes 3 at least"),
    (f"{FOLDER} data.val_size=0.5", few_of_a_class, "class 'dog' has 1 picture to train and to validate on"),
    (f"{FOLDER} data.val_size=16", images, "there are 16 images to take from, so it can be 1 to 15"),
    (f"{FOLDER} data.val_size=15", images, "leaves 1 training images for 2 classes, and none of class"),
    (f"{FOLDER} data.val_size=1", images, "raise val_size"),
    (f"{FOLDER} data.val_size=0.99", images, "lower val_size"),
    (f"{FOLDER} data.val_size=8 data.train_size=9", images, "train_size=9: there are 8 images to take from"),
    (f"{FOLDER} data.val_size=8 data.train_size=1", images, "raise train_size"),
    (f"{FOLDER} data.val_size=8 data.train_size=0.01", images, "raise train_size"),
    ("data=digits data.val_size=5", nothing, "leaves 5 validation images for 10 classes"),
    ("data=digits data.train_size=20000", nothing, "there are 1294 images to take from"),
    # values that can't be
    ("data=digits data.val_size=0", nothing, "data.val_size=0 is not allowed"),
    ("data=digits data.val_size=1.0", nothing, "data.val_size=1.0 is not allowed"),
    ("data=digits data.val_size=null", nothing, "data.val_size=null is not allowed"),
    ("data=digits data.train_size=-3", nothing, "data.train_size=-3 is not allowed"),
    ("data=digits data.train_size=1.5", nothing, "data.train_size=1.5 is not allowed"),
    ("data=digits data.crop_padding=28", nothing, "crop_padding=28 does not fit images of 28x28"),
    (f"{FOLDER} data.image_size=0", images, "data.image_size=0 is not allowed"),
    (f"{MNIST} data.mirrors=nowhere", nothing, "data.mirrors=\"nowhere\" is not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "spoil", "said"),
    TABLE,
    ids=lambda part: getattr(part, "__name__", part) if callable(part) or part.startswith("data=") else "",
)
def test_what_is_wrong_with_the_data_is_told_in_a_line_or_two(
    typed: str,
    spoil: Callable[[Path], None],
    said: str,
    folder: Path,
    cnnexp: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.MNIST, "mirrors", [])
    monkeypatch.setattr(datasets.CIFAR10, "url", "file:///nowhere/either")
    root = folder / "images"
    spoil(root)
    before = (
        {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} if os.access(root, 7) else {}
    )
    try:
        assert cnnexp(*QUICK, *typed.split(), "data.root=images") == 2
        out, printed = capsys.readouterr()
        assert "not downloaded" not in out + printed.partition("cnnexp: ")[0]  # the answer says it
        assert said.format(root=root) in printed
        answer = printed[printed.index("cnnexp: ") :]
        assert len(answer.strip().splitlines()) <= 2
        assert "Traceback" not in printed
        assert {path: path.read_bytes() for path in before} == before
    finally:
        if root.is_dir():
            root.chmod(0o700)

"""Data sets by torchvision's names in their real formats, arrays, tables, and functions of one's own."""

import bz2
import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from serving import FileServer, idx, md5, serve_idx
from torchvision import datasets

from cnnexp import CnnexpError, ImageDataModule, Images
from cnnexp.data.sets import known_shape, load

RNG = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def test_kmnist_comes_by_the_verified_way(tmp_path, server, monkeypatch):
    arrays = serve_idx(datasets.KMNIST, server, monkeypatch)
    images = load("torchvision", tmp_path, name="KMNIST")
    assert torch.equal(images.train_images[:, 0], torch.from_numpy(arrays["train-images-idx3-ubyte.gz"]))
    assert images.class_names[:2] == ("o", "ki")
    assert (tmp_path / "KMNIST" / "raw" / "t10k-labels-idx1-ubyte").is_file()


def test_the_letters_of_emnist_are_upright_and_begin_with_a(tmp_path, server, monkeypatch):
    images, labels = pixels(52, 28, 28), (np.arange(52) % 26 + 1).astype(np.uint8)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for part in ("train", "test"):
            archive.writestr(f"gzip/emnist-letters-{part}-images-idx3-ubyte.gz", idx(images))
            archive.writestr(f"gzip/emnist-letters-{part}-labels-idx1-ubyte.gz", idx(labels))
    (server.folder / "gzip.zip").write_bytes(packed.getvalue())
    monkeypatch.setattr(datasets.EMNIST, "url", f"{server.url}gzip.zip")
    monkeypatch.setattr(datasets.EMNIST, "md5", md5(packed.getvalue()))
    got = load("torchvision", tmp_path, name="EMNIST", split="letters")
    assert got.class_names == tuple("abcdefghijklmnopqrstuvwxyz")
    assert got.train_labels[:3].tolist() == [0, 1, 2]
    assert torch.equal(got.test_images[5, 0], torch.from_numpy(images[5]).T)
    with pytest.raises(CnnexpError, match="EMNIST takes one of byclass, bymerge"):
        load("torchvision", tmp_path, name="EMNIST")
    with pytest.raises(CnnexpError, match="only EMNIST"):
        load("torchvision", tmp_path, name="KMNIST", split="letters")


def test_qmnist_takes_the_class_from_its_longer_labels(tmp_path, server, monkeypatch):
    resources = {}
    for part in ("train", "test"):
        labels = np.zeros((20, 8), ">i4")
        labels[:, 0] = np.arange(20) % 10
        packed = gzip.compress(struct.pack(">HBBII", 0, 12, 2, 20, 8) + labels.tobytes())
        files = {
            f"qmnist-{part}-images-idx3-ubyte.gz": idx(pixels(20, 28, 28)),
            f"qmnist-{part}-l-idx2-int.gz": packed,
        }
        for name, data in files.items():
            (server.folder / name).write_bytes(data)
        resources[part] = [(server.url + name, md5(data)) for name, data in files.items()]
    monkeypatch.setattr(datasets.QMNIST, "resources", resources)
    got = load("torchvision", tmp_path, name="QMNIST")
    assert got.test_labels.tolist() == [*range(10), *range(10)]


def serve_listed(cls, files: dict[str, bytes], server: FileServer, monkeypatch) -> None:
    for name, data in files.items():
        (server.folder / name).write_bytes(data)
    listed = {
        part: [server.url + name, name, md5(files[name])]
        for part, name in zip(("train", "test"), files, strict=True)
    }
    monkeypatch.setattr(cls, "split_list", listed)


def test_usps_and_svhn_are_read_from_their_own_formats(tmp_path, server, monkeypatch):
    lines = "".join(
        f"{number % 10 + 1} " + " ".join(f"{place}:{(-1) ** number}.0" for place in range(1, 257)) + "\n"
        for number in range(20)
    )
    packed = bz2.compress(lines.encode())
    serve_listed(datasets.USPS, {"usps.bz2": packed, "usps.t.bz2": packed}, server, monkeypatch)
    usps = load("torchvision", tmp_path, name="USPS")
    assert usps.train_images.shape == (20, 1, 16, 16)
    assert usps.train_images[:2, 0, 0, 0].tolist() == [255, 0]
    assert usps.class_names == tuple("0123456789")

    house_numbers, files = pixels(32, 32, 3, 20), {}
    for part in ("train", "test"):
        stream = io.BytesIO()
        scipy.io.savemat(stream, {"X": house_numbers, "y": np.arange(20).reshape(-1, 1) % 10 + 1})
        files[f"{part}_32x32.mat"] = stream.getvalue()
    serve_listed(datasets.SVHN, files, server, monkeypatch)
    svhn = load("torchvision", tmp_path, name="SVHN")
    assert torch.equal(svhn.test_images[7], torch.from_numpy(house_numbers[..., 7]).permute(2, 0, 1))
    assert svhn.test_labels[8:11].tolist() == [9, 0, 1]


def jpeg(value: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 16), (value, 0, 255 - value)).save(stream, "JPEG")
    return stream.getvalue()


def serve_flowers(server: FileServer, monkeypatch) -> None:
    """Four flowers that train, two that validate, four that test, of two classes."""
    folder = server.folder / "flowers"
    folder.mkdir()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        for number in range(1, 11):
            member, content = tarfile.TarInfo(f"jpg/image_{number:05d}.jpg"), jpeg(20 * number)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    (folder / "102flowers.tgz").write_bytes(archive.getvalue())
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": np.arange(10) % 2 + 1})
    scipy.io.savemat(folder / "setid.mat", {"trnid": [1, 2, 3, 4], "valid": [5, 6], "tstid": [7, 8, 9, 10]})
    names = {"image": "102flowers.tgz", "label": "imagelabels.mat", "setid": "setid.mat"}
    sums = {key: (name, md5((folder / name).read_bytes())) for key, name in names.items()}
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", sums)
    monkeypatch.setattr(datasets.Flowers102, "_download_url_prefix", f"{server.url}flowers/")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tarfile")
def test_photographs_are_downloaded_and_bring_their_own_validation_part(tmp_path, server, monkeypatch):
    serve_flowers(server, monkeypatch)
    data = ImageDataModule("torchvision", str(tmp_path / "data"), name="Flowers102", image_size=8, val_size=0.5)
    assert data.sizes == {"train": 4, "val": 2, "test": 4}
    assert data.image_shape == (3, 8, 8)
    assert data.class_names == ["pink primrose", "hard-leaved pocket orchid"]
    assert data.labels("val").tolist() == [0, 1]
    assert (data.images("val", [0])[0, 0].float().mean() - 100).abs() < 4
    asked = len(server.requests)
    load("torchvision", tmp_path / "data", name="Flowers102", image_size=12)
    assert len(server.requests) == asked
    assert not [path for path in (tmp_path / "data").iterdir() if path.name.endswith(".part")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tarfile")
def test_a_download_that_fails_leaves_nothing(tmp_path, server, monkeypatch):
    serve_flowers(server, monkeypatch)
    whole = (server.folder / "flowers" / "setid.mat").read_bytes()
    (server.folder / "flowers" / "setid.mat").write_bytes(whole[:-1])
    with pytest.raises(CnnexpError, match=r"Flowers102 is not in .* and could not be downloaded \("):
        load("torchvision", tmp_path / "data", name="Flowers102")
    assert not (tmp_path / "data").exists()
    (server.folder / "flowers" / "setid.mat").write_bytes(whole)
    assert len(load("torchvision", tmp_path / "data", name="Flowers102").train_labels) == 4


def test_the_traffic_signs_are_read_from_their_folder(tmp_path):
    base = tmp_path / "gtsrb" / "GTSRB"
    for sign in range(2):
        (base / "Training" / f"{sign:05d}").mkdir(parents=True)
        for number in range(3):
            Image.fromarray(pixels(15, 20, 3)).save(base / "Training" / f"{sign:05d}" / f"{number}.ppm")
    (base / "Final_Test" / "Images").mkdir(parents=True)
    rows = ["Filename;ClassId"]
    for number in range(4):
        Image.fromarray(pixels(15, 20, 3)).save(base / "Final_Test" / "Images" / f"{number}.ppm")
        rows.append(f"{number}.ppm;{number % 2}")
    (tmp_path / "gtsrb" / "GT-final_test.csv").write_text("\n".join(rows))
    got = load("torchvision", tmp_path, name="GTSRB", image_size=10)
    assert got.train_images.shape == (6, 3, 10, 10)
    assert got.test_labels.tolist() == [0, 1, 0, 1]
    assert got.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("name", "told"), [("KMNITS", "did you mean .*KMNIST"), ("VOCDetection", "classification")]
)
def test_a_name_that_is_no_classification_set_is_answered_in_a_line(name, told, tmp_path):
    with pytest.raises(CnnexpError, match=told) as error:
        load("torchvision", tmp_path, name=name)
    assert len(str(error.value).splitlines()) <= 2


LABELS = np.arange(20) % 4


@pytest.mark.parametrize("shape", [(20, 8, 6), (20, 8, 6, 3), (20, 3, 8, 6), (20, 8, 6, 1), (20, 1, 8, 6)])
def test_arrays_are_recognized_whatever_their_layout(shape, tmp_path):
    images = pixels(*shape)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=LABELS[:, None], x_test=images[:8], y_test=LABELS[:8])
    got = load("arrays", tmp_path / "a.npz", class_names=["a", "b", "c", "d"])
    channels = 3 if 3 in shape else 1
    assert got.train_images.shape == (20, channels, 8, 6)
    place = (4, 0, 5, 2)[: len(shape)] if shape[-1] in (1, 3) or len(shape) == 3 else (4, 0, 5, 2)
    expected = images[4, 5, 2] if len(shape) == 3 else images[4, 5, 2, 0] if shape[-1] in (1, 3) else images[place]
    assert got.train_images[4, 0, 5, 2] == expected
    assert got.train_labels.tolist() == LABELS.tolist()
    assert len(got.test_labels) == 8


def test_a_folder_of_arrays_is_mapped_and_a_fifth_of_it_held_out(tmp_path):
    images = pixels(20, 8, 8)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", LABELS)
    data = ImageDataModule("arrays", str(tmp_path), val_size=4)
    assert data.sizes == {"train": 12, "val": 4, "test": 4}
    seen = torch.cat([data.images(part, range(data.sizes[part])) for part in ("train", "val", "test")])
    assert sorted(map(bytes, seen.numpy())) == sorted(map(bytes, images))
    labels = torch.cat([data.labels(part) for part in ("train", "val", "test")])
    by_image = {bytes(image): label for image, label in zip(images, LABELS, strict=True)}
    assert [by_image[bytes(image)] for image in seen.numpy()] == labels.tolist()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"x": pixels(4, 8, 8)}, "expected are arrays called x_train"),
        ({"images": pixels(4, 8, 8) / 255, "labels": np.arange(4)}, "images is float64; images are uint8"),
        ({"images": pixels(4, 8, 8, 2), "labels": np.arange(4)}, "has the shape"),
        ({"images": pixels(4, 8, 8), "labels": np.arange(3)}, "int64, one for each of 4 images"),
        ({"images": pixels(4, 8, 8), "labels": np.arange(4) / 2}, "labels are whole numbers from 0"),
        ({"images": np.array([{}]), "labels": np.arange(1)}, "can't be read"),
    ],
)
def test_other_arrays_are_refused_in_a_line(content, told, tmp_path):
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(CnnexpError, match=told) as error:
        load("arrays", tmp_path / "a.npz")
    assert len(str(error.value).splitlines()) <= 2
    with pytest.raises(CnnexpError, match="there is no such file"):
        load("arrays", tmp_path / "b.npz")


def table(folder: Path, *rows: str) -> Path:
    for number in range(12):
        Image.new("RGB", (10, 10), (20 * number, 0, 0)).save(folder / f"{number}.png")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    return folder / "table.csv"


def test_a_table_lists_images_with_or_without_splits(tmp_path):
    kinds = ["cat", "dog"]
    rows = [f"{number}.png,{kinds[number % 2]}" for number in range(12)]
    got = load("csv", table(tmp_path, "path,label", *rows), image_size=4)
    assert got.class_names == ("cat", "dog")
    assert got.test_images is None
    assert got.train_images[:, 0, 0, 0].tolist() == [20 * number for number in range(12)]
    parts = ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    split = [f"{row}, {part}" for row, part in zip(rows, reversed(parts), strict=True)]
    data = ImageDataModule("csv", str(table(tmp_path, "path,label,split", *split)), image_size=4)
    assert data.sizes == {"train": 6, "val": 2, "test": 4}
    assert data.images("test", [1])[0, 0, 0, 0] == 20
    assert data.images("val", [0])[0, 0, 0, 0] == 80


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["file,class", "0.png,a"], "header must be path,label"),
        (["path,label", "0.png"], "line 2"),
        (["path,label,split", "0.png,a,dev"], "split of train, val, test"),
        (["path,label", "0.png,a", "gone.png,b"], r"gone.png: No such file"),
        (["path,label", "0.png,a"], "at least 2"),
    ],
)
def test_another_table_is_refused_in_a_line(rows, told, tmp_path):
    with pytest.raises(CnnexpError, match=told) as error:
        load("csv", table(tmp_path, *rows))
    assert len(str(error.value).splitlines()) <= 2


def test_a_function_of_ones_own_is_a_data_set(tmp_path):
    @known_shape((1, 6, 6), 2)
    def halves(root: str, bright: int = 200) -> Images:
        labels = torch.arange(40) % 2
        images = torch.zeros(40, 1, 6, 6, dtype=torch.uint8)
        images[labels == 1, :, :3] = bright
        return Images(images, labels, ["below", "above"])

    data = ImageDataModule(halves, str(tmp_path), bright=100)
    assert data.known_shape == ((1, 6, 6), 2) == (data.image_shape, data.classes)
    assert data.sizes == {"train": 29, "val": 3, "test": 8}
    assert data.images("test", range(8)).max() == 100
    with pytest.raises(CnnexpError, match="halves takes no dark; beside root it takes bright"):
        ImageDataModule(halves, str(tmp_path), dark=1).setup()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((torch.zeros(4, 1, 6, 6), torch.arange(4) % 2, ["a", "b"]), "uint8, 0 to 255; they are torch.float32"),
        ((torch.zeros(4, 6, 6, dtype=torch.uint8), torch.arange(4) % 2, ["a", "b"]), "they are 4×6×6"),
        ((torch.zeros(4, 1, 6, 6, dtype=torch.uint8), torch.arange(4), ["a", "b"]), "lie in 0 to 3"),
        ((np.zeros((4, 1, 6, 6), np.uint8), torch.arange(4) % 2, ["a", "b"]), "they are ndarray"),
    ],
)
def test_images_that_are_not_what_they_should_be_are_refused(arguments, told):
    with pytest.raises(CnnexpError, match=told):
        Images(*arguments)

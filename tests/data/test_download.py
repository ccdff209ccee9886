import gc
import os
import pickle
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from serving import IDX, PICKLED, FileServer, serve_idx, serve_pickled
from torchvision import datasets

from cnnexp import CnnexpError
from cnnexp.data import download, sources
from cnnexp.data.sources import load_source

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tarfile"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


@pytest.fixture(autouse=True)
def sockets_closed() -> Iterator[None]:
    """Collect the responses to failed requests here: torchvision leaves closing them to the collector."""
    yield
    gc.collect()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.mark.parametrize("dataset", IDX)
def test_idx_files_are_downloaded_once(
    dataset: str, tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = serve_idx(IDX[dataset], server, monkeypatch)
    source = load_source(dataset, tmp_path)
    assert torch.equal(source.train_pictures[:, 0], torch.from_numpy(arrays["train-images-idx3-ubyte.gz"]))
    assert torch.equal(source.test_pictures[:, 0], torch.from_numpy(arrays["t10k-images-idx3-ubyte.gz"]))
    assert source.train_labels.tolist() == [number % 10 for number in range(40)]
    assert source.train_pictures.dtype == torch.uint8
    assert len(source.class_names) == 10
    assert source.class_names[0] == {"mnist": "0", "fashion_mnist": "T-shirt/top"}[dataset]
    asked = len(server.requests)
    assert load_source(dataset, tmp_path) is source
    sources._downloaded.cache_clear()
    assert torch.equal(load_source(dataset, tmp_path).train_pictures, source.train_pictures)
    assert len(server.requests) == asked


@pytest.mark.parametrize("dataset", PICKLED)
def test_pickled_batches_are_downloaded_once(
    dataset: str, tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = PICKLED[dataset]
    batches = serve_pickled(cls, server, monkeypatch)
    source = load_source(dataset, tmp_path)
    train = np.concatenate([batches[name] for name, _ in cls.train_list]).reshape(-1, 3, 32, 32)
    assert torch.equal(source.train_pictures, torch.from_numpy(train))
    assert torch.equal(source.test_pictures[0].flatten(), torch.from_numpy(batches[cls.test_list[0][0]][0]))
    assert source.train_labels[:8].tolist() == list(range(8))
    assert source.class_names[3] == "class3"
    asked = len(server.requests)
    sources._downloaded.cache_clear()
    load_source(dataset, tmp_path)
    assert len(server.requests) == asked


def test_mirrors_come_first(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    for cls, serve in ((datasets.MNIST, serve_idx), (datasets.CIFAR10, serve_pickled)):
        serve(cls, server, monkeypatch)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{closed_port}/"])
    monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{closed_port}/cifar-10-python.tar.gz")
    for dataset in ("mnist", "cifar10"):
        mirrors = [f"http://127.0.0.1:{closed_port}", server.url.rstrip("/")]
        assert len(load_source(dataset, tmp_path, mirrors=mirrors).train_labels) == 40


@pytest.mark.parametrize(
    ("dataset", "files", "folder"),
    [
        ("mnist", datasets.MNIST.resources[0][0], "MNIST/raw"),
        ("fashion_mnist", datasets.FashionMNIST.resources[3][0], "FashionMNIST/raw"),
        ("cifar10", "cifar-10-python.tar.gz", ""),
        ("cifar100", "cifar-100-python.tar.gz", ""),
    ],
)
def test_without_a_network_the_error_says_what_to_place_where(
    dataset: str, files: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    url = f"http://127.0.0.1:{closed_port}/"
    cls = (IDX | PICKLED)[dataset]
    if dataset in IDX:
        monkeypatch.setattr(cls, "mirrors", [url])
    else:
        monkeypatch.setattr(cls, "url", url + cls.filename)
    with pytest.raises(CnnexpError) as error:
        load_source(dataset, tmp_path / "none")
    text = str(error.value)
    assert f"{tmp_path / 'none'} and could not be downloaded" in text
    assert "Connection refused" in text
    assert files in text
    assert url in text
    assert f"in the folder {tmp_path / 'none' / folder}," in text
    assert "data=digits needs no download" in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("damage", ["absent", "changed", "cut off"])
@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_a_file_that_is_not_what_it_should_be_is_refused(
    dataset: str, damage: str, tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dataset == "mnist":
        serve_idx(datasets.MNIST, server, monkeypatch)
        file = server.folder / "t10k-images-idx3-ubyte.gz"
    else:
        serve_pickled(datasets.CIFAR10, server, monkeypatch)
        file = server.folder / "cifar-10-python.tar.gz"
    whole = file.read_bytes()
    if damage == "absent":
        file.unlink()
    else:
        file.write_bytes(whole[:-1] + b"x" if damage == "changed" else whole[:50])
    with pytest.raises(CnnexpError, match="404" if damage == "absent" else "corrupted") as error:
        load_source(dataset, tmp_path)
    assert f"Place {file.name}" in str(error.value)  # and none of those that came through
    file.write_bytes(whole)
    assert len(load_source(dataset, tmp_path).train_labels) == 40


def test_files_placed_by_hand_need_no_network(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    serve_idx(datasets.MNIST, server, monkeypatch)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{closed_port}/"])
    (tmp_path / "MNIST").mkdir()
    server.folder.rename(tmp_path / "MNIST" / "raw")
    assert len(load_source("mnist", tmp_path).train_labels) == 40


def test_an_unpacked_file_that_was_cut_off_is_called_damaged(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_idx(datasets.MNIST, server, monkeypatch)
    load_source("mnist", tmp_path)
    sources._downloaded.cache_clear()
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CnnexpError, match=r"damaged(.|\n)*Delete train-images-idx3-ubyte"):
        load_source("mnist", tmp_path)


def test_a_changed_pickle_is_never_loaded(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    serve_pickled(datasets.CIFAR10, server, monkeypatch)
    load_source("cifar10", tmp_path)
    sources._downloaded.cache_clear()
    (tmp_path / datasets.CIFAR10.filename).unlink()
    monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{closed_port}/cifar-10-python.tar.gz")
    trap = tmp_path / "sprung"
    evil = pickle.dumps(_Trap(str(trap)))
    (tmp_path / datasets.CIFAR10.base_folder / "data_batch_1").write_bytes(evil)
    with pytest.raises(CnnexpError):
        load_source("cifar10", tmp_path)
    assert not trap.exists()
    pickle.loads(evil)
    assert trap.exists()


def test_data_that_is_there_is_read_without_writing(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_idx(datasets.MNIST, server, monkeypatch)
    load_source("mnist", tmp_path)
    sources._downloaded.cache_clear()
    for lock in tmp_path.glob(".*"):
        lock.unlink()
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    load_source("mnist", tmp_path)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_a_root_that_cannot_be_written_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CnnexpError, match="mnist is not in"):
        load_source("mnist", tmp_path / "file")


def test_loads_that_start_together_download_once(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_idx(datasets.MNIST, server, monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: download.load("mnist", tmp_path), range(4)))
    assert [len(train) for train, _ in loaded] == [40] * 4
    fetched = [path for path in server.requests if path.endswith("train-images-idx3-ubyte.gz")]
    assert len(fetched) == 2  # once to follow redirects, once for the file


def test_digits_are_served_like_mnist_and_split_alike_every_time() -> None:
    source = load_source("digits")
    assert source.train_pictures.shape[1:] == (1, 28, 28)
    assert (len(source.train_labels), len(source.test_labels)) == (1438, 359)
    assert source.train_pictures.max() == 255
    assert source.class_names == tuple("0123456789")
    shares = torch.bincount(source.test_labels) / torch.bincount(source.train_labels)
    assert ((shares - 0.25).abs() < 0.02).all()


def test_an_unknown_data_set_is_answered_with_those_there_are() -> None:
    with pytest.raises(CnnexpError, match="no data set 'mnits'.*mnist"):
        load_source("mnits")

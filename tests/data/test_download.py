import multiprocessing
import pickle
import shutil
import signal
import socket
from collections import Counter
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pytest
import torch
from serving import (
    IDX,
    PICKLED,
    FileServer,
    Trap,
    described,
    load_elsewhere,
    serve_idx,
    serve_pickled,
    stops_halfway,
)
from torchvision import datasets

from cnnexp import CnnexpError
from cnnexp.data import torchvision_sets
from cnnexp.data.sets import load


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes of their own that have torch imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cnnexp.data.torchvision_sets", "torchvision.datasets", "pytest"])
    return context


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
    source = load(dataset, tmp_path)
    assert torch.equal(source.train_images[:, 0], torch.from_numpy(arrays["train-images-idx3-ubyte.gz"]))
    assert torch.equal(source.test_images[:, 0], torch.from_numpy(arrays["t10k-images-idx3-ubyte.gz"]))
    assert source.train_labels.tolist() == [number % 10 for number in range(40)]
    assert source.train_images.dtype == torch.uint8
    assert len(source.class_names) == 10
    assert source.class_names[0] == {"mnist": "0", "fashion_mnist": "T-shirt/top"}[dataset]
    asked = len(server.requests)
    assert load(dataset, tmp_path) is source
    torchvision_sets._verified.cache_clear()
    assert torch.equal(load(dataset, tmp_path).train_images, source.train_images)
    assert len(server.requests) == asked


@pytest.mark.parametrize("dataset", PICKLED)
def test_pickled_batches_are_downloaded_once(
    dataset: str, tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = PICKLED[dataset]
    batches = serve_pickled(cls, server, monkeypatch)
    source = load(dataset, tmp_path)
    train = np.concatenate([batches[name] for name, _ in cls.train_list]).reshape(-1, 3, 32, 32)
    assert torch.equal(source.train_images, torch.from_numpy(train))
    assert torch.equal(source.test_images[0].flatten(), torch.from_numpy(batches[cls.test_list[0][0]][0]))
    assert source.train_labels[:8].tolist() == list(range(8))
    assert source.class_names[3] == "class3"
    asked = len(server.requests)
    torchvision_sets._verified.cache_clear()
    load(dataset, tmp_path)
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
        assert len(load(dataset, tmp_path, mirrors=mirrors).train_labels) == 40


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
        load(dataset, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(CnnexpError):
        load(dataset, tmp_path / "there")
    assert not list((tmp_path / "there").iterdir())
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
    with pytest.raises(
        CnnexpError, match="404" if damage == "absent" else "isn't the file that is expected"
    ) as error:
        load(dataset, tmp_path)
    assert f"Place {file.name}" in str(error.value)  # and none of those that came through
    file.write_bytes(whole)
    assert len(load(dataset, tmp_path).train_labels) == 40


def test_files_placed_by_hand_need_no_network(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    serve_idx(datasets.MNIST, server, monkeypatch)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{closed_port}/"])
    (tmp_path / "MNIST").mkdir()
    server.folder.rename(tmp_path / "MNIST" / "raw")
    assert len(load("mnist", tmp_path).train_labels) == 40


def test_an_unpacked_file_that_was_cut_off_is_called_damaged(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_idx(datasets.MNIST, server, monkeypatch)
    load("mnist", tmp_path)
    torchvision_sets._verified.cache_clear()
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CnnexpError, match=r"train-images-idx3-ubyte isn't a whole IDX file(.|\n)*Delete it"):
        load("mnist", tmp_path)


def test_a_changed_pickle_is_never_loaded(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    serve_pickled(datasets.CIFAR10, server, monkeypatch)
    load("cifar10", tmp_path)
    torchvision_sets._verified.cache_clear()
    (tmp_path / datasets.CIFAR10.filename).unlink()
    monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{closed_port}/cifar-10-python.tar.gz")
    trap = tmp_path / "sprung"
    evil = pickle.dumps(Trap(str(trap)))
    (tmp_path / datasets.CIFAR10.base_folder / "data_batch_1").write_bytes(evil)
    with pytest.raises(CnnexpError):
        load("cifar10", tmp_path)
    assert not trap.exists()
    pickle.loads(evil)
    assert trap.exists()


def test_data_that_is_there_is_read_without_writing(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_idx(datasets.MNIST, server, monkeypatch)
    load("mnist", tmp_path)
    torchvision_sets._verified.cache_clear()
    assert not list(tmp_path.glob(".*"))
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    load("mnist", tmp_path)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_processes_that_start_together_download_once(
    dataset: str, tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, processes: ForkServerContext
) -> None:
    cls = (IDX | PICKLED)[dataset]
    (serve_idx if dataset in IDX else serve_pickled)(cls, server, monkeypatch)
    started = [
        processes.Process(target=load_elsewhere, args=(dataset, described(cls), tmp_path / "data"))
        for _ in range(8)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [0] * 8
    files = [name for name, _ in cls.resources] if dataset in IDX else [cls.filename]
    assert Counter(server.requests) == {f"/{name}": 1 for name in files}


def test_a_download_that_is_killed_leaves_nothing_that_is_taken_for_whole(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch, processes: ForkServerContext
) -> None:
    serve_pickled(datasets.CIFAR10, server, monkeypatch)
    stopping = FileServer(server.folder, stops_halfway)
    about = {**described(datasets.CIFAR10), "url": stopping.url + datasets.CIFAR10.filename}
    process = processes.Process(target=load_elsewhere, args=("cifar10", about, tmp_path / "data"))
    process.start()
    assert stopping.halfway.wait(60)
    process.kill()
    process.join()
    stopping.stop()
    assert not [path for path in (tmp_path / "data").rglob("*") if not path.name.startswith(".")]
    assert len(load("cifar10", tmp_path / "data").train_labels) == 40


@pytest.mark.parametrize(("function", "call"), [("fsync", 1), ("replace", 1), ("fsync", 2), ("replace", 2)])
@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_a_kill_at_any_instant_is_made_good_by_the_next_process(
    dataset: str,
    function: str,
    call: int,
    tmp_path: Path,
    server: FileServer,
    monkeypatch: pytest.MonkeyPatch,
    processes: ForkServerContext,
) -> None:
    cls = (IDX | PICKLED)[dataset]
    served = (serve_idx if dataset in IDX else serve_pickled)(cls, server, monkeypatch)
    root = tmp_path / "data"
    arguments = (dataset, described(cls), root, (function, call))  # of the archive, then of what is unpacked
    process = processes.Process(target=load_elsewhere, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    for file in root.rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            original = server.folder / file.name
            assert original.read_bytes() == file.read_bytes()  # an archive, whole: nothing else has its name yet
    source = load(dataset, root)
    expected = served["train-images-idx3-ubyte.gz"] if dataset in IDX else served["data_batch_1"]
    assert torch.equal(source.train_images[: len(expected)].flatten(), torch.from_numpy(expected).flatten())
    assert not list(root.rglob("*.part"))


def test_a_mirror_with_a_wrong_file_is_passed_over_for_the_next(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_idx(datasets.MNIST, server, monkeypatch)
    (tmp_path / "mirror").mkdir()
    mirror = FileServer(shutil.copytree(server.folder, tmp_path / "mirror", dirs_exist_ok=True))
    (mirror.folder / "train-labels-idx1-ubyte.gz").write_bytes(b"another file")
    source = load("mnist", tmp_path, mirrors=[mirror.url])
    mirror.stop()
    assert len(source.train_labels) == 40
    assert server.requests == ["/train-labels-idx1-ubyte.gz"]


def test_pickles_of_an_old_format_are_not_opened(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_idx(datasets.MNIST, server, monkeypatch)
    load("mnist", tmp_path)
    torchvision_sets._verified.cache_clear()
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save(Trap(str(tmp_path / "sprung")), processed / name)
    assert len(load("mnist", tmp_path).train_labels) == 40
    assert not (tmp_path / "sprung").exists()
    torch.load(processed / "test.pt", weights_only=False)
    assert (tmp_path / "sprung").exists()


def test_digits_are_served_like_mnist_and_split_alike_every_time() -> None:
    source = load("digits")
    assert source.train_images.shape[1:] == (1, 28, 28)
    assert (len(source.train_labels), len(source.test_labels)) == (1438, 359)
    assert source.train_images.max() == 255
    assert source.class_names == tuple("0123456789")
    shares = torch.bincount(source.test_labels) / torch.bincount(source.train_labels)
    assert ((shares - 0.25).abs() < 0.02).all()


def test_an_unknown_data_set_is_answered_with_those_there_are() -> None:
    with pytest.raises(CnnexpError, match="no data set 'mnits'.*mnist"):
        load("mnits")

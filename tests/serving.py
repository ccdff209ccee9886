"""Small data sets in their real formats, and a server on loopback that hands them out."""

import gzip
import hashlib
import io
import os
import pickle
import signal
import struct
import tarfile
from collections.abc import Callable, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from torchvision import datasets

IDX = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}
PICKLED = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


class _Handler(SimpleHTTPRequestHandler):
    misbehave: "Callable[[_Handler, bytes], None] | None" = None
    stopped: Event

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.misbehave is None:
            return super().do_GET()
        try:
            return self.misbehave(Path(self.translate_path(self.path)).read_bytes())
        except ConnectionError:  # whom we treated badly has left
            return None

    def say(self, content: bytes, length: int | None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


def is_busy(handler: _Handler, content: bytes) -> None:
    handler.send_error(503)


def has_it_not(handler: _Handler, content: bytes) -> None:
    handler.send_error(404)


def says_nothing(handler: _Handler, content: bytes) -> None:
    handler.stopped.wait(60)


def stops_halfway(handler: _Handler, content: bytes) -> None:
    handler.say(content[: len(content) // 2], len(content))
    handler.halfway.set()  # type: ignore[attr-defined]
    handler.stopped.wait(60)


def breaks_off(handler: _Handler, content: bytes) -> None:
    handler.say(content[: len(content) // 2], len(content))


def breaks_off_unannounced(handler: _Handler, content: bytes) -> None:
    handler.say(content[: len(content) // 2], None)


def sends_another_file(handler: _Handler, content: bytes) -> None:
    handler.say(content[:-1] + bytes([content[-1] ^ 1]), len(content))


def sends_a_page(handler: _Handler, content: bytes) -> None:
    handler.say(b"<html>Please log in</html>", None)


def talks_nonsense(handler: _Handler, content: bytes) -> None:
    handler.wfile.write(b"\x1b[2J" * 100)


def redirects_in_a_circle(handler: _Handler, content: bytes) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


MISBEHAVIOUR = {
    is_busy: "503 Server Error",
    has_it_not: "404 Client Error",
    says_nothing: "timed out",
    stops_halfway: "timed out",
    breaks_off: "IncompleteRead",
    breaks_off_unannounced: "isn't the file that is expected",
    sends_another_file: "isn't the file that is expected",
    sends_a_page: "isn't the file that is expected",
    talks_nonsense: "BadStatusLine",
    redirects_in_a_circle: "30 redirects",
}
"""Ways in which a server can fail its clients, and what is said about each."""


class FileServer:
    """Serves a folder on loopback, well or not, and counts what was asked for."""

    def __init__(self, folder: Path, misbehave: Callable[[Any, bytes], None] | None = None) -> None:
        self.folder = folder
        self.requests: list[str] = []
        self.halfway, self._stopped = Event(), Event()
        attributes = {"do_GET": self._counted(_Handler.do_GET), "halfway": self.halfway, "stopped": self._stopped}
        handler = type("Handler", (_Handler,), {**attributes, "misbehave": misbehave})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _counted(self, get):  # type: ignore[no-untyped-def]
        def do_get(handler: SimpleHTTPRequestHandler) -> None:
            self.requests.append(handler.path)
            get(handler)

        return do_get

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def described(cls: type) -> dict[str, Any]:
    """What a data set's class says of its files, so that another process can be told the same."""
    names = ("mirrors", "resources", "url", "tgz_md5", "train_list", "test_list", "meta")
    return {name: getattr(cls, name) for name in names if hasattr(cls, name)}


def load_elsewhere(
    dataset: str, about: Mapping[str, Any], root: Path, instant: tuple[str, int] | None = None
) -> None:
    """Load a data set in a process of its own, which kills itself at the n-th call of a function of ``os``."""
    from cnnexp.data import download

    cls = (IDX | PICKLED)[dataset]
    for name, value in about.items():
        setattr(cls, name, value)
    if instant is not None:
        name, left = instant
        original = getattr(os, name)

        def kill_at_last(*args: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args)

        setattr(os, name, kill_at_last)
    train, _ = download.load(dataset, root)
    assert len(train.targets) == 40


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def serve_idx(
    cls: type, server: FileServer, monkeypatch: pytest.MonkeyPatch, images: int = 40
) -> dict[str, np.ndarray]:
    """Images, a quarter as many for the test, in the files that torchvision expects."""
    rng = np.random.default_rng(0)
    arrays, resources = {}, []
    for part, count in (("train", images), ("t10k", images // 4)):
        arrays[f"{part}-images-idx3-ubyte.gz"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{part}-labels-idx1-ubyte.gz"] = (np.arange(count) % 10).astype(np.uint8)
    for name, array in arrays.items():
        data = idx(array)
        (server.folder / name).write_bytes(data)
        resources.append((name, md5(data)))
    monkeypatch.setattr(cls, "mirrors", [server.url])
    monkeypatch.setattr(cls, "resources", resources)
    return arrays


def serve_pickled(
    cls: type, server: FileServer, monkeypatch: pytest.MonkeyPatch, images: int = 8
) -> dict[str, np.ndarray]:
    """Images in the archive of pickled batches that CIFAR comes in, so many in each batch."""
    rng = np.random.default_rng(0)
    fine = cls is datasets.CIFAR100
    names = [f"class{number}" for number in range(100 if fine else 10)]
    files: dict[str, bytes] = {cls.meta["filename"]: pickle.dumps({cls.meta["key"]: names})}
    batches = {}
    for name, _ in cls.train_list + cls.test_list:
        batches[name] = rng.integers(0, 256, (images, 3072), np.uint8)
        labels = [number % len(names) for number in range(images)]
        files[name] = pickle.dumps({"data": batches[name], "fine_labels" if fine else "labels": labels})
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{cls.base_folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    (server.folder / cls.filename).write_bytes(stream.getvalue())
    monkeypatch.setattr(cls, "url", server.url + cls.filename)
    monkeypatch.setattr(cls, "tgz_md5", md5(stream.getvalue()))
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(cls, part, [[name, md5(files[name])] for name, _ in getattr(cls, part)])
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": md5(files[cls.meta["filename"]])})
    return batches

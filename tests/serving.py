"""Small data sets in their real formats, and a server on loopback that hands them out."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from torchvision import datasets

IDX = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}
PICKLED = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


class FileServer:
    """Serves a folder on loopback and counts what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        handler = type("Handler", (_Handler,), {"do_GET": self._counted(_Handler.do_GET)})
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
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def serve_idx(
    cls: type, server: FileServer, monkeypatch: pytest.MonkeyPatch, pictures: int = 40
) -> dict[str, np.ndarray]:
    """Pictures, a quarter as many for the test, in the files that torchvision expects."""
    rng = np.random.default_rng(0)
    arrays, resources = {}, []
    for part, count in (("train", pictures), ("t10k", pictures // 4)):
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
    cls: type, server: FileServer, monkeypatch: pytest.MonkeyPatch, pictures: int = 8
) -> dict[str, np.ndarray]:
    """Pictures in the archive of pickled batches that CIFAR comes in, so many in each batch."""
    rng = np.random.default_rng(0)
    fine = cls is datasets.CIFAR100
    names = [f"class{number}" for number in range(100 if fine else 10)]
    files: dict[str, bytes] = {cls.meta["filename"]: pickle.dumps({cls.meta["key"]: names})}
    batches = {}
    for name, _ in cls.train_list + cls.test_list:
        batches[name] = rng.integers(0, 256, (pictures, 3072), np.uint8)
        labels = [number % len(names) for number in range(pictures)]
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

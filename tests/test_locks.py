"""A lock is held by one process at a time, on file systems without the kernel's locks too."""

import contextlib
import errno
import fcntl
import os
import signal
import warnings

import pytest

from cnnexp.errors import CnnexpError
from cnnexp.locks import Lock, Taken
from cnnexp.runs import held, read_result, write_json

KINDS = [None, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS]


@pytest.fixture(params=KINDS, ids=["flock", "ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def place(request, tmp_path, monkeypatch):
    """A run's folder on a file system that answers ``flock`` so."""

    def none(*arguments: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    if request.param is not None:
        monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / ".hydra").mkdir()
    return tmp_path


def in_a_process(what, then_die: bool) -> None:
    """Do something in a process of its own, and wait until it is done; kill it, or leave it to the caller."""
    reads, writes = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads
        pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            what()
            os.write(writes, b"x")
            signal.pause()
        os._exit(1)
    os.close(writes)
    assert os.read(reads, 1) == b"x"
    os.close(reads)
    if not then_die:
        return pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return pid


def test_one_holds_it_at_a_time_in_one_process_or_several(place):
    with held(place), pytest.raises(CnnexpError, match="in use"), held(place):
        pass
    with held(place):
        pass
    write_json(place / "result.json", {"status": "running"})
    pid = in_a_process(lambda: Lock(place / ".hydra" / "run.lock").acquire(), then_die=False)
    try:
        assert read_result(place)["status"] == "running"
        with pytest.raises(CnnexpError, match="in use"), held(place):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_process_that_was_killed_holds_nothing(place):
    lock = Lock(place / ".hydra" / "run.lock")
    in_a_process(lock.acquire, then_die=True)
    write_json(place / "result.json", {"status": "running"})
    assert read_result(place)["status"] == "interrupted"
    with held(place):
        assert read_result(place)["status"] == "running"
    assert {path.name for path in (place / ".hydra").iterdir()} == {"run.lock"}


def test_a_process_of_another_machine_is_named_with_the_file_to_remove(tmp_path, monkeypatch):
    def none(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / "a.owner").write_text("elsewhere 12 34")
    with pytest.raises(Taken, match="process 12 on elsewhere.*remove that file"):
        Lock(tmp_path / "a").acquire(wait=False)
    (tmp_path / "a.owner").unlink()
    with Lock(tmp_path / "a"):
        pass


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "thesis").write_text("all of it")
    (tmp_path / ".hydra" / "run.lock").symlink_to(tmp_path / "thesis")
    with pytest.raises(CnnexpError, match="is a link; remove it"), held(tmp_path):
        pass
    assert (tmp_path / "thesis").read_text() == "all of it"

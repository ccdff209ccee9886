import gzip
import io
import logging
import socket
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import (
    MISBEHAVIOUR,
    FileServer,
    has_it_not,
    is_busy,
    md5,
    redirects_in_a_circle,
)

from cnnexp.data.fetch import ROUNDS, Unavailable, WrongContent, fetch, unpack_gzip, unpack_tar, whole

CONTENT = bytes(range(256)) * 40


def get(target: Path, *places: FileServer | str) -> None:
    urls = [f"{place.url}file" if isinstance(place, FileServer) else place for place in places]
    fetch(urls, target, md5(CONTENT), timeout=0.4, pause=0.0)


@pytest.fixture
def server(server: FileServer) -> FileServer:
    (server.folder / "file").write_bytes(CONTENT)
    return server


@pytest.fixture
def bad_server(server: FileServer) -> Iterator[Callable[..., FileServer]]:
    started: list[FileServer] = []

    def start(misbehave: Callable[..., None]) -> FileServer:
        started.append(FileServer(server.folder, misbehave))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.mark.parametrize("misbehave", MISBEHAVIOUR, ids=lambda function: function.__name__)
def test_a_mirror_that_misbehaves_is_passed_over(
    misbehave: Callable[..., None],
    server: FileServer,
    bad_server: Callable[..., FileServer],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = bad_server(misbehave)
    with caplog.at_level(logging.WARNING):
        get(tmp_path / "got", bad, server)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.glob("*got*")] == ["got"]
    assert f"not downloaded from {bad.url}file: " in caplog.text
    assert MISBEHAVIOUR[misbehave] in caplog.text
    assert "\x1b" not in caplog.text


@pytest.mark.parametrize("misbehave", MISBEHAVIOUR, ids=lambda function: function.__name__)
def test_nothing_is_left_behind_where_no_mirror_serves(
    misbehave: Callable[..., None],
    bad_server: Callable[..., FileServer],
    tmp_path: Path,
) -> None:
    bad = bad_server(misbehave)
    with pytest.raises(Unavailable, match=MISBEHAVIOUR[misbehave]):
        get(tmp_path / "got", bad)
    assert not list(tmp_path.glob("*got*"))
    if misbehave is not redirects_in_a_circle:
        final = misbehave is has_it_not or "expected" in MISBEHAVIOUR[misbehave]
        assert len(bad.requests) == (1 if final else ROUNDS)


def test_a_server_that_recovers_is_asked_again(bad_server: Callable[..., FileServer], tmp_path: Path) -> None:
    def is_busy_twice(handler, content):  # type: ignore[no-untyped-def]
        if len(recovering.requests) < 3:
            is_busy(handler, content)
        else:
            handler.say(content, len(content))

    recovering = bad_server(is_busy_twice)
    get(tmp_path / "got", recovering)
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_a_mirror_may_be_a_folder_and_a_senseless_one_is_passed_over(server: FileServer, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
    get(tmp_path / "got", "not a URL", "gopher://127.0.0.1/file", refusing, f"file://{server.folder}/file")
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert not server.requests


def test_a_disk_that_cannot_be_written_is_not_held_against_the_mirrors(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        get(tmp_path / "missing" / "got", server, server)
    assert len(server.requests) <= 1


def test_a_file_gets_its_name_when_it_is_what_it_should_be(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"before")
    with pytest.raises(WrongContent), whole(target, md5(b"this")) as file:
        file.write(b"that")
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]
    with whole(target, md5(b"this")) as file:
        file.write(b"this")
    assert target.read_bytes() == b"this"


def _tar(path: Path, members: list[tarfile.TarInfo], content: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            member.size = len(content) if member.isfile() else 0
            archive.addfile(member, io.BytesIO(content))
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def test_a_tar_writes_what_is_expected_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    members = [
        _member("set/one"),
        _member("set/more"),
        _member("../evil"),
        _member("../../outside/evil"),
        _member(f"{outside}/evil"),
        _member("set/../../../outside/evil"),
        _member("set/link", tarfile.SYMTYPE, str(outside)),
        _member("set/link/evil"),
        _member("set/hard", tarfile.LNKTYPE, "../../../outside/evil"),
        _member("set/pipe", tarfile.FIFOTYPE),
    ]
    archive = _tar(tmp_path / "evil.tar.gz", members, b"content")
    unpack_tar(archive, folder, {"set/one": md5(b"content")})
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert written == ["a", "a/b", "a/b/set", "a/b/set/one", "evil.tar.gz", "outside"]


def test_a_tar_without_the_expected_content_is_refused(tmp_path: Path) -> None:
    archive = _tar(tmp_path / "set.tar.gz", [_member("one"), _member("two", tarfile.SYMTYPE, "one")], b"content")
    for expected in ({"one": md5(b"other")}, {"two": md5(b"content")}, {"three": md5(b"content")}):
        with pytest.raises(WrongContent):
            unpack_tar(archive, tmp_path / "folder", expected)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != archive]


def test_a_gzip_is_written_where_it_was_told_to(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with (
        (inside / "file.gz").open("wb") as stream,
        gzip.GzipFile(f"{tmp_path}/../evil", "wb", fileobj=stream) as packed,
    ):
        packed.write(CONTENT)
    assert b"evil" in (inside / "file.gz").read_bytes()
    unpack_gzip(inside / "file.gz", inside / "file")
    assert (inside / "file").read_bytes() == CONTENT
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "file.gz", "inside"]

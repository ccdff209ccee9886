"""Digests of files: kept between processes, and never those of other bytes."""

import os
import tempfile
import traceback
from pathlib import Path

import pytest

from cnnexp.data import cache_folder as cache_folder_module
from cnnexp.data import digests
from cnnexp.data.cache_folder import cache_folder
from cnnexp.data.digests import digests_of

NAMES = ["a", "b", "c"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files that count as old enough for a change to be seen by its time."""
    monkeypatch.setattr(digests, "_RECENT", -1)
    folder = tmp_path / "set"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(name.encode() * 10)
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read, noted as they really are."""
    names: list[str] = []
    really = digests._digest_or_why_not

    def noted(path: str) -> str:
        names.append(os.path.basename(path))
        return really(path)

    monkeypatch.setattr(digests, "_digest_or_why_not", noted)
    return names


def anew(root: Path) -> list[str]:
    """As another process would."""
    digests._known.clear()
    return digests_of(root, NAMES)


def test_another_process_reads_no_file_again(root: Path, read: list[str]) -> None:
    first = digests_of(root, NAMES)
    assert len(set(first)) == 3
    assert sorted(read) == NAMES
    assert anew(root) == first
    assert len(read) == 3


def _overwrite(file: Path) -> None:
    file.write_bytes(b"x" * 10)


def _replace(file: Path) -> None:
    file.with_name("new").write_bytes(b"x" * 10)
    file.with_name("new").replace(file)


def _swap(file: Path) -> None:
    other = file.with_name("c")
    file.rename(file.with_name("aside"))
    other.rename(file)
    file.with_name("aside").rename(other)


def _link(file: Path) -> None:
    file.unlink()
    file.symlink_to("c")


@pytest.mark.parametrize("change", [_overwrite, _replace, _swap, _link])
def test_other_bytes_are_seen_whatever_their_size_and_time_say(change, root, read) -> None:
    first = anew(root)
    before = (root / "b").stat()
    change(root / "b")
    os.utime(root / "b", ns=(before.st_atime_ns, before.st_mtime_ns))
    second = anew(root)
    assert second[1] != first[1]
    assert second[0] == first[0]
    assert "a" not in read[3:]


@pytest.mark.parametrize("damage", ["removed", "empty", "cut off", "changed", "binary", "a folder"])
def test_what_is_damaged_is_not_believed(damage: str, root: Path, cache: Path, read: list[str]) -> None:
    first = anew(root)
    [file] = (cache / "digests").iterdir()
    whole = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage != "removed":
        changed = whole.replace(first[1].encode(), b"0" * 32)
        file.write_bytes({"empty": b"", "cut off": whole[:-9], "changed": changed, "binary": b"\xff"}[damage])
    assert anew(root) == first
    assert len(read) == 6
    assert damage == "a folder" or file.read_bytes() == whole


@pytest.mark.parametrize("cache_is", ["a file", "in a file", "beyond a link to nothing"])
def test_no_cache_is_needed(cache_is: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = anew(root)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at" / "all")
    there = {"a file": "file", "in a file": "file/inside", "beyond a link to nothing": "link"}[cache_is]
    monkeypatch.setenv("CNNEXP_CACHE", str(tmp_path / there))
    assert anew(root) == first


def test_few_data_sets_are_kept_and_no_more_of_each_than_its_files(root: Path, cache: Path, monkeypatch) -> None:
    monkeypatch.setattr(digests, "_FOLDERS", 2)
    for number in range(4):
        root = root.rename(root.with_name(f"set{number}"))
        anew(root)
    assert len(list((cache / "digests").iterdir())) == 2
    before = max(file.stat().st_size for file in (cache / "digests").iterdir())
    for number in range(5):
        (root / "b").write_text(f"other {number}")
        anew(root)
    assert max(file.stat().st_size for file in (cache / "digests").iterdir()) <= before + 5


def test_a_file_that_was_just_changed_is_read_again(root: Path, read: list[str], monkeypatch) -> None:
    monkeypatch.setattr(digests, "_RECENT", 10**15)  # nanoseconds: eleven days
    assert anew(root) == anew(root)
    assert len(read) == 6


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads
def test_a_user_whom_the_system_does_not_know_has_a_folder_of_their_own(monkeypatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "CNNEXP_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory() as shared:
        os.chmod(shared, 0o777)
        monkeypatch.setattr(tempfile, "tempdir", shared)
        cache_folder_module._temporary.cache_clear()
        if (child := os.fork()) == 0:
            try:
                os.setuid(54321)
                (cache_folder() / "file").touch()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        [made] = Path(shared).iterdir()
        assert made.name == "cnnexp-54321"
        assert (made / "file").stat().st_uid == 54321
        assert made.stat().st_mode & 0o777 == 0o700

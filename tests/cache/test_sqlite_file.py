"""The file of a DiskCache: who may have put it there, and what is read where nothing may be written."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from instructor.cache import DiskCache, sqlite, sqlite_file
from instructor.exceptions import CacheError

CHILDREN = Path(__file__).parent / "children"
NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A file of this user's that is no business of a cache's."""
    path = tmp_path / "other.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (a)")
    connection.commit()
    connection.close()
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("name", ["answers.sqlite3", "answers.sqlite3-wal", "answers.sqlite3-journal", "answers.lock"])
def test_a_link_planted_in_the_directory_is_refused_and_its_target_left_alone(
    tmp_path: Path, foreign: Path, name: str
) -> None:
    before = foreign.read_bytes()
    directory = tmp_path / "cache"
    directory.mkdir()
    (directory / name).symlink_to(foreign)
    with DiskCache(directory) as cache:
        with pytest.raises(CacheError, match=f"{name} is a symbolic link"):
            cache.get("key")
        with pytest.raises(CacheError, match="symbolic link"):
            cache.set("key", "text")
    assert foreign.read_bytes() == before
    assert mode(foreign) == 0o644


def test_a_link_to_nothing_is_refused_and_nothing_is_made_there(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite3").symlink_to(tmp_path / "elsewhere")
    with DiskCache(tmp_path) as cache, pytest.raises(CacheError, match="symbolic link"):
        cache.set("key", "text")
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_that_replaces_the_open_file_is_refused(tmp_path: Path, foreign: Path) -> None:
    with DiskCache(tmp_path / "cache") as cache:
        cache.set("key", "text")
        cache.path.unlink()
        cache.path.symlink_to(foreign)
        with pytest.raises(CacheError, match="symbolic link"):
            cache.set("key", "text")


@pytest.mark.parametrize("name", ["answers.sqlite3", "answers.lock"])
def test_a_pipe_planted_in_the_directory_is_refused_and_hangs_nobody(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with DiskCache(tmp_path) as cache, pytest.raises(CacheError, match="not a regular file"):
        cache.get("key")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
@pytest.mark.parametrize("name", ["answers.sqlite3", "answers.lock"])
def test_another_users_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    os.chown(tmp_path / name, NOBODY, NOBODY)
    with DiskCache(tmp_path) as cache, pytest.raises(CacheError, match="belongs to another user"):
        cache.get("key")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_root_uses_a_directory_that_is_another_users_altogether(tmp_path: Path) -> None:
    """As in a container, where the directory belongs to a user outside."""
    with DiskCache(tmp_path / "cache") as cache:
        cache.set("key", "text")
    for path in (cache.directory, *cache.directory.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    with DiskCache(cache.directory) as again:
        assert again.get("key") == b"text"


def test_directories_are_made_for_the_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with DiskCache(tmp_path / "a" / "b" / "c") as cache:
            cache.set("key", "text")
    finally:
        os.umask(before)
    assert [mode(path) for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c")] == [0o700] * 3


@pytest.mark.parametrize("version", [0, 1, 2, 7])
@pytest.mark.parametrize("table", ["mine", "entry"])
def test_another_applications_database_is_left_alone(tmp_path: Path, table: str, version: int) -> None:
    path = tmp_path / "answers.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE {table} (a)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with DiskCache(tmp_path) as cache, pytest.raises(CacheError, match="another application's"):
        cache.set("key", "text")
    assert not list(tmp_path.glob("*damaged*"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["answers.sqlite3", "answers.sqlite3-wal"])
def test_a_hard_link_is_refused_and_the_file_left_alone(tmp_path: Path, foreign: Path, name: str) -> None:
    before = foreign.read_bytes()
    directory = tmp_path / "cache"
    directory.mkdir()
    (directory / name).hardlink_to(foreign)
    with DiskCache(directory) as cache, pytest.raises(CacheError, match="hard link"):
        cache.set("key", "text")
    assert foreign.read_bytes() == before
    assert mode(foreign) == 0o644


def read_as_nobody(directory: Path) -> list[str]:
    # Its coverage could be written nowhere by that user.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, CHILDREN / "disk_read_only.py", directory, "key"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that others can reach. Those of pytest are closed by each run that begins, also one beside this one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@pytest.mark.parametrize("state", ["closed", "with its WAL", "with the WAL and without its index"])
def test_a_read_only_directory_serves_its_answers_and_says_that_it_stores_nothing(open_path: Path, state: str) -> None:
    with DiskCache(open_path / "cache") as cache:
        cache.set("key", "text")
        if state != "closed":
            shutil.copytree(cache.directory, open_path / "image")  # as of a machine that stopped
    image = cache.directory if state == "closed" else open_path / "image"
    if state.endswith("index"):
        (image / "answers.sqlite3-shm").unlink()
    first, refusal, second, again = read_as_nobody(image)
    assert (first, refusal) == (second, again)
    if state.endswith("index"):
        assert "is empty" in first, "all is in the WAL still, which cannot be read without its index"
    else:
        assert first == "b'text'"
        assert "is read-only: it serves what is stored there, and stores nothing new" in refusal
    names = sorted(path.name for path in image.iterdir() if not path.name.endswith(("-wal", "-shm")))
    assert names == ["answers.lock", "answers.sqlite3"]


def test_a_directory_that_becomes_writable_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DiskCache(tmp_path) as cache:
        cache.set("key", "text")
    monkeypatch.setattr("instructor.cache.sqlite_file._may_write", lambda path: False)
    with DiskCache(tmp_path) as cache:
        assert cache.get("key") == b"text"
        with pytest.raises(CacheError, match="read-only"):
            cache.set("key", "new")
        monkeypatch.undo()
        cache.set("key", "new")
        assert cache.get("key") == b"new"


def test_a_read_only_directory_without_a_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructor.cache.sqlite_file._may_write", lambda path: False)
    with DiskCache(tmp_path) as cache, pytest.raises(CacheError, match="not writable"):
        cache.get("key")


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_read_notices_that_the_file_was_deleted_or_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    with DiskCache(tmp_path / "other") as other:
        other.set("key", "restored")
    now = 1_000_000.0
    monkeypatch.setattr("instructor.cache.sqlite.time.time", lambda: now)
    with DiskCache(tmp_path / "cache") as cache:
        cache.set("key", "text")
        assert cache.get("key") == b"text"
        if change == "deleted":
            shutil.rmtree(cache.directory)
        else:
            for suffix in ("-wal", "-shm"):
                Path(f"{cache.path}{suffix}").unlink()
            other.path.replace(cache.path)
        now += sqlite.CHECK_SECONDS
        assert cache.get("key") == (None if change == "deleted" else b"restored")
        cache.set("key", "new")
        with DiskCache(tmp_path / "cache") as again:
            assert again.get("key") == b"new"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_closes_no_connection_of_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for ever if that thread was reading at the moment of the fork."""
    opened, ended = threading.Event(), threading.Event()
    cache = DiskCache(tmp_path)

    def hold() -> None:
        cache.set("key", "text")
        opened.set()
        ended.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    opened.wait()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file._RawConnection, "close", lambda _: os._exit(7))
        child = os.fork()
        if not child:
            gc.collect()
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ended.set()
    thread.join()
    assert status == 0
    assert cache.get("key") == b"text"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_keeps_nobody_from_opening_the_file(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, timeout=0.1)
    read_end, write_end = os.pipe()
    with cache._file.lock():
        child = os.fork()
        if not child:
            os.close(write_end)
            os.read(read_end, 1)
            os._exit(0)
    try:
        cache.set("key", "text")
    finally:
        os.close(write_end)
        os.waitpid(child, 0)
        os.close(read_end)

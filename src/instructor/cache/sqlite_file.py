"""The file of a `DiskCache`: how it is found, protected, locked and opened."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import cast

from instructor.cache.sqlite_layout import check_version, prepare
from instructor.cache.sqlite_repair import DamagedFileError, error_code, is_damage, salvage, set_aside
from instructor.cache.sqlite_size import file_size
from instructor.cache.sqlite_transaction import RawConnection
from instructor.exceptions import ArgumentError, CacheError
from instructor.locks import after_fork, make_lock

_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
# A lock file that is a link is refused, and one that is a pipe does not hang.
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | _CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

_opening = make_lock()
_locked: set[int] = set()
"""The descriptors of the lock files that this process has open."""

_inherited: list[sqlite3.Connection] = []


class _RawConnection(RawConnection):
    """A connection that the garbage collector may close without a ResourceWarning."""

    process = 0

    def __del__(self) -> None:
        _close(self)


def _close(raw: sqlite3.Connection) -> None:
    """Close a connection, unless it is one of the parent's in a forked child, where the parent's threads leave theirs.

    Closing would wait for ever for a thread that was reading just then, and drop the locks of the parent.
    """
    if isinstance(raw, _RawConnection) and raw.process != os.getpid():
        _inherited.append(raw)
        return
    with contextlib.suppress(sqlite3.Error):
        raw.close()


class Connection:
    """A connection that closes with its last reference. One thread at a time uses it.

    `sqlite3`'s own object is part of a reference cycle, so it would stay open until the garbage collector runs.

    Attributes:
        identity: Which file it opened, as device and number; another file may have the same name by now.
        read_only: Whether the file cannot be written, so that it only serves what is there.
        checked: When the path was last compared with `identity`, in Unix seconds.
    """

    __slots__ = ("checked", "identity", "raw", "read_only")

    def __init__(self, raw: sqlite3.Connection, identity: tuple[int, int] | None, *, read_only: bool) -> None:
        self.raw = raw
        self.identity = identity
        self.read_only = read_only
        self.checked = 0.0

    def __del__(self) -> None:
        _close(self.raw)


class DatabaseFile:
    """The database file, which many threads and processes open.

    `timeout` is how many seconds to wait for another process, to open the file as well as to write to it. After
    `wal_pages` pages SQLite copies its WAL into the main file.
    """

    def __init__(self, path: Path, timeout: float, wal_pages: int) -> None:
        self.path = path
        self._text = os.fspath(path)
        self._timeout = timeout
        self._wal_pages = wal_pages

    def open(self) -> Connection:
        """Open the file, making it if need be. A damaged one is set aside, and its readable entries are kept.

        Raises CacheError if the file belongs to another user, program or version, or isn't a regular file.
        """
        _make_directory(self.path.parent)
        if not self._is_writable():
            return self._open_read_only()
        with self.lock():
            try:
                return self._open_locked()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if not is_damage(error):
                    raise
                return self._replace_locked()

    def replace(self, connection: Connection) -> None:
        """Set a damaged file aside and begin a new one with the entries that can still be read."""
        connection.raw.close()
        with self.lock():
            # Unless another process was faster, and this is its new file already.
            if self.is_current(connection):
                self._replace_locked()

    def is_damaged(self, error: BaseException) -> bool:
        """Whether an SQLite error shows that the file is damaged.

        A flipped bit in the header makes SQLite take a file for read-only that this process may well write.
        """
        refused = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY
        return is_damage(error) or (refused and self._is_writable())

    def is_current(self, connection: Connection) -> bool:
        """Whether the path still leads to the file that was opened: it may have been deleted or replaced."""
        return self._identify() == connection.identity

    @contextlib.contextmanager
    def lock(self) -> Generator[None, None, None]:
        """Keep all other threads and processes from opening, making or renaming the file.

        The lock is on a file of its own: closing a descriptor of the database itself would drop the locks that SQLite
        holds on it in this process (https://sqlite.org/howtocorrupt.html, section 2.2).
        """
        deadline = time.monotonic() + self._timeout
        if not _opening.acquire(timeout=self._timeout):
            raise BlockingIOError(errno.EAGAIN, "another thread is opening the file")
        try:
            path = self.path.with_suffix(".lock")
            _check_file(path)
            descriptor = os.open(path, _LOCK_FLAGS, 0o600)
            try:
                _locked.add(descriptor)
                _retry_locked(lambda: _lock(descriptor), deadline)
                yield
            finally:
                _locked.discard(descriptor)
                _unlock(descriptor)
                os.close(descriptor)
        finally:
            _opening.release()

    def _open_locked(self) -> Connection:
        self._protect()
        if not file_size(self.path) and file_size(Path(f"{self.path}-wal")):
            raise DamagedFileError("it is empty, and SQLite would delete its WAL")
        raw = self._connect(self._text)
        connection = Connection(raw, self._identify(), read_only=False)
        _check_file(self.path)  # again: SQLite follows a link that was put here since
        _retry_locked(lambda: prepare(raw, self._wal_pages), time.monotonic() + self._timeout)
        return connection

    def _open_read_only(self) -> Connection:
        """Open a file in a directory, or on a file system, that this process must not write to."""
        _check_file(self.path, may_belong_to_root=True)
        if not self.path.exists():
            raise PermissionError(errno.EACCES, "there is no file, and the directory is not writable")
        uri = self.path.as_uri()
        try:
            connection = self._try_read_only(f"{uri}?mode=ro")
        except sqlite3.OperationalError as error:
            if error_code(error) not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
                raise
            # The WAL's index can't be made here. `immutable` says that the file never changes: SQLite then opens the main
            # file without it.
            connection = self._try_read_only(f"{uri}?mode=ro&immutable=1")
            wal = Path(f"{self.path}-wal")
            if file_size(wal):
                log(f"The latest entries in {wal} cannot be read: open the cache once where it can be written.")
        return connection

    def _try_read_only(self, uri: str) -> Connection:
        connection = Connection(self._connect(uri, uri=True), self._identify(), read_only=True)
        if check_version(connection.raw) == 0:
            raise CacheError(f"{self.path} is empty, and nothing can be stored in it because it is read-only.")
        return connection

    def _connect(self, path: str, *, uri: bool = False) -> sqlite3.Connection:
        raw = sqlite3.connect(
            path, timeout=self._timeout, isolation_level=None, check_same_thread=False, factory=_RawConnection, uri=uri
        )
        raw.process = os.getpid()
        # A damaged value may not be UTF-8. That is for the entry's checksum to find, not for SQLite to fail with.
        raw.text_factory = bytes
        return raw

    def _replace_locked(self) -> Connection:
        target = set_aside(self.path)
        connection = self._open_locked()
        kept = salvage(target, connection.raw)
        log(f"{self.path} was damaged. It is now {target.name}; {kept} entries were carried over into a new file.")
        return connection

    def _protect(self) -> None:
        """Make sure that only the owner can read the file; SQLite gives its companions the same mode."""
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _CLOEXEC, 0o600))
        for suffix in ("", "-wal", "-shm", "-journal"):
            file = Path(f"{self.path}{suffix}")
            mode = _check_file(file)
            if mode & 0o077:
                with contextlib.suppress(OSError):
                    file.chmod(mode & 0o700)

    def _is_writable(self) -> bool:
        directory = self.path.parent
        return _may_write(directory) and (not self.path.exists() or _may_write(self.path))

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._text)  # noqa: PTH116 - a third of the time of Path.stat, once a second
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _make_directory(path: Path) -> None:
    """Make a directory and its parents, for the owner only. Directories that exist keep their mode."""
    missing: list[Path] = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)


def _may_write(path: Path) -> bool:
    """Whether this process may write to a path; never on a file system that is mounted read-only."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _check_file(path: Path, *, may_belong_to_root: bool = False) -> int:
    """Return the permissions of a file, 0 if there is none.

    In a directory where other users may write, one of them may have put a file here, or a link to another file of this
    user's, which SQLite would then fill with entries.

    Raises CacheError if it is a link of either kind, isn't a regular file, or belongs to another user.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISREG(status.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
        raise CacheError(f"{path} is {what}, so DiskCache does not use it. Delete it, or use another directory.")
    if status.st_nlink > 1:
        raise CacheError(
            f"{path} has another name besides (it is a hard link), under which it may be another program's, so DiskCache "
            "does not use it. Replace it by a copy, delete it, or use another directory."
        )
    if not _is_trusted(status.st_uid, path, may_belong_to_root=may_belong_to_root):
        raise CacheError(
            f"{path} belongs to another user (uid {status.st_uid}), so DiskCache does not use it. "
            "Delete it, or use a directory of your own."
        )
    return stat.S_IMODE(status.st_mode)


def _is_trusted(owner: int, path: Path, *, may_belong_to_root: bool) -> bool:
    if not hasattr(os, "geteuid"):  # pragma: no cover - Windows
        return True
    user = os.geteuid()
    if owner == user or (owner == 0 and may_belong_to_root):
        return True
    # In a container root uses directories that belong to a user outside; whose directory it is may put files there.
    return user == 0 and owner == path.parent.stat().st_uid


def _retry_locked(operation: Callable[[], None], deadline: float) -> None:
    """Repeat an operation while another process holds the lock: switching to WAL does not wait by itself."""
    while True:
        try:
            operation()
        except (sqlite3.OperationalError, BlockingIOError) as error:
            busy = isinstance(error, BlockingIOError) or error_code(error) == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows: only the threads of one process are kept apart
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            return  # a file system without locks
        raise BlockingIOError(error.errno, "another process is opening the file") from error


def _unlock(descriptor: int) -> None:
    """Give a lock up. A child that was forked meanwhile has the descriptor too, and would keep it otherwise."""
    with contextlib.suppress(ImportError, OSError):  # Windows; a file system without locks
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def waiting(raw: sqlite3.Connection, seconds: float, otherwise: float) -> Generator[None, None, None]:
    """Wait no longer than this for another process, instead of as long as otherwise."""
    raw.execute(f"PRAGMA busy_timeout = {math.ceil(seconds * 1000)}")
    try:
        yield
    finally:
        raw.execute(f"PRAGMA busy_timeout = {math.ceil(otherwise * 1000)}")


def check_directory(directory: object) -> str:
    """Check the argument ``directory=``."""
    # A TypeError if it isn't a path; the other if it has a letter that no file system can take.
    with contextlib.suppress(TypeError, UnicodeEncodeError):
        path = os.fspath(cast("str", directory))
        os.fsencode(path)
        if isinstance(path, str) and path.strip() and "\0" not in path:
            return path
    raise ArgumentError(f"DiskCache(directory=) takes a path, such as '.instructor_cache'; got {directory!r}.")


def log(message: str) -> None:
    """Log a warning."""
    import logging

    logging.getLogger("instructor.cache").warning(message)


def _leave_locks() -> None:
    """In a forked child, close the lock files of the parent's threads: they would stay locked for as long as it lives."""
    while _locked:
        with contextlib.suppress(OSError):
            os.close(_locked.pop())


after_fork(_leave_locks)

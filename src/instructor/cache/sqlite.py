"""The store on a local disk: one SQLite database that many processes and threads share.

The database is in WAL mode (https://sqlite.org/wal.html), so that readers and a writer do not wait for each other,
and ``kill -9`` loses at most the entry being written. SQLite keeps a checksum of every WAL frame, and each entry has
one of its own (see `entry`).
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from instructor.cache.store import Ability, BaseCache, check_key, check_text, check_ttl, is_timeout
from instructor.exceptions import CacheError, ConfigurationError

T = TypeVar("T")

FORMAT = 1
"""The layout of the tables, kept in ``PRAGMA user_version``."""

TOUCH_SECONDS = 60.0
"""An entry read again within this time is not marked as used again, so that a read stays a read."""

_LAYOUT = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entry (
    key TEXT PRIMARY KEY,
    value NOT NULL,
    size INTEGER NOT NULL,
    expires REAL,
    used REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS entry_used ON entry (used, size);
CREATE INDEX IF NOT EXISTS entry_expires ON entry (expires) WHERE expires IS NOT NULL;
PRAGMA user_version = {FORMAT};
COMMIT;
"""


class _RawConnection(sqlite3.Connection):
    """SQLite's connection, which does not complain of being closed by the garbage collector."""

    def __del__(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.close()


class Connection:
    """A connection that closes when nobody uses it any more, as when the thread it belongs to ends.

    SQLite's own connection object takes part in a reference cycle, so that it would stay open for longer.

    Attributes:
        raw: The connection.
        inode: Which file it opened, as device and number; a file of the same name may be another one by now.
    """

    __slots__ = ("inode", "raw")

    def __init__(self, raw: sqlite3.Connection, inode: tuple[int, int] | None) -> None:
        self.raw = raw
        self.inode = inode

    def __del__(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.raw.close()


class _Local(threading.local):
    """What belongs to one thread."""

    connection: Connection | None = None


_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class DiskCache(BaseCache):
    """A store that outlives the process, in one file of a directory.

    You would use it for scripts and notebooks that run again and again, and for several processes on one machine.
    Nothing happens on disk before the first answer is looked up. The directory is made with mode 0700, the files
    with 0600; a directory that exists keeps its mode, so that others may see the names and sizes of the files in one
    that lets them, but not read the files. Entries expire by their ttl; when the file is full, those least recently used go.

    A damaged file is set aside as ``answers.sqlite3.damaged-1`` and so on, and a new one is begun. The directory must
    be on a local disk: SQLite's WAL does not work over NFS and its like. Between machines use `RedisCache`.

    Args:
        directory: Where to keep the file. Default ``.instructor_cache`` in the current directory.
        size_limit: Bytes that the file may hold, at least 65,536. Default 1 GiB.
        timeout: Seconds to wait for another process that writes, at most a day. Default 5.0.

    Raises:
        ConfigurationError: An argument is of the wrong type or out of its range.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as directory, DiskCache(directory) as cache:
        ...     cache.set("key", "text", ttl=3600)
        ...     cache.get("key")
        'text'
    """

    abilities: frozenset[Ability] = frozenset({"bounded", "sized"})

    def __init__(
        self,
        directory: str | os.PathLike[str] = ".instructor_cache",
        size_limit: int = 1 << 30,
        timeout: float = 5.0,
    ) -> None:
        self.directory = Path(_check_directory(directory)).absolute()
        self.path = self.directory / "answers.sqlite3"
        self.size_limit = _check_size_limit(size_limit)
        self._patience = _check_timeout(timeout)
        self.timeout = self._patience
        self._local = _Local()
        _stores.add(self)

    def get(self, key: str) -> str | bytes | None:
        """Return the text under `key`, or None if there is none or it has expired.

        Raises:
            CacheError: The file cannot be read; the message says why.
            ConfigurationError: `key` is no str, or has no UTF-8.
        """
        check_key("DiskCache", key)
        row: tuple[str | bytes, float | None, float] | None = self._run(lambda c: c.execute(_SELECT, (key,)).fetchone())
        if row is None:
            return None
        value, expires, used = row
        now = time.time()
        if expires is not None and expires <= now:
            return None
        if now - used > TOUCH_SECONDS:
            self._touch(key, now)
        return value

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        """Store a text under `key`, and make room for it if need be.

        Raises:
            CacheError: It cannot be written; the message says why.
            ConfigurationError: `key` is no str, `value` is no text, or `ttl` no number of whole seconds above 0.
        """
        text, seconds = check_text("DiskCache", value), check_ttl("DiskCache", ttl)
        now = time.time()
        size = len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode())
        if size > self.size_limit // 2:
            _log(f"An entry of {size} bytes is too large for DiskCache with size_limit={self.size_limit}.")
            return
        row = (check_key("DiskCache", key), text, size, None if seconds is None else now + seconds, now)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", row)
                connection.execute(_DELETE_EXPIRED, (now,))
                self._make_room(connection)

        self._leave_stale_file()
        self._run(write)

    def delete(self, key: str) -> bool:
        """Remove the entry under `key`; return whether it was there."""
        check_key("DiskCache", key)
        self._leave_stale_file()
        return self._run(lambda connection: connection.execute("DELETE FROM entry WHERE key = ?", (key,)).rowcount > 0)

    def clear(self) -> None:
        """Remove all entries, and give their space back."""

        def remove(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM entry")
            # A page is freed with each step of this statement, and `execute` makes one step only.
            connection.executescript("PRAGMA incremental_vacuum;")

        self._leave_stale_file()
        self._run(remove)

    def size(self) -> tuple[int, int]:
        """Return the number of entries, and the bytes of text in them."""
        query = "SELECT count(*), coalesce(sum(size), 0) FROM entry WHERE expires IS NULL OR expires > ?"
        row: tuple[int, int] = self._run(lambda connection: connection.execute(query, (time.time(),)).fetchone())
        return row

    def close(self) -> None:
        """Close the file in all threads. Using the store again opens it again."""
        # A connection closes when its last user lets go of it: this dict, or a thread that is reading just now.
        self._local = _Local()

    def _run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Perform an operation. A damaged file is set aside, and it is tried once more."""
        try:
            connection = self._connect()
            try:
                return operation(connection.raw)
            except sqlite3.Error as error:
                if not self._recover(connection, error):
                    raise
            again = self._connect()
            return operation(again.raw)
        except (sqlite3.Error, OSError) as error:
            raise CacheError(self._describe(error)) from error

    def _connect(self) -> Connection:
        connection = self._local.connection
        if connection is None:
            connection = self._local.connection = self._open()
        return connection

    def _open(self) -> Connection:
        """Open the file for this thread, making it if need be."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + self._patience
        with self._lock_files(deadline):
            try:
                return self._open_locked(deadline)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._set_aside()
            return self._open_locked(deadline)

    def _open_locked(self, deadline: float) -> Connection:
        _create_file(self.path)
        raw = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False, factory=_RawConnection
        )
        connection = Connection(raw, _inode(self.path))
        _retry_locked(lambda: _prepare(raw), deadline)
        _check_format(raw, self.path)
        return connection

    def _recover(self, connection: Connection, error: sqlite3.Error) -> bool:
        """Make a second try possible, if the file is damaged."""
        if not _is_damage(error):
            return False
        self._local.connection = None
        connection.raw.close()
        with self._lock_files(time.monotonic() + self._patience):
            # Unless another process was faster, and this is its new file already.
            if _inode(self.path) == connection.inode:
                self._set_aside()
        return True

    def _set_aside(self) -> None:
        """Rename the damaged file out of the way.

        Its WAL goes first: left behind, it would be applied to the new file.
        """
        number = 1
        while (target := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{target}{suffix}")
        _log(f"{self.path} was damaged. It is now {target.name}, and a new one is begun.")

    def _leave_stale_file(self) -> None:
        """Let go of a file that was deleted or replaced, so that what is written now is found later."""
        connection = self._local.connection
        if connection is not None and connection.inode != _inode(self.path):
            self._local.connection = None

    @contextlib.contextmanager
    def _lock_files(self, deadline: float) -> Generator[None, None, None]:
        """Be the only one, among all threads and processes, that opens, makes or renames the file.

        The lock is on a file of its own. Opening and closing the database itself by hand would drop the locks
        that SQLite holds on it in this process (https://sqlite.org/howtocorrupt.html, section 2.2).
        """
        if not _opening.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise BlockingIOError(errno.EAGAIN, "another thread is opening the file")
        try:
            descriptor = os.open(self.directory / "answers.lock", os.O_RDWR | os.O_CREAT | _CLOEXEC, 0o600)
            try:
                _retry_locked(lambda: _lock(descriptor), deadline)
                yield
            finally:
                os.close(descriptor)
        finally:
            _opening.release()

    def _touch(self, key: str, now: float) -> None:
        """Mark an entry as used, unless that would mean to wait: a read must not."""
        owner = self._connect()
        connection = owner.raw
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("UPDATE entry SET used = ? WHERE key = ?", (now, key))
            finally:
                connection.execute(f"PRAGMA busy_timeout = {math.ceil(self._patience * 1000)}")

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Remove the least recently used entries while the file is too full; more at a time the longer it takes."""
        number = 1
        while self._used_bytes(connection) > self.size_limit:
            if connection.execute(_DELETE_OLDEST, (number,)).rowcount < 1:
                break
            number = min(2 * number, 256)

    def _used_bytes(self, connection: sqlite3.Connection) -> int:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _describe(self, error: Exception) -> str:
        advice = _ADVICE.get(_code(error), "Check that the directory exists, is writable and is on a local disk.")
        return f"DiskCache at {self.path} failed: {error}. {advice}"

    def _forget_parent(self) -> None:
        """After a fork: a connection of the parent must neither be used nor closed in the child."""
        _inherited.append(self._local)
        self._local = _Local()

    def __len__(self) -> int:
        return self.size()[0]

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DiskCache(directory={str(self.directory)!r}, size_limit={self.size_limit})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self.directory), self.size_limit, self._patience)


_SELECT = "SELECT value, expires, used FROM entry WHERE key = ?"
_DELETE_EXPIRED = "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry WHERE expires <= ? LIMIT 16)"
_DELETE_OLDEST = "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry ORDER BY used LIMIT ?)"
_ADVICE = {
    sqlite3.SQLITE_BUSY: "Another process held the file for too long; raise timeout=.",
    sqlite3.SQLITE_FULL: "The disk is full. Free some space, or lower size_limit=.",
    sqlite3.SQLITE_READONLY: "The file may not be written by this user.",
    sqlite3.SQLITE_PERM: "The file may not be used by this user.",
}
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_LEAST_SIZE = 1 << 16


def _prepare(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    # In WAL mode this level cannot damage the file when power is lost; it may lose the last entries.
    connection.execute("PRAGMA synchronous = NORMAL")
    if version == 0:
        connection.executescript(_LAYOUT)


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        raise CacheError(
            f"{path} has layout {version}; this version reads layout {FORMAT}. Give DiskCache another directory, "
            "or delete the file."
        )


def _retry_locked(operation: Callable[[], None], deadline: float) -> None:
    """Repeat until nobody else holds the lock: switching to WAL does not wait by itself."""
    while True:
        try:
            operation()
        except (sqlite3.OperationalError, BlockingIOError) as error:
            busy = isinstance(error, BlockingIOError) or _code(error) == sqlite3.SQLITE_BUSY
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


def _create_file(path: Path) -> None:
    """Make sure that only the owner can read the file; SQLite gives its companions the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _CLOEXEC, 0o600))
    except FileExistsError:
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            with contextlib.suppress(OSError):
                if stat.S_IMODE(file.stat().st_mode) & 0o077:
                    file.chmod(0o600)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_damage(error: sqlite3.Error) -> bool:
    return _code(error) in _DAMAGED


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for an error that is not SQLite's own."""
    try:
        return int(error.sqlite_errorcode) & 0xFF if isinstance(error, sqlite3.Error) else 0
    except AttributeError:
        return 0


def _check_directory(directory: Any) -> str:
    path = _spell(directory)
    if path is None or not path.strip() or "\0" in path:
        raise ConfigurationError(f"DiskCache(directory=) takes a path, such as '.instructor_cache'; got {directory!r}.")
    return path


def _spell(directory: Any) -> str | None:
    """Write a path as text; None if it is none, or has a letter that no file system can take."""
    try:
        path = cast("object", os.fspath(directory))
        return path if isinstance(path, str) and os.fsencode(path) else None
    except (TypeError, UnicodeEncodeError):
        return None


def _check_size_limit(size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or size < _LEAST_SIZE:
        raise ConfigurationError(f"DiskCache(size_limit=) takes an int of at least {_LEAST_SIZE:,}; got {size!r}.")
    return size


def _check_timeout(timeout: Any) -> float:
    if not is_timeout(timeout):
        raise ConfigurationError(f"DiskCache(timeout=) takes seconds above 0, at most a day; got {timeout!r}.")
    return float(timeout)


def _log(message: str) -> None:
    import logging

    logging.getLogger("instructor.cache").warning(message)


_stores: weakref.WeakSet[DiskCache] = weakref.WeakSet()
_inherited: list[_Local] = []
_opening = threading.Lock()


def _reset_all() -> None:
    global _opening  # noqa: PLW0603 - the one lock of this module
    _opening = threading.Lock()
    for store in list(_stores):
        # The class and its fork handler are one thing.
        store._forget_parent()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)

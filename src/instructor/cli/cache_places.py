"""The places that ``instructor cache`` works on: a directory, a cassette, or a server by its URL."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from instructor.cache.cassette import CassetteCache
from instructor.cache.cassette_file import read_lines
from instructor.cache.cassette_lines import Request
from instructor.cache.entry import Entry, decode_entry
from instructor.cache.listing import Listed
from instructor.cache.rows import ROW, read_request
from instructor.cache.store import BaseCache, Text, listing
from instructor.exceptions import CacheError, ConfigurationError

PREFIX = "instructor:"
"""What the keys of a `RedisCache` begin with, unless its program says otherwise."""

DATABASE = "answers.sqlite3"
_KINDS = "Name a directory of a DiskCache, a cassette (.jsonl), or a URL such as redis://localhost:6379/0."


@dataclass(frozen=True, slots=True)
class Place:
    """A store that was opened for a command.

    Attributes:
        store: The store.
        shown: How it is named to the user: a URL without its password.
    """

    store: BaseCache
    shown: str

    def disk_bytes(self) -> int | None:
        """What its files take up; None where it has none."""
        path = getattr(self.store, "path", None)
        if not isinstance(path, Path):
            return None
        files = [Path(f"{path}{suffix}") for suffix in ("", "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())

    def entries(self) -> Iterator[Listed]:
        """All that is stored."""
        for batch in listing(self.store).list_entries():
            yield from batch

    def answers(self) -> Iterator[Listed]:
        """What is stored, without the rows that stand beside answers."""
        return (listed for listed in self.entries() if listed.origin.provider != ROW)

    def requests(self) -> Mapping[str, Request]:
        """The recorded calls by their keys: a cassette has them all, another store those of ``explain_misses``."""
        if isinstance(self.store, CassetteCache):
            return {key: _without_key(line.request) for key, line in read_lines(self.store.path).items()}
        listed = list(self.entries())
        if all(one.origin.provider != ROW for one in listed):
            return {}
        asked = ((one.key, read_request(self.store, one.key)) for one in listed if one.origin.provider != ROW)
        return {key: request for key, request in asked if request is not None}

    def request(self, key: str) -> Mapping[str, object] | None:
        """The recorded call of one key."""
        is_cassette = isinstance(self.store, CassetteCache)
        return self.requests().get(key) if is_cassette else read_request(self.store, key)

    def read(self, key: str) -> bytes | None:
        """Return the text under a key, without counting that as a use of it."""
        found = self.store.peek(key)
        if found is None or isinstance(found, Text):
            return found.encode() if isinstance(found, str) else found if found is None else bytes(found)
        raise ConfigurationError(f"{self.shown} is asynchronous only.")

    def read_entry(self, key: str) -> Entry | None:
        """Return the entry under a key; None if there is nothing, and `CacheEntryError` if it can't be read."""
        found = self.read(key)
        return None if found is None else decode_entry(found, key)


def _without_key(request: Request) -> Request:
    """A line's request, without the key that stands there where the call itself isn't known."""
    return {name: value for name, value in request.items() if name != "key"}


_FILES = frozenset({".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".gz", ".zip"})
"""How the names of files end that are no cassettes."""


@contextmanager
def open_place(text: str, prefix: str = PREFIX, *, create: bool = False, writes: bool = False) -> Generator[Place]:
    """Open what a user named. Where it isn't there, it is made if `create` says so, and is an error if not.

    `writes` says that answers will be stored in it, for which nothing that is there has to go.

    The errors of servers' own packages become errors of this one, in which no password is shown.
    """
    with _name_errors(text):
        store = _open(text, prefix, create=create, writes=writes)
        yield Place(store, show_place(text))
        close: Callable[[], object] | None = getattr(store, "close", None)
        if close is not None:
            close()


def open_store(text: str, prefix: str = PREFIX, *, create: bool = False) -> BaseCache:
    """Open the store of a place and try it, for a caller that keeps it open."""
    with _name_errors(text):
        store = _open(text, prefix, create=create)
        store.get("")
        return store


@contextmanager
def _name_errors(text: str) -> Generator[None]:
    """Make errors of this package of those that servers' own packages and the system raise for a place."""
    shown = show_place(text)
    try:
        yield
    except OSError as error:
        raise CacheError(f"{shown} can't be used: {error.strerror or error}.") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _FOREIGN:
            raise
        reason = " ".join(hide_secrets(str(error), text).split())
        raise CacheError(f"{shown} can't be used: {type(error).__name__}: {reason}") from None


_FOREIGN = frozenset({"redis", "sqlalchemy", "fsspec", "botocore", "aiobotocore", "gcsfs", "google", "azure", "adlfs"})
"""Packages whose errors are about a place, and not about this program."""


def is_cassette(text: str) -> bool:
    """Whether a place is a file of lines."""
    return "://" not in text and Path(text).suffix == ".jsonl"


def show_place(text: str) -> str:
    """Name a place without the password of its URL.

    Example:
        >>> show_place("redis://ann:secret@localhost:6379/0?password=secret")
        'redis://localhost:6379/0'
    """
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def hide_secrets(message: str, url: str) -> str:
    """Take the password and the query of a URL out of a message.

    Example:
        >>> hide_secrets("Connecting with tiger/2 failed.", "redis://ann:tiger%2F2@localhost")
        'Connecting with *** failed.'
    """
    rest = url.partition("://")[2]
    login = rest.rpartition("@")[0]
    password = login.partition(":")[2]
    for secret in (url, login, password, unquote(password), rest.partition("?")[2]):
        message = message.replace(secret, "***") if secret else message
    return message


def _open(text: str, prefix: str, *, create: bool, writes: bool = False) -> BaseCache:
    scheme = text.partition("://")[0] if "://" in text else ""
    kind = scheme.partition("+")[0]  # of postgresql+psycopg://
    if kind == "sqlite" and not create:
        _require_file(text)
    if kind in _SCHEMES:
        return _SCHEMES[kind](text, prefix)
    if scheme:
        raise ConfigurationError(f"{show_place(text)}: there is no store for {scheme}:// URLs. {_KINDS}")
    path = Path(text)
    if path.name == DATABASE:
        path = path.parent
    if is_cassette(text) or path.is_file():
        return _open_cassette(path, create=create)
    return _open_directory(path, create=create, writes=writes or create)


def _require_file(url: str) -> None:
    """Refuse a file that isn't there: SQLite would make one of a mistyped name."""
    name = url.partition(":///")[2].partition("?")[0]
    if name and not Path(unquote(name)).exists():
        raise ConfigurationError(f"{show_place(url)}: there is no such file. {_KINDS}")


def _open_redis(url: str, prefix: str) -> BaseCache:
    from instructor.cache.redis import RedisCache

    store = RedisCache(url=url, prefix=prefix)
    store.get("")  # a server that can't be reached is an error now, and not in the middle of a table
    return store


def _open_files(url: str, _: str) -> BaseCache:
    from instructor.cache.objects import FileSystemCache

    return FileSystemCache(url)


def _open_table(url: str, _: str) -> BaseCache:
    from instructor.cache.sql import SqlCache

    return SqlCache(url)


_SCHEMES: Final[dict[str, Callable[[str, str], BaseCache]]] = {
    **dict.fromkeys(("redis", "rediss", "unix"), _open_redis),
    **dict.fromkeys(("s3", "gs", "gcs", "az", "abfs", "abfss", "sftp", "file", "memory"), _open_files),
    **dict.fromkeys(("postgresql", "mysql", "mariadb", "sqlite", "oracle", "mssql"), _open_table),
}
"""Who opens the URLs of each scheme."""


def _open_cassette(path: Path, *, create: bool) -> BaseCache:
    if not path.exists() and not create:
        raise ConfigurationError(f"There is no file {path}. {_KINDS}")
    if path.exists():
        with path.open("rb") as file:
            if file.read(1) not in (b"", b"{"):
                raise ConfigurationError(f"{path} isn't a cassette: its first line isn't JSON. {_KINDS}")
    return CassetteCache(path)


def check_directory(path: Path) -> None:
    """Refuse to make a directory whose name says that its user wants a file."""
    if path.suffix.lower() in _FILES and not path.exists():
        raise ConfigurationError(
            f"{path} would be the directory of a DiskCache. For a file write {path.with_suffix('.jsonl')}; for a "
            f"directory leave {path.suffix} out."
        )


def _open_directory(path: Path, *, create: bool, writes: bool) -> BaseCache:
    from instructor.cache.sqlite import DiskCache

    if not create and not (path / DATABASE).exists():
        raise ConfigurationError(f"There is no cache in {path}: it has no {DATABASE}. {_KINDS}")
    check_directory(path)
    # For who only looks, the least limit that there is: of those that processes set, the largest holds for a day. For who
    # writes, none: the limit of the program that filled the place may be forgotten, and answers would go for a smaller one.
    return DiskCache(path, size_limit=None if writes else 1 << 18)

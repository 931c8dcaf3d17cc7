"""The store in a table of a database that SQLAlchemy knows: PostgreSQL, MySQL, MariaDB, SQLite and others."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from instructor.cache.listing import FIRST_BYTES, Listed, list_text
from instructor.cache.store import Ability, BaseCache, check_key, check_text, check_timeout, check_ttl
from instructor.describing import refuse
from instructor.exceptions import ArgumentError, ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_CONNECTIONS = 10
_BATCH = 1000
_TRIES = 5
"""How often a write is tried that met a deadlock each time."""

_DEADLOCKS = {1213, "40P01", "40001"}
"""What MySQL calls a deadlock, and what PostgreSQL and other databases do."""

_SWEEP_EVERY = 100
"""After so many writes, what has expired is removed."""


class SqlCache(BaseCache):
    """A store in a table of your database, through SQLAlchemy: for teams that have a server and want no other one.

    Any number of machines may use it at once. The table is made at the first use. Nothing is evicted; what has expired is
    removed now and then. On one machine use `DiskCache`, which knows more of SQLite.

    It needs ``pip install "instructor[sql]"``, and the driver of the database, such as psycopg or PyMySQL.

    Args:
        url: The database, such as ``"postgresql+psycopg://user@host/name"``; or an ``Engine`` of your own.
        table: The table's name: letters, digits and underscores. Default ``"instructor_answers"``.
        timeout: Seconds for one operation, at most a day. Default 5.0.
        **options: Further arguments of ``sqlalchemy.create_engine``.

    Raises:
        ArgumentError: An argument is wrong.
        ConfigurationError: A package is missing.

    Example:
        >>> cache = SqlCache("sqlite:///answers.db")
        >>> cache.set("key", "text", ttl=3600)
        >>> cache.get("key")
        b'text'
    """

    abilities: frozenset[Ability] = frozenset({"sized", "listing", "deleting"})
    concurrency = _CONNECTIONS

    def __init__(
        self, url: str | Engine, table: str = "instructor_answers", timeout: float = 5.0, **options: Any
    ) -> None:
        if not isinstance(table, str) or not _TABLE.fullmatch(table):
            raise refuse("SqlCache(table=)", table, "a name of letters, digits and underscores")
        self.timeout = check_timeout("SqlCache", timeout)
        self._arguments = (url, table, timeout, options)
        self._engine = _make_engine(url, options)
        self._process = os.getpid()
        self._table = _describe_table(table)
        self._is_made = False
        self._writes = 0

    def get(self, key: str) -> bytes | None:
        """Return the text under `key` as UTF-8, or None if there is none or it has expired."""
        from sqlalchemy import select

        columns = self._table.c
        statement = select(columns.value).where(columns.name == _name_of(key), self._is_fresh())
        with self._begin() as connection:
            row = connection.execute(statement).first()
        return None if row is None else bytes(row[0])

    def set(self, key: str, value: str | bytes, ttl: int | None = None) -> None:
        """Store a text under `key`."""
        from sqlalchemy import insert, update
        from sqlalchemy.exc import IntegrityError

        text, seconds = check_text("SqlCache", value), check_ttl("SqlCache", ttl)
        data = text if isinstance(text, bytes) else text.encode()
        expires = None if seconds is None else time.time() + seconds
        name = _name_of(key)
        row = {"stored_key": key.encode(), "value": data, "size": len(data), "expires": expires}
        change = update(self._table).where(self._table.c.name == name).values(**row)
        # Without an upsert, of which each database has its own. Another writer may come between the first two.
        for statement in (change, insert(self._table).values(name=name, **row), change):
            try:
                if self._change(statement):
                    break
            except IntegrityError:
                continue
        self._sweep()

    def delete(self, key: str) -> bool:
        """Remove the entry under `key`; return whether it was there."""
        return bool(self.delete_many([key]))

    def delete_many(self, keys: Sequence[str]) -> int:
        """Remove the entries under `keys`; return how many of them were there."""
        from sqlalchemy import delete

        names = [_name_of(key) for key in dict.fromkeys(keys)]
        batches = (names[start : start + _BATCH // 2] for start in range(0, len(names), _BATCH // 2))
        return sum(self._change(delete(self._table).where(self._table.c.name.in_(some))) for some in batches)

    def clear(self) -> int:
        """Remove all entries; return how many there were."""
        from sqlalchemy import delete

        return self._change(delete(self._table))

    def size(self) -> tuple[int, int]:
        """Return the number of entries, and the bytes of text in them."""
        from sqlalchemy import func, select

        with self._begin() as connection:
            columns = func.count(), func.coalesce(func.sum(self._table.c.size), 0)
            count, size = connection.execute(select(*columns).where(self._is_fresh())).one()
        return int(count), int(size)

    def list_entries(self) -> Iterator[list[Listed]]:
        """Describe all entries that have not expired, in batches."""
        from sqlalchemy import func, select

        columns, last = self._table.c, ""
        start = func.substr(columns.value, 1, FIRST_BYTES)
        what = select(columns.name, columns.stored_key, start, columns.size).order_by(columns.name).limit(_BATCH)
        while True:
            with self._begin() as connection:
                rows = connection.execute(what.where(columns.name > last, self._is_fresh())).all()
            if not rows:
                return
            last = str(rows[-1][0])
            described = (self._list(bytes(key).decode(), bytes(begun), size) for _, key, begun, size in rows)
            yield [listed for listed in described if listed is not None]

    def _list(self, key: str, start: bytes, size: int) -> Listed | None:
        found = list_text(key, start, size)
        if found is None:  # its first line is long
            whole = self.get(key)
            found = None if whole is None else list_text(key, whole, len(whole))
        return found

    def _is_fresh(self) -> Any:
        expires = self._table.c.expires
        return expires.is_(None) | (expires > time.time())

    def _sweep(self) -> None:
        self._writes += 1
        if self._writes % _SWEEP_EVERY == 0:
            from sqlalchemy import delete

            self._change(delete(self._table).where(self._table.c.expires <= time.time()))

    def _change(self, statement: Any) -> int:
        """Execute a statement that writes; return how many rows it was about.

        It is tried again where the database ended it because of a deadlock, as MySQL does if two write the same row.
        """
        from sqlalchemy.exc import OperationalError

        for is_last in (*repeat(False, _TRIES - 1), True):
            try:
                with self._begin() as connection:
                    return int(connection.execute(statement).rowcount)
            except OperationalError as error:
                if is_last or not _is_deadlock(error.orig):
                    raise
        raise AssertionError("the last try returns or raises")

    def _begin(self) -> Any:
        """Begin a transaction, in a context."""
        if self._process != os.getpid():  # the connections are the parent's
            self._engine.dispose(close=False)
            self._process = os.getpid()
        if not self._is_made:
            _make_table(self._engine, self._table)
            self._is_made = True
        return self._engine.begin()

    def close(self) -> None:
        """Close the connections. Using the store again opens them again."""
        self._engine.dispose()

    def __repr__(self) -> str:
        return f"SqlCache({self._engine.url.render_as_string(hide_password=True)!r}, table={self._table.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if not isinstance(self._arguments[0], str):
            raise TypeError("A SqlCache over an Engine of yours cannot be copied or sent to another process.")
        return _rebuild, self._arguments


def _is_deadlock(error: Any) -> bool:
    return bool({getattr(error, "sqlstate", None), *error.args[:1]} & _DEADLOCKS)


def _rebuild(url: str, table: str, timeout: float, options: dict[str, Any]) -> SqlCache:
    return SqlCache(url, table, timeout, **options)


def _make_engine(url: object, options: dict[str, Any]) -> Engine:
    try:
        import sqlalchemy
        from sqlalchemy.exc import ArgumentError as SqlArgumentError
        from sqlalchemy.exc import NoSuchModuleError
    except ImportError as error:
        raise ConfigurationError('SqlCache needs the sqlalchemy package: pip install "instructor[sql]"') from error
    if isinstance(url, sqlalchemy.Engine):
        if options:
            raise ArgumentError("SqlCache takes either an Engine, or a URL and options to make one, not both.")
        return url
    if not isinstance(url, str):
        raise refuse("SqlCache(url=)", url, "a URL such as 'postgresql+psycopg://user@host/name', or an Engine")
    if url.startswith("sqlite") and (url.rstrip("/").endswith(":") or ":memory:" in url):
        raise ArgumentError("SqlCache can't use a SQLite database in memory: each thread has its own. Use MemoryCache.")
    settings = {"pool_size": _CONNECTIONS, "max_overflow": 0, "pool_pre_ping": True, "hide_parameters": True, **options}
    try:
        return sqlalchemy.create_engine(url, **settings)
    except (SqlArgumentError, NoSuchModuleError, ImportError) as error:
        # Without its cause, whose text may hold the password of the URL.
        reason = "the URL can't be read" if isinstance(error, SqlArgumentError) else str(error)
        if isinstance(error, ImportError):
            reason += ". Install the database's driver, or name another one in the URL, such as postgresql+psycopg://"
        raise ConfigurationError(f"SqlCache could not be set up: {reason}.") from None


def _describe_table(name: str) -> Table:
    from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table
    from sqlalchemy.dialects.mysql import DOUBLE, LONGBLOB

    seconds = Float(53).with_variant(DOUBLE(), "mysql", "mariadb")
    binary = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")
    return Table(
        name,
        MetaData(),
        Column("name", String(65), primary_key=True),
        Column("stored_key", binary, nullable=False),  # as bytes: the database's own charset may lack its letters
        Column("value", binary, nullable=False),
        Column("size", Integer, nullable=False),
        Column("expires", seconds),
        Index(f"{name}_expires", "expires"),
    )


def _make_table(engine: Engine, table: Table) -> None:
    """Make the table, unless it is there. Another process may make it at the same time."""
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    try:
        table.metadata.create_all(engine)
    except SQLAlchemyError:
        if not inspect(engine).has_table(table.name):
            raise


def _name_of(key: str) -> str:
    """The primary key of a key. Databases may see no difference between cases, or cut long texts."""
    checked = check_key("SqlCache", key)
    return checked if re.fullmatch(r"[0-9a-f]{64}", checked) else f"{hashlib.sha256(checked.encode()).hexdigest()}x"

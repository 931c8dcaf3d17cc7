"""The store in a file system that fsspec knows: Amazon S3, Google Cloud Storage, Azure, SFTP, a shared folder.

Each answer is an object of its own, under a name that follows from its key: a cache hit is one read, and lists nothing.
An object is a line of JSON with the key and the time when it expires, and the text. It is replaced in one step.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import orjson

from instructor.cache.listing import FIRST_BYTES, Listed, list_text
from instructor.cache.store import Ability, BaseCache, check_key, check_text, check_timeout, check_ttl
from instructor.describing import refuse
from instructor.exceptions import CacheEntryError, ConfigurationError

Sdk = Any
"""A file system of fsspec."""

_IN_ONE_STEP: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci", "memory"})
"""Where to write an object is to replace it. Elsewhere it is written beside its place, and moved there."""

_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"(?:.*/)?([0-9a-f]{2})/(\1[0-9a-f]{62}x?)")
_BATCH = 100
_LONGEST_HEAD = 1024


class FileSystemCache(BaseCache):
    """A store in an object store or another file system, through fsspec: for many machines that share no server.

    Use it where answers should outlive machines and a read of some ten milliseconds is nothing beside what an answer
    costs; put an `AutoCache` or a `DiskCache` before it. Any number of machines may use it at once: each answer is an
    object, replaced in one step. Nothing is evicted, and what has expired stays until it is removed or overwritten, so
    give the bucket a lifecycle rule. On a local disk use `DiskCache`, which is a hundred times faster.

    It needs ``pip install "instructor[fsspec]"``, and the package of the file system, such as s3fs, gcsfs or adlfs.

    Args:
        url: Where to keep the answers, such as ``"s3://bucket/answers"``.
        timeout: Seconds for one operation, at most a day. Default 30.0.
        **options: What fsspec takes for this kind of file system, such as ``key``, ``secret`` and ``endpoint_url``.

    Raises:
        ArgumentError: An argument is wrong.
        ConfigurationError: A package is missing, or there is no such kind of file system.

    Example:
        >>> cache = FileSystemCache("memory://answers")
        >>> cache.set("key", "text", ttl=3600)
        >>> cache.get("key")
        b'text'
    """

    abilities: frozenset[Ability] = frozenset({"listing", "deleting"})

    def __init__(self, url: str, timeout: float = 30.0, **options: Any) -> None:
        if not isinstance(url, str) or not url.strip():
            raise refuse("FileSystemCache(url=)", url, "a URL such as 's3://bucket/answers'")
        self.timeout = self._patience = check_timeout("FileSystemCache", timeout)
        self._url = url
        # What a listing remembers may be old: others write here too.
        self._options: dict[str, Any] = {"use_listings_cache": False, **options}
        self._lock = threading.Lock()
        self._opened: tuple[int, Sdk, str] | None = None
        self._open()

    def get(self, key: str) -> bytes | None:
        """Return the text under `key` as UTF-8, or None if there is none or it has expired."""
        files, root = self._open()
        try:
            data: bytes = files.cat_file(f"{root}/{_name_of(check_key('FileSystemCache', key))}")
        except FileNotFoundError:
            return None
        stored, expires, text = _read_head(data)
        if stored != key:
            raise CacheEntryError(f"The object of the key {key!r} holds something else.")
        return None if _is_over(expires) else text

    def set(self, key: str, value: str | bytes, ttl: int | None = None) -> None:
        """Store a text under `key`, in one step."""
        text, seconds = check_text("FileSystemCache", value), check_ttl("FileSystemCache", ttl)
        head = {"key": check_key("FileSystemCache", key), "expires": None if seconds is None else time.time() + seconds}
        data = orjson.dumps(head) + b"\n" + (text if isinstance(text, bytes) else text.encode())
        files, root = self._open()
        path = f"{root}/{_name_of(key)}"
        if _is_in_one_step(files):
            files.pipe_file(path, data)
            return
        part = f"{path}.{secrets.token_hex(6)}.part"
        try:
            files.pipe_file(part, data)
        except FileNotFoundError:
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            files.pipe_file(part, data)
        files.mv(part, path)

    def delete(self, key: str) -> bool:
        """Remove the object of `key`; return whether it was there."""
        return bool(self.delete_many([key]))

    def delete_many(self, keys: Sequence[str]) -> int:
        """Remove the objects of `keys`; return how many of them were there."""
        files, root = self._open()
        names = (f"{root}/{_name_of(check_key('FileSystemCache', key))}" for key in dict.fromkeys(keys))
        paths = [path for path in names if files.exists(path)]
        if paths:
            files.rm(paths)
        return len(paths)

    def clear(self) -> int:
        """Remove all objects of this store, and nothing else below the URL; return how many there were."""
        files, _ = self._open()
        paths = [path for path, _ in self._find()]
        if paths:
            files.rm(paths)
        return len(paths)

    def list_entries(self) -> Iterator[list[Listed]]:
        """Describe all entries, in batches; those too that have expired, so that they can be removed.

        It lists all objects, and reads where each begins.
        """
        files, _ = self._open()
        found = list(self._find())
        for start in range(0, len(found), _BATCH):
            some = found[start : start + _BATCH]
            begun = files.cat_ranges([path for path, _ in some], 0, _LONGEST_HEAD + FIRST_BYTES, on_error="return")
            listed = [_list(files, path, size, data) for (path, size), data in zip(some, begun, strict=True)]
            yield [one for one in listed if one is not None]

    def _find(self) -> Iterator[tuple[str, int]]:
        files, root = self._open()
        for path, details in cast("dict[str, dict[str, Any]]", files.find(root, detail=True)).items():
            if _NAME.fullmatch(path):
                yield path, int(details.get("size") or 0)

    def _open(self) -> tuple[Sdk, str]:
        """The file system, and the path below which answers are. A forked process makes its own connections."""
        opened, process = self._opened, os.getpid()
        if opened is None or opened[0] != process:
            with self._lock:
                opened = self._opened = (process, *_make(self._url, self._options))
        return opened[1:]

    def __repr__(self) -> str:
        scheme, _, rest = self._url.rpartition("://")
        return f"FileSystemCache({f'{scheme}://' if scheme else ''}{rest.rpartition('@')[2]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._url, self._patience, self._options)


def _rebuild(url: str, timeout: float, options: dict[str, Any]) -> FileSystemCache:
    return FileSystemCache(url, timeout, **options)


def _make(url: str, options: dict[str, Any]) -> tuple[Sdk, str]:
    try:
        core: Any = importlib.import_module("fsspec.core")  # it has no types
    except ImportError as error:
        raise ConfigurationError(
            'FileSystemCache needs the fsspec package: pip install "instructor[fsspec]"'
        ) from error
    try:
        files, root = core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:  # the message of an ImportError says what to install
        raise ConfigurationError(
            f"FileSystemCache has no file system for {url.partition('://')[0]}://. {error}"
        ) from None
    return files, str(root).rstrip("/")


def _is_in_one_step(files: Sdk) -> bool:
    protocol: str | tuple[str, ...] = files.protocol
    return bool(_IN_ONE_STEP.intersection((protocol,) if isinstance(protocol, str) else protocol))


def _name_of(key: str) -> str:
    """Where the object of a key is: a key of a client is its own name, any other one is hashed."""
    name = key if _KEY.fullmatch(key) else f"{hashlib.sha256(key.encode()).hexdigest()}x"
    return f"{name[:2]}/{name}"


def _read_head(data: bytes) -> tuple[str, float | None, bytes]:
    """Split an object; `CacheEntryError` if it isn't one of this store."""
    line, _, text = data.partition(b"\n")
    try:
        head = orjson.loads(line)
        key, expires = head["key"], head["expires"]
    except (ValueError, TypeError, KeyError):
        raise CacheEntryError("The object is damaged: its first line can't be read.") from None
    if not isinstance(key, str) or not isinstance(expires, float | int | None):
        raise CacheEntryError("The object is damaged: its first line can't be read.")
    return key, expires, text


def _is_over(expires: float | None) -> bool:
    return expires is not None and expires <= time.time()


def _list(files: Sdk, path: str, size: int, start: object) -> Listed | None:
    """Describe the entry of an object by its first bytes; None if it is gone, or isn't ours."""
    if not isinstance(start, bytes):
        return None
    try:
        key, _, text = _read_head(start)
        left = size - (len(start) - len(text))
        # Where its first line is long, the whole is read.
        return list_text(key, text, left) or list_text(key, _read_head(files.cat_file(path))[2], left)
    except (CacheEntryError, FileNotFoundError):
        return None

"""Every store of ours, and the ways in which users write theirs, keep the contract."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, event

from instructor.cache import (
    AutoCache,
    BaseCache,
    DiskCache,
    FileSystemCache,
    MemoryCache,
    RedisCache,
    SealedCache,
    SqlCache,
)
from instructor.testing.stores import StoreContract
from servers import Valkey


class TestAutoCache(StoreContract):
    def make(self) -> BaseCache:
        return AutoCache(maxsize=1000)


class TestMemoryCache(StoreContract):
    @pytest.fixture(autouse=True)
    def _prepare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.now = time.time()

    def make(self) -> BaseCache:
        return MemoryCache()

    def advance(self, store: BaseCache, seconds: float) -> bool:
        self.now += seconds
        self.monkeypatch.setattr("instructor.cache.memory_cache.time.time", lambda: self.now)
        return True


class TestSealedMemory(TestMemoryCache):
    def make(self) -> BaseCache:
        return SealedCache(MemoryCache(), keys=[b"k" * 32])


class TestDiskCache(StoreContract):
    @pytest.fixture(autouse=True)
    def _prepare(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = tmp_path
        self.monkeypatch = monkeypatch
        self.now = time.time()

    def make(self) -> BaseCache:
        return DiskCache(self.directory / "cache")

    def advance(self, store: BaseCache, seconds: float) -> bool:
        self.now += seconds
        self.monkeypatch.setattr("instructor.cache.sqlite.time.time", lambda: self.now)
        return True


class WithMovedTime(StoreContract):
    """Stores that look at the clock."""

    @pytest.fixture(autouse=True)
    def _prepare(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path
        self.monkeypatch = monkeypatch
        self.now = time.time()

    def advance(self, store: BaseCache, seconds: float) -> bool:
        self.now += seconds
        self.monkeypatch.setattr(f"{type(store).__module__}.time.time", lambda: self.now)
        return True


class TestFileSystemCacheInMemory(WithMovedTime):
    def make(self) -> BaseCache:
        return FileSystemCache(f"memory:/{self.folder}")


class TestFileSystemCacheInAFolder(WithMovedTime):
    def make(self) -> BaseCache:
        return FileSystemCache(f"file://{self.folder}")


class TestSqlCache(WithMovedTime):
    def make(self) -> BaseCache:
        engine = create_engine(f"sqlite:///{self.folder}/answers.db", connect_args={"timeout": 30})
        # A commit needn't reach the disk here, and this test makes a thousand.
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA journal_mode = MEMORY"))
        return SqlCache(engine, timeout=30.0)


class OnRedis(StoreContract):
    """Moves time by moving the deadlines that the server holds."""

    @pytest.fixture(autouse=True)
    def _prepare(self, valkey: Valkey) -> Any:
        self.port = valkey.port
        self.server = redis.Redis(port=valkey.port)
        yield
        self.server.close()

    def advance(self, store: BaseCache, seconds: float) -> bool:
        for name in self.server.scan_iter():
            left = self.server.pttl(name)
            if left >= 0:
                self.server.pexpire(name, max(left - int(seconds * 1000), -1))
        return True


class TestRedisCache(OnRedis):
    def make(self) -> BaseCache:
        return RedisCache(port=self.port, timeout=30.0)  # on a busy machine too


class TestSealedRedis(OnRedis):
    def make(self) -> BaseCache:
        return SealedCache(RedisCache(port=self.port, timeout=30.0), keys=[b"k" * 32], mode="sign")


class TestRedisCacheOverAClient(OnRedis):
    def make(self) -> BaseCache:
        return RedisCache(client=redis.Redis(port=self.port, decode_responses=True))


class UserRedisCache(BaseCache):
    """As users write it, without timeouts, and without calling ``super().__init__()``."""

    def __init__(self, host: str = "localhost", port: int = 6379, **kwargs: Any) -> None:
        self.redis = redis.Redis(host=host, port=port, **kwargs)

    def get(self, key: str) -> str | None:
        value = self.redis.get(key)
        return value.decode() if value else None

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        if ttl:
            self.redis.setex(key, ttl, value)
        else:
            self.redis.set(key, value)


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # redis-py has wished for set(ex=) for years
class TestUserRedisCache(OnRedis):
    def make(self) -> BaseCache:
        return UserRedisCache(port=self.port)


class DictCache(BaseCache):
    honours_ttl = False

    def __init__(self) -> None:
        self.data: dict[str, str] = {}

    def get(self, key: str) -> bytes | None:
        found = self.data.get(key)
        return None if found is None else found.encode()

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.data[key] = value


class TestDictCache(StoreContract):
    def make(self) -> BaseCache:
        return DictCache()


class AsyncDictCache(BaseCache):
    honours_ttl = False

    def __init__(self) -> None:
        self.data: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        await asyncio.sleep(0)
        return self.data.get(key)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        await asyncio.sleep(0)
        self.data[key] = value


class TestAsyncDictCache(StoreContract):
    def make(self) -> BaseCache:
        return AsyncDictCache()


def test_a_store_that_expires_nothing_fails_the_contract() -> None:
    class EverlastingCache(DictCache):
        honours_ttl = True

    class Contract(StoreContract):
        def make(self) -> BaseCache:
            return EverlastingCache()

        def advance(self, store: BaseCache, seconds: float) -> bool:
            return True

    with pytest.raises(AssertionError):
        Contract().test_forgets_an_entry_when_its_ttl_is_over()


def test_a_store_that_declares_more_than_it_does_fails_the_contract() -> None:
    class UncountedCache(DictCache):
        abilities = frozenset({"sized"})

        def size(self) -> tuple[int, int]:
            return 0, 0

    class ForgetfulCache(AutoCache):
        def keep(self, entry: Any) -> None:
            pass

    class Contract(StoreContract):
        kind: type[BaseCache]

        def make(self) -> BaseCache:
            return self.kind()

    for kind in (UncountedCache, ForgetfulCache):
        Contract.kind = kind
        with pytest.raises(AssertionError):
            Contract().test_does_what_its_abilities_say()

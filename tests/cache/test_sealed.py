"""SealedCache: nothing of an answer is readable in the inner store, and nothing that was changed there is served."""

from __future__ import annotations

import asyncio
import base64
import copy
import pickle
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instructor import from_provider
from instructor.cache import AutoCache, BaseCache, CassetteCache, DiskCache, MemoryCache, SealedCache, sealed
from instructor.cache.entry import Entry, Origin, Tagged, decode_entry, encode_entry, pack_completion
from instructor.cache.handle import handle_of
from instructor.cache.sealed import Compression
from instructor.exceptions import ArgumentError, CacheEntryError, ConfigurationError
from instructor.messages import Part

KEY, OTHER = (base64.urlsafe_b64encode(letter * 32).decode() for letter in (b"k", b"o"))
MODES = pytest.mark.parametrize("mode", ["encrypt", "sign"])


def entry_text(key: str, answer: str = '{"name": "Anna"}', tags: tuple[str, ...] = ()) -> str:
    tagged = Tagged(tags, 7) if tags else None
    origin = Origin("openai", "gpt", "", "tenant-7", "User")
    return encode_entry(
        Entry(key, (Part("User", answer),), pack_completion('{"id": "Anna"}'), origin, 1.0, tagged=tagged)
    )


def only_key(store: BaseCache) -> str:
    (key,) = list(store._held)  # type: ignore[attr-defined]
    return key if isinstance(key, str) else key[0]


class DictCache(BaseCache):
    """As users write it: it takes a str and nothing else."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return self.texts.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        assert type(value) is str
        self.texts[key] = value


class AsyncDictCache(DictCache):
    async def get(self, key: str) -> Any:
        return self.texts.get(key)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        super().set(key, value, ttl)


def test_a_stolen_file_tells_nothing(tmp_path: Path) -> None:
    key = "3f" * 32
    with DiskCache(tmp_path) as inner:
        cache = SealedCache(inner, keys=[KEY])
        cache.set(key, entry_text(key, '{"name": "Anna"}' * 500, ("user:Anna",)))
        cache.set("plain", "Anna")
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (b"Anna", b"gpt", b"tenant", b"User", key.encode(), base64.b64encode(b"Anna")[:5], b"plain"):
        assert secret not in content


@MODES
@pytest.mark.parametrize("size", [10, 20_000])
def test_what_was_changed_in_any_place_is_refused(mode: Any, size: int) -> None:
    """Each kind of change; also one that fits the checksum of the inner entry, which anybody can compute."""
    inner = DictCache()
    cache = SealedCache(inner, [KEY], mode)
    cache.set("a", "x" * size)
    cache.set("b", "y" * size)
    (one, first), (two, second) = inner.texts.items()
    mine, other = decode_entry(first, one), decode_entry(second, two)
    (kind, text), raw = mine.parts[0], base64.b64decode(mine.parts[0].text)
    flipped = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in (0, 11, 12, len(raw) // 2, len(raw) - 1)]
    changed = [base64.b64encode(data).decode() for data in (*flipped, raw[:-1], raw[:20], b"", raw + b"x")]
    parts = [(Part(kind, data),) for data in (*changed, other.answer, text[:-4], "not base64!")]
    parts += [(), (Part(kind, text), Part(kind, text)), (Part(f"{kind}+zlib", text),), (Part("sign", text + "A"),)]
    swapped = encode_entry(replace(other, key=one))
    for bad in (
        "",
        first[:-1],
        first[:40],
        second,
        swapped,
        "text",
        entry_text(one),
        *(encode_entry(replace(mine, parts=p)) for p in parts),
    ):
        inner.texts[one] = bad
        with pytest.raises(CacheEntryError):
            cache.get("a")
    inner.texts[one] = first
    assert cache.get("a") == b"x" * size


def test_a_changed_entry_is_a_miss_that_is_counted_reported_and_overwritten() -> None:
    inner, events = DictCache(), list[Any]()
    cache = SealedCache(inner, [KEY])
    client = from_provider("offline/demo", cache=cache)
    client.on("cache:miss", events.append)
    messages: Any = [{"role": "user", "content": "Anna is 25."}]
    assert client.create(int, messages) == 25
    (name,) = inner.texts
    inner.texts[name] = inner.texts[name].replace("A", "B")
    assert [client.create(int, messages) for _ in range(2)] == [25, 25]
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.errors, stats.writes) == (1, 2, 1, 2)
    assert events[1].reason == "corrupt"


@MODES
def test_keys_are_changed_without_a_miss(mode: Any) -> None:
    inner = AutoCache()
    old, both, new = (SealedCache(inner, keys, mode) for keys in ([OTHER], [KEY, OTHER], [KEY]))
    old.set("a", entry_text("a", tags=("t",)))
    assert both.get("a") == entry_text("a", tags=("t",)).encode()
    assert new.get("a") is None
    assert [listed.key for batch in both.list_entries() for listed in batch] == ["a"]
    assert [listed.key for batch in new.list_entries() for listed in batch] == []
    both.set("b", "2")
    assert new.get("b") == b"2"
    assert old.get("b") is None
    assert both.delete("a")
    assert both.delete_many(["a", "b"]) == 1


def test_an_invalidation_outlives_a_change_of_keys() -> None:
    inner = AutoCache()
    old, both = SealedCache(inner, [OTHER]), SealedCache(inner, [KEY, OTHER])
    before = old.generations(()).latest
    old.invalidate_tag("t")
    assert not both.generations(["s", "t"]).cover(before)
    assert both.generations(["s"]).cover(before)


def test_tags_and_namespaces_are_found_though_the_store_does_not_know_them() -> None:
    inner = AutoCache()
    cache = SealedCache(inner, [KEY])
    generation = cache.generations(()).latest
    text = encode_entry(replace(decode_entry(entry_text("a"), "a"), tagged=Tagged(("user:Anna",), generation)))
    cache.set("a", text)
    assert "Anna" not in str(inner._held)
    assert cache.invalidate(namespace="other") == 0
    assert cache.invalidate(tag="user:Anna") == 1
    assert not cache.generations(["user:Anna"]).cover(generation)
    assert cache.invalidate(namespace="tenant-7") == 1
    assert cache.get("a") is None


def test_what_was_stored_in_the_other_mode_is_not_served() -> None:
    inner = AutoCache()
    SealedCache(inner, [KEY], "sign").set("a", "1")
    with pytest.raises(CacheEntryError, match="mode='sign'"):
        SealedCache(inner, [KEY]).get("a")


def test_only_what_pays_is_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = DictCache()
    cache = SealedCache(inner, [KEY])
    for key, text, least, most in (
        ("long", "word " * 4000, 0, 2000),
        ("short", "word " * 200, 1000, 2000),
        ("random", base64.b85encode(zlib.compress(bytes(range(256)) * 50)).decode() + OTHER * 5, 300, 10_000),
    ):
        inner.texts.clear()
        cache.set(key, text)
        (stored,) = inner.texts.values()
        assert least < len(stored) < most
        assert cache.get(key) == text.encode()
    SealedCache(inner, [KEY], compress=False).set("long", "word " * 4000)
    assert max(map(len, inner.texts.values())) > 20_000


def test_what_another_python_compressed_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = DictCache()
    zstd = Compression("zstd", zlib.compress, zlib.decompress)
    monkeypatch.setattr(sealed, "_COMPRESSIONS", [zstd, sealed._ZLIB])
    SealedCache(inner, [KEY]).set("a", "x" * 9000)
    monkeypatch.setattr(sealed, "_COMPRESSIONS", [sealed._ZLIB])
    with pytest.raises(CacheEntryError, match="zstandard"):
        SealedCache(inner, [KEY]).get("a")


@pytest.mark.parametrize("inner", [DictCache, AsyncDictCache])
def test_both_clients_use_it_over_plain_and_asynchronous_stores(inner: Any) -> None:
    cache = SealedCache(inner(), [KEY, OTHER])
    messages: Any = [{"role": "user", "content": "Anna is 25."}]
    assert from_provider("offline/demo", cache=cache).create(int, messages) == 25
    client: Any = from_provider("offline/demo", cache=cache, async_client=True)
    assert asyncio.run(client.create(int, messages)) == 25
    assert (cache.stats().hits, cache.stats().misses) == (1, 1)


def test_it_says_of_itself_what_the_inner_store_says() -> None:
    inner = DictCache()
    inner.timeout, inner.on_error = 0.5, "raise"
    cache = SealedCache(inner, [KEY])
    assert (cache.timeout, cache.on_error, cache.abilities) == (0.5, "raise", frozenset())
    memory = SealedCache(MemoryCache(), [KEY])
    assert handle_of(memory).local is None
    assert memory.abilities == {"bounded", "sized", "listing", "deleting", "tagging"}
    assert not SealedCache(AutoCache(), [KEY]).honours_ttl


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "a list of keys"),
        (KEY, "a list of keys"),
        (["secret passphrase"], "32 bytes, or as base64 of them; got a str of length 17"),
        ([b"short"], "got a bytes of length 5"),
        ([5], "got a int"),
        ([KEY, KEY], "twice"),
        ([KEY[:-4]], "32 bytes"),
    ],
)
def test_wrong_keys_are_refused_and_not_quoted(keys: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        SealedCache(AutoCache(), keys)
    assert "passphrase" not in str(caught.value)


def test_keys_may_be_bytes_or_either_base64() -> None:
    raw = b"\xfb\xff" * 16
    inner = AutoCache()
    SealedCache(inner, [raw]).set("a", "1")
    for text in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode() + "\n"):
        assert SealedCache(inner, [text]).get("a") == b"1"


def test_keys_show_up_nowhere() -> None:
    made = SealedCache.new_key()
    assert made != SealedCache.new_key()
    cache = SealedCache(AutoCache(), [made])
    assert made not in repr(cache)
    for copying in (pickle.dumps, copy.copy):
        with pytest.raises(ConfigurationError, match="cannot be pickled or copied"):
            copying(cache)


def test_only_encryption_needs_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    SealedCache(AutoCache(), [KEY], "sign")
    with pytest.raises(ConfigurationError, match=r'pip install "instructor\[sealed\]"'):
        SealedCache(AutoCache(), [KEY])


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"mode=.*encrypt"):
        SealedCache(AutoCache(), [KEY], "aes")  # type: ignore[arg-type] - what is tested
    with pytest.raises(ArgumentError, match=r"inner="):
        SealedCache("redis://localhost", [KEY])  # type: ignore[arg-type] - what is tested


def test_a_cassette_is_not_sealed(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot seal a CassetteCache"):
        SealedCache(CassetteCache(tmp_path / "x.jsonl"), [KEY])

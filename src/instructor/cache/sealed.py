"""A store around another one: what that holds can be neither read nor changed without a key.

`Seal` is one key and what it does; `SealedCache` is the store. What the inner store holds is an ordinary entry, so it
can list it, expire it and count its tags: under a keyed hash of the key and with keyed hashes of the tags, and the
sealed text as its only part.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import importlib
import inspect
import os
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, cast, get_args

from instructor.cache.entry import Entry, Generations, Origin, Tagged, decode_entry, encode_entry
from instructor.cache.lease import LeasingStore
from instructor.cache.listing import FIRST_BYTES, Listed, list_text, read_tagged
from instructor.cache.sealed_leases import SealedLeases
from instructor.cache.store import (
    Ability,
    AsyncStore,
    BaseCache,
    SizedStore,
    Text,
    check_key,
    check_store,
    check_text,
    deleting,
    listing,
    tagging,
)
from instructor.cache.tiered import require_store
from instructor.cache.tracking import Memory, NamesOf, TrackingStore, Watch
from instructor.describing import refuse_choice
from instructor.exceptions import ArgumentError, CacheEntryError, ConfigurationError
from instructor.messages import Part

SealMode = Literal["encrypt", "sign"]

KEY_BYTES, _NONCE_BYTES, _MAC_BYTES = 32, 12, 32

LEAST_COMPRESSED = 4096
"""Bytes from which on a text is compressed: below, it takes longer than all the rest and saves little."""


class Cipher(Protocol):
    """What `Seal` needs of ``cryptography``'s AESGCM."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Encrypt and sign."""
        ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Check and decrypt."""
        ...


class Seal:
    """One key: the names that it gives to keys and tags, and what it seals.

    A key of its own is derived for each purpose, so that no use of one tells anything of another.
    """

    def __init__(self, key: bytes, mode: SealMode) -> None:
        self.mode = mode
        self.id = _derive(key, "id")[:4].hex()
        self._naming, self._tagging, self._signing = (_derive(key, use) for use in ("name", "tag", "sign"))
        self._cipher = _make_cipher(_derive(key, "encrypt")) if mode == "encrypt" else None

    def name_key(self, key: str) -> str:
        """What the inner store has in place of a key."""
        return hmac.digest(self._naming, key.encode(), "sha256").hex()

    def name_tag(self, tag: str) -> str:
        """What the inner store has in place of a tag."""
        return hmac.digest(self._tagging, tag.encode(), "sha256")[:16].hex()

    def close(self, data: bytes, associated: bytes) -> bytes:
        """Seal data, for one place."""
        if self._cipher is None:
            return hmac.digest(self._signing, associated + data, "sha256") + data
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes | None:
        """Return what was sealed, or None if it isn't that, or was sealed for another place."""
        if self._cipher is None:
            mac, data = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
            return data if hmac.compare_digest(mac, hmac.digest(self._signing, associated + data, "sha256")) else None
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated)
        except Exception:  # noqa: BLE001 - InvalidTag, and ValueError for what is too short
            return None


class SealedCache(BaseCache):
    """Encrypts, or signs, what another store holds. Use it where others can read or write that store.

    Whoever has the store but no key learns how many answers there are, how long they are, when they were stored, and
    which of them have a tag in common. They can remove or roll back an entry, but not read, change or exchange one: such
    an entry is a miss, which is counted and reported, and it is asked for again. In front of it, an `AutoCache` keeps
    hits fast: ``cache=[AutoCache(), SealedCache(RedisCache(), keys=[key])]``.

    The abilities are those of the inner store, except ``"local"`` and ``"ledger"``. Listing reads and opens each entry.

    Args:
        inner: The store, plain or asynchronous. Give it nothing else to hold: `clear` clears all of it.
        keys: Keys of 32 bytes, or as base64, such as `SealedCache.new_key` makes. The first one writes, all of them
            read: to change keys, put a new one first, and remove the old one when its answers have expired. Each
            further key adds one read to a miss.
        mode: ``"encrypt"`` (default) with AES-256-GCM, which needs ``pip install "instructor[sealed]"``; ``"sign"``
            with HMAC-SHA-256, which leaves the answers readable. What was stored in the other mode is a miss.
        compress: Whether answers of 4 KiB and more are compressed where that saves an eighth: with zstd in Python 3.14
            or with the package ``zstandard``, else with zlib. What is left of an answer's length then says something of
            its content. Default True.

    Raises:
        ArgumentError: An argument is of the wrong type, a key isn't one, or `inner` is a cassette.
        ConfigurationError: The package is missing.

    Example:
        >>> from instructor.cache import AutoCache
        >>> cache = SealedCache(AutoCache(), keys=[SealedCache.new_key()], mode="sign")
        >>> cache.set("key", "text")
        >>> cache.get("key"), cache.inner.get("key")
        (b'text', None)
    """

    abilities: frozenset[Ability] = frozenset()

    def __init__(
        self, inner: BaseCache, keys: Sequence[str | bytes], mode: SealMode = "encrypt", compress: bool = True
    ) -> None:
        self.inner = require_store("SealedCache(inner=)", inner)
        if mode not in get_args(SealMode):
            raise refuse_choice("SealedCache(mode=)", mode, ("encrypt", "sign"))
        self._seals = [Seal(key, mode) for key in _check_keys(keys)]
        # It must not refer to this store: whoever keeps memory right would keep it alive.
        self._names_of: NamesOf = partial(_name_with, self._seals)
        self._compress = _COMPRESSIONS[0] if compress else None
        self.abilities = _keep_abilities(self.inner)
        # What the handle asks of a store is what the inner one says of itself.
        names = ("timeout", "concurrency", "pause", "on_error", "honours_ttl")
        vars(self).update({name: getattr(self.inner, name) for name in names})

    @staticmethod
    def new_key() -> str:
        """Make a key, as text. Keep it where you keep passwords, and not beside the store."""
        return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()

    def get(self, key: str) -> Any:
        """Return the text under `key` as UTF-8, or None.

        Raises:
            CacheEntryError: What is there was changed, belongs elsewhere, or was sealed in another mode.
        """
        check_key("SealedCache", key)
        for number, seal in enumerate(self._seals):
            name = seal.name_key(key)
            found = self.inner.get(name)
            if inspect.isawaitable(found):
                return self._get_later(key, number, found, self.inner.get)
            if found is not None:
                return self._open(seal, name, found)[1]
        return None

    async def get_async(self, key: str) -> bytes | None:
        """As `get`."""
        check_key("SealedCache", key)
        get = cast("AsyncStore", self.inner).get_async
        return await self._get_later(key, 0, get(self._seals[0].name_key(key)), get)

    async def _get_later(
        self, key: str, first: int, reading: Awaitable[Text | None], get: Callable[[str], Any]
    ) -> bytes | None:
        found = await reading
        for seal in self._seals[first:]:
            name = seal.name_key(key)
            if seal is not self._seals[first]:
                found = await get(name)
            if found is not None:
                return self._open(seal, name, found)[1]
        return None

    def set(self, key: str, value: str | bytes, ttl: int | None = None) -> Any:
        """Seal a text, and store it."""
        return self.inner.set(*self._close(key, value), ttl=ttl)

    async def set_async(self, key: str, value: str | bytes, ttl: int | None = None) -> None:
        """As `set`."""
        await cast("AsyncStore", self.inner).set_async(*self._close(key, value), ttl=ttl)

    def note_ttl(self) -> None:
        """As the inner store."""
        self.inner.note_ttl()

    def size(self) -> tuple[int, int]:
        """As the inner store."""
        return cast("SizedStore", self.inner).size()

    def delete(self, key: str) -> bool:
        """Remove the entry under `key`; return whether it was there."""
        return self.delete_many([key]) > 0

    def delete_many(self, keys: Sequence[str]) -> int:
        """Remove the entries under `keys`; return how many were there."""
        return sum(deleting(self.inner).delete_many([seal.name_key(key) for key in keys]) for seal in self._seals)

    def clear(self) -> int:
        """Remove all that the inner store holds; return how many entries there were."""
        return deleting(self.inner).clear()

    def watch(self, memory: Memory, names_of: NamesOf | None = None) -> Watch:
        """As the inner store, which has each entry under the name that one of the keys gives it."""
        inner = cast("TrackingStore", self.inner)
        if names_of is None:
            return inner.watch(memory, self._names_of)
        return inner.watch(memory, lambda key: [sealed for name in names_of(key) for sealed in self._names_of(name)])

    def compact(self) -> None:
        """As the inner store."""
        self.inner.compact()

    def list_entries(self) -> Iterator[list[Listed]]:
        """Describe all entries that one of the keys opens. Each is read, and opened, for that."""
        for batch in listing(self.inner).list_entries():
            yield [found for listed in batch if (found := self._describe(listed.key)) is not None]

    def generations(self, tags: Sequence[str]) -> Generations:
        """Return the number of the latest invalidation of all, and of each of `tags`, under whichever key it was."""
        return self._combine(tagging(self.inner).generations(self._name_tags(tags)), len(tags))

    async def generations_async(self, tags: Sequence[str]) -> Generations:
        """As `generations`."""
        native = getattr(self.inner, "generations_async", None)
        if native is None:
            return self.generations(tags)
        return self._combine(cast("Generations", await native(self._name_tags(tags))), len(tags))

    def invalidate_tag(self, tag: str) -> int:
        """Stop serving the answers that have a tag; return how many were stored with it since it was last invalidated."""
        return sum([tagging(self.inner).invalidate_tag(name) for name in self._name_tags([tag])])

    @property
    def leases(self) -> SealedLeases:
        """Those of the inner store."""
        return SealedLeases(cast("LeasingStore", self.inner).leases, self._seals[0].name_key, self._close)

    def _name_tags(self, tags: Sequence[str]) -> list[str]:
        return [seal.name_tag(tag) for seal in self._seals for tag in tags]

    def _combine(self, numbers: Generations, tags: int) -> Generations:
        latest = [max(numbers.of_tags[tag::tags]) for tag in range(tags)]
        return numbers._replace(of_tags=latest)

    def _close(self, key: str, value: str | bytes) -> tuple[str, str]:
        """The name under which a text is stored, and what is stored there."""
        seal, text = self._seals[0], check_text("SealedCache", value)
        name = seal.name_key(check_key("SealedCache", key))
        known, data = key.encode(), text if isinstance(text, bytes) else text.encode()
        form, packed = self._pack(b"%d %b%b" % (len(known), known, data))
        kind = f"{seal.mode}{form}"
        sealed = binascii.b2a_base64(seal.close(packed, _bind(kind, name)), newline=False).decode()
        # It is there for the inner store, which counts by it. What a reader goes by is in the sealed text.
        tagged = read_tagged(data)
        if tagged is not None:
            tagged = Tagged(tuple(map(seal.name_tag, tagged.tags)), tagged.generation)
        return name, encode_entry(
            Entry(name, (Part(kind, sealed),), b"", Origin("sealed", seal.id), 0.0, tagged=tagged)
        )

    def _open(self, seal: Seal, name: str, found: Text) -> tuple[str, bytes]:
        """The key and the text that were stored under a name."""
        entry = decode_entry(found, name)
        if entry.origin.provider != "sealed" or len(entry.parts) != 1:
            raise CacheEntryError("The entry is not sealed.")
        kind, text = entry.parts[0]
        mode, _, form = kind.partition("+")
        if mode != seal.mode:
            raise CacheEntryError(f"The entry was stored with mode={mode!r}, and this SealedCache has {seal.mode!r}.")
        try:
            packed = seal.open(binascii.a2b_base64(text, strict_mode=True), _bind(kind, name))
        except ValueError:
            packed = None
        if packed is None:
            raise CacheEntryError("The entry was changed, or belongs elsewhere: its seal does not fit.")
        size, _, rest = _unpack(form, packed).partition(b" ")
        return rest[: int(size)].decode(), rest[int(size) :]

    def _pack(self, data: bytes) -> tuple[str, bytes]:
        if self._compress is None or len(data) < LEAST_COMPRESSED:
            return "", data
        packed = self._compress.compress(data)
        return (f"+{self._compress.name}", packed) if len(packed) <= len(data) * 7 // 8 else ("", data)

    def _describe(self, name: str) -> Listed | None:
        found = self.inner.get(name)
        if found is None or inspect.isawaitable(found):
            return None
        for seal in self._seals:
            try:
                key, data = self._open(seal, name, found)
            except CacheEntryError:
                continue
            return list_text(key, data[:FIRST_BYTES], len(data)) or list_text(key, data, len(data))
        return None

    def __repr__(self) -> str:
        return f"SealedCache({self.inner!r}, keys=[{', '.join(seal.id for seal in self._seals)}], mode={self._seals[0].mode!r})"

    def __reduce__(self) -> NoReturn:
        raise ConfigurationError(
            "SealedCache cannot be pickled or copied: its keys would go along. Make it in the other process, of keys "
            "that are read there."
        )


def _name_with(seals: Sequence[Seal], key: str) -> list[str]:
    return [seal.name_key(key) for seal in seals]


class Compression(NamedTuple):
    """A way to compress.

    Attributes:
        name: What stands in an entry.
    """

    name: str
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes]


def _find_zstd() -> Compression | None:
    for name in ("compression.zstd", "zstandard"):  # Python's own since 3.14, and the package
        with contextlib.suppress(ImportError):
            module: Any = importlib.import_module(name)
            return Compression("zstd", module.compress, module.decompress)
    return None


def _deflate(data: bytes) -> bytes:
    return zlib.compress(data, 1)


_ZSTD = _find_zstd()
_ZLIB = Compression("zlib", _deflate, zlib.decompress)
_COMPRESSIONS = [_ZLIB] if _ZSTD is None else [_ZSTD, _ZLIB]
"""The one that writes first; all read."""


def _unpack(form: str, packed: bytes) -> bytes:
    if not form:
        return packed
    for compression in _COMPRESSIONS:
        if form == compression.name:
            return compression.decompress(packed)
    raise CacheEntryError(f"The entry is compressed with {form}. Install the package zstandard, or use Python 3.14.")


def _bind(kind: str, name: str) -> bytes:
    """What a sealed text belongs to: moved to another key, or called something else, it doesn't open."""
    return f"{kind} {name}".encode()


def _derive(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, f"instructor.SealedCache {purpose}".encode(), "sha256")


def _make_cipher(key: bytes) -> Cipher:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ConfigurationError(
            'SealedCache needs the cryptography package: pip install "instructor[sealed]". mode="sign" does without.'
        ) from error
    return AESGCM(key)


_LOCAL: frozenset[Ability] = frozenset({"local"})
_BOUNDED: frozenset[Ability] = frozenset({"bounded"})


def _keep_abilities(inner: BaseCache) -> frozenset[Ability]:
    # The ledger's lines would show models and tags, and what is recalled is sealed.
    abilities = check_store(inner) - {"ledger", "recalling"}
    if "recording" in abilities:
        raise ArgumentError(
            f"SealedCache cannot seal a {type(inner).__name__}: it keeps what was asked, for people to read. Take "
            "another store, such as DiskCache."
        )
    if "local" in abilities:
        return (abilities - _LOCAL) | _BOUNDED
    # Those of a store that is asynchronous only are coroutines, too.
    return frozenset() if inspect.iscoroutinefunction(inner.get) else abilities


def _check_keys(keys: object) -> list[bytes]:
    if not isinstance(keys, list | tuple) or not keys:
        raise ArgumentError(f"SealedCache(keys=) takes a list of keys, the first of which writes. {_HOW}")
    found = [_check_seal_key(key) for key in cast("Sequence[object]", keys)]
    if len(set(found)) < len(found):
        raise ArgumentError("SealedCache(keys=) has a key twice. Pass each key once.")
    return found


_HOW = "SealedCache.new_key() makes one."


def _check_seal_key(key: object) -> bytes:
    """A key's bytes. No error quotes it."""
    if isinstance(key, bytes) and len(key) == KEY_BYTES:
        return key
    if isinstance(key, str):
        try:
            decoded = base64.b64decode(key.strip().replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if len(decoded) == KEY_BYTES:
            return decoded
    size = f" of length {len(key)}" if isinstance(key, str | bytes) else ""
    raise ArgumentError(
        f"SealedCache(keys=) takes keys of {KEY_BYTES} bytes, or as base64 of them; got a {type(key).__name__}{size}. {_HOW}"
    )

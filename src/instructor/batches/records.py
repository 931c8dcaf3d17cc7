"""What the store knows of jobs: small records beside the answers, written before anything is submitted.

A record is an ordinary entry whose only part is JSON, so that any store holds it and lists it. It has no prompt in it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from instructor.cache.canonical import CONTEXT, canonical_text
from instructor.cache.entry import Entry, decode_entry, encode_entry, make_origin, pack_completion
from instructor.describing import describe_value
from instructor.exceptions import CacheError, ConfigurationError, NoCanonicalFormError
from instructor.messages import Part
from instructor.providers.batches.steps import Steps
from instructor.providers.batches.vendor import Intent

if TYPE_CHECKING:
    from instructor.cache.handle import StoreHandle
    from instructor.engine.call import Call

_PREFIX = "instructor-batch:"
_TRIES = 5
_KIND = "batch"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands in the store.

    Attributes:
        id: Its name: the same rows have the same one, in any process.
        provider: The vendor.
        model: The model that is asked.
        namespace: The partition of the cache.
        response_model: The name of the response model.
        schema: A hash of what the answers are validated by.
        rows: How many rows it has.
        created: When it was written first, in Unix seconds.
    """

    id: str
    provider: str
    model: str
    namespace: str
    response_model: str
    schema: str
    rows: int
    created: float


@dataclass(frozen=True, slots=True)
class Shelf:
    """Reads and writes the records of one store."""

    handle: StoreHandle
    asynchronous: bool

    def jobs(self) -> Steps[list[JobRecord]]:
        """All jobs, the oldest first."""
        found: list[JobRecord] = []
        for name in (yield from self._index("jobs")):
            record = yield from self.job(name)
            if record is not None:
                found.append(record)
        return found

    def job(self, name: str) -> Steps[JobRecord | None]:
        """One job."""
        data = yield from self._read(f"job:{name}")
        return None if data is None else JobRecord(**data)

    def keep_job(self, record: JobRecord, order: Sequence[str]) -> Steps[None]:
        """Keep a job and the keys of its rows, in their order."""
        if (yield from self.job(record.id)) is None:
            yield from self._write(f"order:{record.id}", list(order))
            yield from self._write(f"job:{record.id}", asdict(record))
            yield from self._add("jobs", record.id)

    def order(self, name: str) -> Steps[list[str]]:
        """The keys of a job's rows, in their order."""
        return list((yield from self._read(f"order:{name}")) or ())

    def intents(self, job: str = "") -> Steps[list[Intent]]:
        """The batches of which something may yet be read.

        They stand in a list that all jobs share, and those of a `job` in one of its own too: the shared one may lose a
        name to another process that writes it at the same moment. Who sees that puts it back.
        """
        found: dict[str, Intent] = {}
        shared: set[str] = set()
        for index in ("intents", f"intents:{job}")[: 1 + bool(job)]:
            names = yield from self._index(index)
            for name in names:
                intent = found.get(name) or (yield from self.intent(name))
                if intent is not None and not intent.closed:
                    found[name] = intent
            if index == "intents":
                shared = set(found)
            if not found.keys() >= set(names):  # somebody was killed before the name was removed
                yield from self._write(index, [name for name in names if name in found])
        for name in found.keys() - shared:
            yield from self._add("intents", name)
        return list(found.values())

    def intent(self, name: str) -> Steps[Intent | None]:
        """One batch."""
        data = yield from self._read(f"intent:{name}")
        return None if data is None else Intent(**data)

    def keep_intent(self, intent: Intent, keys: Sequence[str]) -> Steps[None]:
        """Announce a batch that is about to be submitted, and its rows."""
        yield from self._write(f"keys:{intent.id}", list(keys))
        yield from self.update(intent)
        yield from self._add(f"intents:{intent.job}", intent.id)
        yield from self._add("intents", intent.id)

    def keys(self, intent: Intent) -> Steps[list[str]]:
        """The keys of a batch's rows."""
        return list((yield from self._read(f"keys:{intent.id}")) or ())

    def update(self, intent: Intent) -> Steps[None]:
        """Write what has become of a batch."""
        yield from self._write(f"intent:{intent.id}", asdict(intent))

    def close(self, intent: Intent) -> Steps[None]:
        """Note that nothing is to be read of a batch any more."""
        yield from self.update(replace(intent, closed=True))
        names = yield from self._index("intents")
        yield from self._write("intents", [name for name in names if name != intent.id])

    def _index(self, name: str) -> Steps[list[str]]:
        return list((yield from self._read(name)) or ())

    def _add(self, index: str, name: str) -> Steps[None]:
        """Add to a list that other processes may be adding to as well: it is read again to see whether the name stayed."""
        for _ in range(_TRIES):
            names = yield from self._index(index)
            if name in names:
                return
            yield from self._write(index, [*names, name])
        if name not in (yield from self._index(index)):
            raise CacheError(f"{self._store} lost the record of a batch, so nothing was submitted. Run it again.")

    def _read(self, name: str) -> Steps[Any]:
        read = self.handle.read_async if self.asynchronous else self.handle.read
        text = yield partial(read, _PREFIX + name)
        return None if text is None else orjson.loads(decode_entry(text, _PREFIX + name).answer)

    def _write(self, name: str, data: object) -> Steps[None]:
        write = self.handle.write_async if self.asynchronous else self.handle.write
        text = encode_entry(
            Entry(
                key=_PREFIX + name,
                parts=(Part(_KIND, orjson.dumps(data).decode()),),
                completion_data=pack_completion("{}"),
                origin=make_origin(_KIND, ""),
                created=time.time(),
            )
        )
        if not (yield partial(write, _PREFIX + name, text, None)):
            raise CacheError(
                f"{self._store} can't be written to, so no batch is submitted. Mend it and run this again."
            )

    @property
    def _store(self) -> str:
        return type(self.handle.store).__name__


def check_handle(handle: StoreHandle | None) -> StoreHandle:
    """Refuse a store that ends with this process, or can't hold records."""
    if handle is None:
        raise ConfigurationError(
            "A batch needs a cache: its record and its answers are kept there. Pass cache=DiskCache() or a RedisCache "
            "to the client."
        )
    if handle.local is not None or handle.recorder is not None:
        raise ConfigurationError(
            f"A batch outlives the process, and {describe_value(handle.store)} can't keep its record. Use a DiskCache or "
            "a RedisCache, alone or as the last of several stores."
        )
    return handle


def attached(intents: Iterable[Intent], provider: str, model: str) -> list[Intent]:
    """Those batches that may hold rows of a job."""
    return [intent for intent in intents if (intent.provider, intent.model) == (provider, model)]


def name_job(keys: Iterable[str]) -> str:
    """The name of a job: that of its rows, in whatever order."""
    return hashlib.sha256("\n".join(sorted(set(keys))).encode()).hexdigest()[:16]


def hash_schema(call: Call[Any]) -> str:
    """A hash of what the answers of a job are validated by, and in which form they are read."""
    plan, prompt = call.plan, call.load_prompt()
    parts = [plan.schema_text, plan.shape_text, prompt.wire.name, prompt.mode.name, call.strict, *write_context(call)]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def write_context(call: Call[Any]) -> tuple[str, ...]:
    """What a call's key shows of its context; nothing for a call that has none, or one that can't be part of a key."""
    try:
        return (canonical_text(call.context, "context", CONTEXT),) if call.context and call.key else ()
    except NoCanonicalFormError:
        return ()

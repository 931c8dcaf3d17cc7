"""The conversation of a job: look in the cache, submit the rest, wait, read, ask again. No driver decides any of it.

Everything that is done twice is harmless: a row that is stored is a cache hit, a batch that was submitted is found at the
vendor, and a result that was read is read again. So a job goes on from wherever it was killed, in any process.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from instructor.batches.records import JobRecord, Shelf, attached
from instructor.batches.rows import Asked, Deferred, Outcome, ask, look, settle
from instructor.exceptions import BudgetExceeded, ConfigurationError, ProviderError
from instructor.failures import may_recover, status_of
from instructor.options import advise_on_refusal
from instructor.providers.batches.steps import Out, Steps, feed, first
from instructor.providers.batches.vendor import Failure, Found, Intent, Progress, Vendor

if TYPE_CHECKING:
    from instructor.cache.entry import Entry
    from instructor.engine.call import Call
    from instructor.providers.adapter import Adapter

Again: TypeAlias = Literal["batch", "live", "never"]
"""What becomes of rows that expired or failed for a reason that may pass."""

ROUNDS = 3
"""How many batches a row may be part of."""
_BYTES_PER_TOKEN = 4
_PATIENCE = 10
"""How many times in a row a vendor may fail to say how far a batch is, or have no room for any."""
_LONGEST_PAUSE = 3600.0


@dataclass(slots=True)
class Job:
    """A job under way.

    Attributes:
        record: What stands of it in the store.
        adapter: The way to the vendor.
        vendor: Its batch API.
        shelf: Where its records are.
        order: The keys of its rows, equal ones too.
        asked: What is asked under each key; None where that isn't known, or has an outcome.
        make: Makes the call of a key.
        read: Makes an answer of its entry.
        again: What becomes of rows that expired or failed.
        can_submit: Whether the rows are known, and not only their keys.
        pause: Seconds between two looks at a batch.
        sleep: Waits for seconds.
        outcomes: What has become of each key, where that is final.
        failed: What may be asked again.
        refused: What the vendor had no room for, so that nothing of it was asked.
        most_rows: How many rows a batch may have.
        intents: The batches that aren't read yet, with their keys.
        progress: How far they were when they were asked last.
        planned: How many rows are in batches that aren't read yet, and about how many tokens they read.
    """

    record: JobRecord
    adapter: Adapter
    vendor: Vendor
    shelf: Shelf
    order: Sequence[str]
    asked: dict[str, Asked | None]
    make: Callable[[str, Asked | None], Call[Any]]
    read: Callable[[Entry], Any]
    again: Again
    can_submit: bool
    pause: float
    sleep: Callable[[float], object]
    most_rows: int
    outcomes: dict[str, Outcome[Any]] = field(default_factory=dict[str, "Outcome[Any]"])
    failed: dict[str, Failure] = field(default_factory=dict[str, Failure])
    refused: dict[str, Failure] = field(default_factory=dict[str, Failure])
    intents: dict[str, tuple[Intent, frozenset[str]]] = field(
        default_factory=dict[str, "tuple[Intent, frozenset[str]]"]
    )
    progress: dict[str, Progress] = field(default_factory=dict[str, Progress])
    planned: tuple[int, int] = (0, 0)

    def call(self, key: str) -> Call[Any]:
        """Make the call of a key."""
        return self.make(key, self.asked[key])

    def note(self, key: str, outcome: Outcome[Any]) -> None:
        """Note what has become of a row, for good."""
        self.outcomes[key] = outcome
        if key in self.asked:
            self.asked[key] = None


def begin(job: Job) -> Steps[None]:
    """Answer what the cache has, go on with what was submitted before, and submit the rest.

    The record is written before anything is submitted, and not of a job that is refused before.
    """
    under_way = yield from find_under_way(job)
    chunks: dict[Any, Chunk] = {}
    for key in job.asked:
        row = yield from answer_from_cache(job, key)
        if row is None:
            continue
        if key in under_way:
            intent, keys = under_way[key]
            job.intents[intent.id] = intent, keys
            plan(job)
        elif job.can_submit:
            yield from add(job, chunks, key, row)
        else:
            error = ConfigurationError("This row was never submitted. Pass the rows to client.batch() to ask for it.")
            job.note(key, Outcome(error=error))
    yield from job.shelf.keep_job(job.record, job.order)
    for chunk in chunks.values():
        yield from submit(job, chunk)
    for intent, keys in {intent.id: (intent, keys) for intent, keys in under_way.values()}.values():
        if intent.id not in job.intents and keys <= job.outcomes.keys():
            yield from job.shelf.close(intent)  # all of it was read before


def answer_from_cache(job: Job, key: str) -> Steps[Deferred | None]:
    """Answer a row from the cache; return its request where the cache has no answer."""
    try:
        answered = yield partial(look, job.call(key))
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - such as a cache mode that sends nothing: the row's affair
        job.note(key, Outcome(error=error))
        return None
    if isinstance(answered, Deferred):
        return answered
    job.note(key, answered)
    return None


@dataclass(slots=True)
class Chunk:
    """Rows that are to be one batch."""

    operation: str
    headers: dict[str, str]
    keys: list[str] = field(default_factory=list[str])
    lines: list[Any] = field(default_factory=list[Any])
    size: int = 0


def add(job: Job, chunks: dict[Any, Chunk], key: str, row: Deferred) -> Steps[None]:
    """Write a row, and submit the batch that has no more room for it."""
    vendor = job.vendor
    if row.operation not in vendor.operations:
        raise ConfigurationError(
            f"{job.record.provider}'s batches don't take {row.operation}. Ask live for this model."
        )
    line, size, headers = vendor.write(key, row.operation, row.request)
    if size > vendor.most_bytes:
        text = f"The row has {size:,} bytes; a batch of {job.record.provider} takes {vendor.most_bytes:,}. Shorten it."
        job.note(key, Outcome(error=ConfigurationError(text)))
        return
    try:
        for budget in row.budgets:
            budget.admit(job.record.provider, job.record.model, *job.planned)
    except BudgetExceeded as error:
        job.note(key, Outcome(error=error))
        return
    plan(job, size // _BYTES_PER_TOKEN)
    group = (row.operation, tuple(sorted(headers.items())))
    if group not in chunks:
        yield from check_arguments(job, row)
    chunk = chunks.setdefault(group, Chunk(row.operation, dict(headers)))
    if chunk.keys and (len(chunk.keys) >= job.most_rows or chunk.size + size > vendor.most_bytes):
        yield from job.shelf.keep_job(job.record, job.order)
        yield from submit(job, chunk)
        chunk = chunks[group] = Chunk(row.operation, dict(headers))
    chunk.keys.append(key)
    chunk.lines.append(line)
    chunk.size += size


def check_arguments(job: Job, row: Deferred) -> Steps[None]:
    """Refuse what the SDK's own method wouldn't take. A batch takes anything, and each of its rows fails, a day later."""
    check: Callable[..., None] | None = getattr(job.adapter, "check_arguments", None)
    if check is None:
        return
    yield job.adapter.prepare
    try:
        check(row.operation, row.request)
    except TypeError as error:
        raise ConfigurationError(
            f"The SDK for {job.record.provider} does not take the request ({row.operation}): {error}. "
            f"{advise_on_refusal(error)}"
        ) from error


def plan(job: Job, tokens: int = 0) -> None:
    """Count a row that is in a batch, for the budgets."""
    rows, before = job.planned
    job.planned = rows + 1, before + tokens


def submit(job: Job, chunk: Chunk) -> Steps[None]:
    """Announce a batch, submit it, and note what the vendor calls it.

    Whoever dies in between leaves a record by which the next one looks for the batch at the vendor.
    """
    record = job.record
    name = f"{record.id}-{secrets.token_hex(4)}"
    intent = Intent(
        id=name,
        job=record.id,
        provider=record.provider,
        model=record.model,
        operation=chunk.operation,
        size=len(chunk.keys),
        created=time.time(),
        headers=chunk.headers,
        after=(yield from find_newest(job)),
    )
    yield from job.shelf.keep_intent(intent, chunk.keys)
    uploaded = yield from job.vendor.upload(job.adapter, intent, chunk.lines)
    now = yield from job.shelf.intent(name)
    if now is None or now.closed:
        raise ConfigurationError(f"Another process has taken batch {name} over. Run this again: it goes on with that.")
    try:
        vendor_id = yield from job.vendor.create(job.adapter, intent, uploaded)
    except Exception as error:
        cause = error.__cause__ or error
        if status_of(cause) != 429 or not may_recover(cause):  # noqa: PLR2004 - HTTP
            raise
        yield from job.shelf.close(intent)
        job.refused |= dict.fromkeys(chunk.keys, Failure(str(error), "429", again=True))
        return
    intent = replace(intent, vendor_id=vendor_id)
    yield from job.shelf.update(intent)
    job.intents[name] = intent, frozenset(chunk.keys)


def find_newest(job: Job) -> Steps[str]:
    """The vendor's newest batch: what is newer may be ours. No clock has a say in that."""
    if not job.vendor.newest_first:
        return ""
    batch = yield from first(job.vendor.listing(job.adapter), lambda _: True)
    return "" if batch is None else job.vendor.name(batch)


def find_under_way(job: Job) -> Steps[dict[str, tuple[Intent, frozenset[str]]]]:
    """Which rows of the job are part of a batch already, of whatever job."""
    found: dict[str, tuple[Intent, frozenset[str]]] = {}
    intents = attached((yield from job.shelf.intents(job.record.id)), job.record.provider, job.record.model)
    known = {intent.vendor_id for intent in intents}
    for intent in intents:
        keys = frozenset((yield from job.shelf.keys(intent)))
        wanted = keys & job.asked.keys()
        if not wanted:
            continue
        placed: Intent | None = intent
        if not intent.vendor_id:
            placed = yield from place(job, intent, known)
        if placed is not None:
            found.update(dict.fromkeys(wanted, (placed, keys)))
    return found


def place(job: Job, intent: Intent, known: Iterable[str] = ()) -> Steps[Intent | None]:
    """Find the batch of an intent at the vendor, for one whose process died between submission and record."""
    looking, vendor = replace(intent, excluded=(*intent.excluded, *filter(None, known))), job.vendor

    def ends(batch: Any) -> bool:
        return vendor.name(batch) == intent.after or vendor.resembles(batch, looking)

    batch = yield from first(vendor.listing(job.adapter), ends)
    if batch is None or vendor.name(batch) == intent.after:
        yield from job.shelf.close(intent)
        return None
    placed = replace(intent, vendor_id=vendor.name(batch))
    yield from job.shelf.update(placed)
    return placed


def results(job: Job) -> Steps[None]:
    """Show the key of each row as soon as its outcome is final."""
    for key in list(job.outcomes):
        yield Out(key)
    for turn in range(ROUNDS):
        yield from finish(job)
        again = job.failed if job.can_submit and job.again != "never" else {}
        if not again or turn == ROUNDS - 1:
            break
        yield from ask_again(job, list(again))
    for key, failure in job.failed.items():
        yield from end(job, key, Outcome(error=make_error(job, failure), batched=True))


def finish(job: Job) -> Steps[None]:
    """Wait for all batches and read them, and submit again what the vendor had no room for, once there may be some."""
    tries = 0
    while True:
        before = _count_ended(job)
        yield from read_batches(job)
        tries = 0 if _count_ended(job) > before else tries + 1
        if not job.refused or tries == _PATIENCE or not job.can_submit or job.again != "batch":
            break
        if tries:  # either the batches of others take all the room, or this is more than there is
            job.most_rows = max(1, len(job.refused) // 2)
            yield partial(job.sleep, min(job.pause * 2.0**tries, _LONGEST_PAUSE))
        again, job.refused = list(job.refused), {}
        yield from submit_again(job, again)
    refused, job.refused = job.refused, {}
    if job.again == "live":
        job.failed |= refused
        return
    for key, failure in refused.items():
        yield from end(job, key, Outcome(error=make_error(job, failure)))


def _count_ended(job: Job) -> int:
    return len(job.outcomes) + len(job.failed)


def read_batches(job: Job) -> Steps[None]:
    """Wait for all batches, and read each when it has ended."""
    while job.intents:
        for intent, keys in list(job.intents.values()):
            progress = yield from poll(job, intent)
            if progress.ended:
                yield from collect(job, intent, keys, progress)
        if job.intents:
            yield partial(job.sleep, job.pause)


def poll(job: Job, intent: Intent) -> Steps[Progress]:
    """Ask how far a batch is. A vendor that doesn't answer for a while is no reason to leave a job of a day."""
    for turn in range(_PATIENCE):
        try:
            progress = yield from look_at(job.vendor, job.adapter, intent)
        except ProviderError as error:
            cause = error.__cause__ or error
            if turn == _PATIENCE - 1 or (status_of(cause) is not None and not may_recover(cause)):
                raise
            yield partial(job.sleep, job.pause)
        else:
            job.progress[intent.id] = progress
            return progress
    raise AssertionError("the last turn returns or raises")


def is_unknown(error: Exception) -> bool:
    """Whether the vendor has nothing of that name, or not for this key."""
    return status_of(error.__cause__ or error) == 404  # noqa: PLR2004 - HTTP


def look_at(vendor: Vendor, adapter: Adapter, intent: Intent) -> Steps[Progress]:
    """Ask how far a batch is. One that the vendor doesn't know isn't submitted again: it may be another project's."""
    try:
        return (yield from vendor.poll(adapter, intent))
    except Exception as error:
        if not is_unknown(error):
            raise
        unknown = error
    raise ConfigurationError(
        f"{intent.provider} doesn't know batch {intent.vendor_id}, which has rows of this job: it was deleted or is no "
        "longer kept there, or belongs to another project than this key. With its own key, run this again. To ask for its "
        f"rows anew, cancel job {intent.job} first: `instructor batch cancel PLACE {intent.job}`."
    ) from unknown


def collect(job: Job, intent: Intent, keys: frozenset[str], progress: Progress) -> Steps[None]:
    """Read what a batch has brought. Rows that come twice count once, and those of others are left to them."""
    seen: set[str] = set()

    def take_own(row: Found) -> Steps[bool]:
        if row.key in keys:
            seen.add(row.key)
            yield from take(job, end_for_good(row) if progress.error else row)
        return False

    try:
        yield from feed(job.vendor.results(job.adapter, intent), take_own)
    except Exception as error:
        if not is_unknown(error):  # the vendor has the batch, and keeps its results no longer
            raise
    if not seen and progress.done + progress.failed and not job.vendor.keeps_names:
        yield from replace_stranger(job, intent, keys)
        return
    del job.intents[intent.id]
    message = progress.error or "The batch ended without an answer to it."
    failure = Failure(message, again=progress.is_refused or not progress.error)
    missing = [key for key in keys & job.asked.keys() - seen if key not in job.outcomes]
    if progress.is_refused:
        job.refused |= dict.fromkeys(missing, failure)
        missing = []
    for key in missing:
        yield from take(job, Found(key, failure=failure))
    if keys <= job.asked.keys() or progress.is_refused:
        yield from job.shelf.close(intent)


def end_for_good(row: Found) -> Found:
    """A row of a batch that failed as a whole, or that somebody cancelled: it isn't asked again."""
    return row if row.failure is None else replace(row, failure=replace(row.failure, again=False))


def replace_stranger(job: Job, intent: Intent, keys: frozenset[str]) -> Steps[None]:
    """Go on from a batch that looked like ours and has none of our rows: there may be another one that does."""
    excluded = (*intent.excluded, intent.vendor_id)
    placed = yield from place(job, replace(intent, vendor_id="", excluded=excluded))
    if placed is not None:
        job.intents[intent.id] = placed, keys
        return
    del job.intents[intent.id]
    job.failed |= dict.fromkeys(
        keys & job.asked.keys() - job.outcomes.keys(), Failure("No batch has an answer to it.", again=True)
    )


def take(job: Job, row: Found) -> Steps[None]:
    """Make of a row of results what its caller gets, and store it."""
    if row.key in job.outcomes or row.key not in job.asked:
        return
    if row.failure is not None:
        if row.failure.again:
            job.failed.setdefault(row.key, row.failure)
            return
        yield from end(job, row.key, Outcome(error=make_error(job, row.failure), batched=True))
        return
    goes_on = job.can_submit and job.again != "never"
    try:
        outcome = yield partial(settle, job.call(row.key), row.completion, goes_on=goes_on)
    except Exception as error:  # noqa: BLE001 - an answer that can't be used is its row's affair
        yield from end(job, row.key, Outcome(error=error, batched=True))
    else:
        yield from end(job, row.key, outcome)


def end(job: Job, key: str, outcome: Outcome[Any]) -> Steps[None]:
    """Note the final outcome of a row, and show it."""
    job.note(key, outcome)
    yield Out(key)


def ask_again(job: Job, keys: Sequence[str]) -> Steps[None]:
    """Ask for rows that expired or failed: in the next batch, or live."""
    for key in keys:
        del job.failed[key]
    yield from submit_again(job, keys)


def submit_again(job: Job, keys: Sequence[str]) -> Steps[None]:
    """Ask for rows that no batch has answered, unless the cache has them by now."""
    chunks: dict[Any, Chunk] = {}
    job.planned = 0, 0
    for key in keys:
        try:
            answered = yield partial(ask if job.again == "live" else look, job.call(key))
        except Exception as error:  # noqa: BLE001 - as above
            yield from end(job, key, Outcome(error=error))
            continue
        if isinstance(answered, Deferred):
            yield from add(job, chunks, key, answered)
            if key in job.outcomes:  # it was refused
                yield Out(key)
        else:
            yield from end(job, key, answered)
    for chunk in chunks.values():
        yield from submit(job, chunk)


def make_error(job: Job, failure: Failure) -> ProviderError:
    """The error of a row that has no answer."""
    return ProviderError(job.record.provider, failure.message, code=failure.code)


def cancel(job: Job) -> Steps[None]:
    """Ask the vendor to stop. What is answered by then is read, and nothing is asked again."""
    job.again = "never"
    for intent, keys in list(job.intents.values()):
        if not (yield from cancel_batch(job.vendor, job.adapter, job.shelf, intent)):
            del job.intents[intent.id]
            missing = keys & job.asked.keys() - job.outcomes.keys()
            job.failed |= dict.fromkeys(missing, Failure(f"{job.record.provider} doesn't know its batch any more."))


def cancel_batch(vendor: Vendor, adapter: Adapter, shelf: Shelf, intent: Intent) -> Steps[bool]:
    """Ask the vendor to stop a batch; one that it doesn't know is forgotten. Returns whether it knows it."""
    try:
        yield from vendor.cancel(adapter, intent)
    except Exception as error:
        if not is_unknown(error):
            raise
        yield from shelf.close(intent)
        return False
    return True

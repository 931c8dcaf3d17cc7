"""The layer of the clients that answers many rows: `map`, over what answers a single call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from instructor.base_client import BaseClient
from instructor.cache_modes import mode_of_call
from instructor.checks import check_budgets, find_model
from instructor.engine.call import Call, Common
from instructor.engine.drive import drive, drive_async
from instructor.event_loop import running_loop
from instructor.exceptions import ArgumentError
from instructor.jobs.methods import map_keywords, typed_async_map, typed_map
from instructor.messages import Conversation, ResponseModel, Value, copy_value
from instructor.options import NOT_GIVEN

if TYPE_CHECKING:
    from instructor.engine.path import Unserved
    from instructor.jobs.asking import Miss, Question
    from instructor.jobs.job import AsyncJob, Job, Terms
    from instructor.jobs.order import Foresight
    from instructor.jobs.spread import SpreadTerms
    from instructor.row import Row

_NO_SHARED_CACHE = (
    "engine= needs a cache that the workers share, so that no row is paid for twice: "
    "from_provider(..., cache=RedisCache(url=...)), or a list that ends with one."
)
_OWN = frozenset({"batch", "concurrency", "on_error", "ordered", "progress"})
_OF_BATCHES = ("again", "poll_seconds", "store")
"""Keywords of `Instructor.batch`, which a live job has no use for."""
_TERMS = _OWN | {"again", "engine", "poll_seconds", "prompt"}
_MEANT = {
    **dict.fromkeys(("max_concurrency", "max_workers", "n_jobs", "workers"), "concurrency"),
    "show_progress": "progress",
    "template": "prompt",
}
"""Names from elsewhere that don't resemble ours, and that no SDK takes."""
_ALIKE = 0.88
"""How alike a name is that can only be a misspelling of one of ours."""
_MOST_KEPT = 4_096
"""How many answers a job keeps in memory where its client keeps none."""


class _JobClient(BaseClient):
    """How both clients begin a job."""

    _recipe: Callable[..., Any] | None = None
    """Makes this client again in another process, with another cache; None where the SDK's client was handed over."""

    def _ask(
        self, model: ResponseModel, keywords: Mapping[str, Value], job: Common, miss: Miss, unserved: Unserved | None
    ) -> Any:
        """Answer a row by the whole flow of a call; or make an awaitable of it."""
        raise NotImplementedError

    def _begin(self, model: ResponseModel, keywords: dict[str, Value]) -> tuple[Question[Any], Terms]:
        """Sort the keywords of a job into what it asks, and how it goes about it."""
        from instructor.jobs.asking import make_question
        from instructor.jobs.job import Terms
        from instructor.jobs.prompts import make_writer

        _check_keywords(keywords)
        terms = Terms(**{name: keywords.pop(name) for name in _OWN & keywords.keys()})
        if terms.batch == "auto":
            terms = replace(terms, batch="always" if self._can_batch(keywords) else "never")
            if terms.batch == "never":
                _forget_batches(keywords)
        write = make_writer(keywords.pop("prompt", None), keywords.pop("messages", None))
        if self._find_path(keywords.get("cache", NOT_GIVEN)) is None and terms.batch == "never":
            from instructor.cache.memory import AutoCache

            keywords["cache"] = AutoCache(_MOST_KEPT)
        if self._settings.limits is None and hasattr(self._adapter, "send_within"):  # what sends over a network
            keywords.setdefault("limits", "auto")

        path = self._find_path(keywords.get("cache", NOT_GIVEN))
        reads_apart = path is not None and not (self._adapter.asynchronous or path.tiers[0].handle.is_near)
        common = Common()
        ask = partial(self._ask, model, keywords, common)
        asker, foresight = self._make_asker(), self._find_foresight(model, keywords, common)
        question = make_question(
            asker, self._place, model, keywords, write, ask, reads_apart=reads_apart, foresight=foresight
        )
        return question, terms

    def _find_foresight(self, model: ResponseModel, keywords: dict[str, Value], common: Common) -> Foresight | None:
        """What knows which beginnings rows share; None where no provider is known to keep them."""
        wanted = self._setting(keywords, "prompt_cache")
        if wanted is None:
            return None
        from instructor.engine.path import Unserved
        from instructor.jobs.order import Foresight
        from instructor.prompt_caching.rules import find_rules
        from instructor.prompt_caching.setting import check_prompt_cache

        asked = str(keywords.get("model") or self._model)
        is_known = check_prompt_cache(wanted) is not None and find_rules(self._adapter.provider, asked) is not None
        if not is_known or keywords.get("autodetect_images"):  # for which each row's text is looked up on the disk
            return None

        def make_call(miss: Miss) -> Call[Any]:
            unserved = miss.found if isinstance(miss.found, Unserved) else None
            return self._call(model, miss.messages, keywords, unserved=unserved, takes_turn=False, job=common)

        return Foresight(self._stats.planner, make_call)

    def _assign(self, model: ResponseModel, keywords: dict[str, Value]) -> SpreadTerms:
        """Sort the keywords of a job on an engine. What the blocks around it say goes along, since they end here."""
        from instructor.engines.opening import find_engine
        from instructor.jobs.job import Terms
        from instructor.jobs.prompts import make_writer
        from instructor.jobs.shares import Purse
        from instructor.jobs.spread import SpreadTerms
        from instructor.jobs.work import Assignment, identify, make_work

        open_later = find_engine(keywords.pop("engine"))
        _check_keywords(keywords)
        terms = Terms(**{name: keywords.pop(name) for name in _OWN & keywords.keys()})
        if terms.batch == "always":
            raise ArgumentError('engine= asks live, and batch="always" in batches. Leave one of them out.')
        if terms.batch == "auto":
            _forget_batches(keywords)
        make_writer(keywords.get("prompt"), keywords.get("messages"))  # so that a mistake shows here
        path = self._find_path(keywords.pop("cache", NOT_GIVEN))
        if path is None or "local" in path.tiers[-1].handle.store.abilities:
            raise ArgumentError(_NO_SHARED_CACHE)
        use = mode_of_call(keywords.pop("cache_mode", None)) or self._use.mode
        budgets = check_budgets(self._settings.budget, keywords.pop("budget", None))
        asked = find_model({**keywords}, self._defaults, self._model, self._adapter.provider)
        keywords |= {"cache_mode": use.name, "concurrency": terms.concurrency, "progress": False}
        assignment = Assignment(self._recipe, identify(self), model, keywords)
        work = make_work(assignment, path.handle.store)
        return SpreadTerms(
            open_later, work, terms, Purse(budgets, self._adapter.provider, asked), self._stats.books.add
        )

    def _can_batch(self, keywords: Mapping[str, Value]) -> bool:
        from instructor.jobs.batched import can_batch

        path = self._find_path(keywords.get("cache", NOT_GIVEN))
        return path is not None and can_batch(self._adapter.provider, path.tiers[-1].handle)


def _check_keywords(keywords: Mapping[str, Value]) -> None:
    """Refuse what can only be a mistake, before a row is read: an SDK would refuse it at the first request."""
    if keywords.get("stream"):
        raise ArgumentError("stream=True is for a single call. A job hands out whole answers; leave it out.")
    from difflib import get_close_matches

    for name in keywords.keys() - _TERMS:
        meant = _MEANT.get(name) or next(iter(get_close_matches(name, _TERMS, 1, _ALIKE)), None)
        if meant is not None:
            raise ArgumentError(f"map() has no {name}=. Did you mean {meant}=?")
    for name in ("again", "poll_seconds"):
        if name in keywords and keywords.get("batch", "never") == "never":
            raise ArgumentError(f'{name}= is about batches. Pass batch="always" or "auto" too, or leave it out.')


def _forget_batches(keywords: dict[str, Value]) -> None:
    """Drop what is about batches from the keywords of a job that asks live after all."""
    for name in _OF_BATCHES:
        keywords.pop(name, None)


class MapClient(_JobClient):
    """What `Instructor` inherits."""

    @typed_map(map_keywords)
    def map(self, rows: Value, response_model: ResponseModel = None, **keywords: Value) -> Job[Value]:
        """Ask about each row of any number of rows, many at once, and hand out the answers as typed rows.

        Rows that the cache can answer are handed out as they are read. Equal rows make one request: in a client without
        a cache the job keeps its last answers in memory, for as long as it runs; ``cache_mode="bypass"`` asks for each
        row. Rows are read while answers are awaited, some hundreds ahead, so any number of them takes little memory.

        Args:
            rows: Any iterable, such as a list, a file or a generator; or a data frame of pandas, polars, pyarrow or
                anything else that hands over Arrow's data, whose rows are dicts.
            response_model: As in `create`.
            prompt: The text of the user's message about a row: a Jinja2 template over its fields, such as
                ``"Classify: {{ text }}"``, or a function of the row. A row that is a text has the field ``text``, and
                ``record`` is the row as a whole. Default: the text of the row.
            messages: In place of it the whole conversation, with templates in its texts, or a function of the row.
                Without both, a row that is a list is a conversation.
            concurrency: How many rows to ask about at once; ``"auto"`` begins with a few, and learns how many there
                can be until answers get slower or fail.
            on_error: ``"raise"`` ends the job at the first row that has no answer, once the rows before it are handed
                out. ``"collect"`` hands it out with its error; only an error that every row would meet, such as a
                missing key, ends the job then.
            batch: ``"always"`` asks through the vendor's batch API, at half the price and within a day, as `batch` does: all
                rows are read first, and the cache must be a store that outlives the process. ``"auto"`` does so where
                the vendor and the cache can. Default: ``"never"``. The keywords of `batch` go with it.
            ordered: Whether rows come in the order of the input, or as they are answered.
            progress: Whether a job that takes longer than half a second shows what it has done, and at what price: a bar
                on a terminal and in a notebook, elsewhere a line on standard error every ten seconds.
            engine: Who works on the rows: ``"dask"``, ``"ray"``, a ``dask.distributed.Client``, the module ``ray``, or a
                ``concurrent.futures.Executor``. Default: this process. Workers make this client for themselves, with
                what was passed to `from_provider` and the keys of their own environment, but without its hooks, and
                need a store that all share. `concurrency` then counts for each group of rows that is under way.
            **keywords: For each call, as in `create`; such as ``budget=``. ``limits`` is ``"auto"`` by default: rows wait
                for their turn rather than be refused by the provider.

        Returns:
            A `Job`: an iterator of `Row`, and a context manager.

        Raises:
            InstructorError: As `create`, while rows are taken; EngineError if the engine can't go on.

        Example:
            >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
            >>> rows = [{"id": 7, "text": "Anna is 25."}, {"id": 8, "text": "Ben is 31."}]
            >>> for row in client.map(rows, User, prompt="{{ text }} How old?"):
            ...     print(row.input["id"], row.value)
            7 name='Anna' age=25
            8 name='Ben' age=31
        """
        from instructor.jobs.job import Job

        if keywords.get("engine") is not None:
            from instructor.jobs.spread import SpreadJob

            return cast("Job[Value]", SpreadJob(self._assign(response_model, keywords), rows))
        keywords.pop("engine", None)
        question, terms = self._begin(response_model, keywords)
        if terms.batch == "never":
            return Job(question, rows, terms)
        from instructor.jobs.batched import BatchedRows, read_batch
        from instructor.jobs.sources import read_rows

        submit = partial(cast("Any", self).batch, response_model=response_model, messages=question.write, **keywords)
        return Job(BatchedRows[Value](), rows, terms, read_batch(submit, read_rows(rows, asynchronous=False)))

    def _ask(
        self, model: ResponseModel, keywords: Mapping[str, Value], job: Common, miss: Miss, unserved: Unserved | None
    ) -> Row[Value]:
        from instructor.jobs.asking import answer_row

        call = self._call(model, miss.messages, keywords, unserved=unserved, job=job)
        return drive(answer_row(call, miss), self._adapter)


class AsyncMapClient(_JobClient):
    """What `AsyncInstructor` inherits."""

    @typed_async_map(map_keywords)
    def map(self, rows: Value, response_model: ResponseModel = None, **keywords: Value) -> AsyncJob[Value]:
        """As `Instructor.map`; ``async for`` takes the rows, which may be an asynchronous iterable, too.

        A plain iterable is read in the event loop: pass an asynchronous one where reading takes long.

        Args:
            rows: As in `Instructor.map`.
            response_model: As in `Instructor.map`.
            **keywords: As in `Instructor.map`.

        Returns:
            An `AsyncJob`. Use it in ``async with`` where it may be left early.

        Raises:
            InstructorError: As `create`, while rows are taken.
        """
        from instructor.jobs.job import AsyncJob

        if keywords.get("engine") is not None:
            from instructor.jobs.spread import AsyncSpreadJob

            return cast("AsyncJob[Value]", AsyncSpreadJob(self._assign(response_model, keywords), rows))
        keywords.pop("engine", None)
        question, terms = self._begin(response_model, keywords)
        if terms.batch == "never":
            return AsyncJob(question, rows, terms)
        from instructor.jobs.batched import BatchedRows, read_batch_later
        from instructor.jobs.sources import read_rows

        submit = partial(cast("Any", self).batch, response_model=response_model, messages=question.write, **keywords)
        return AsyncJob(BatchedRows[Value](), rows, terms, read_batch_later(submit, read_rows(rows, asynchronous=True)))

    async def _ask(
        self, model: ResponseModel, keywords: Mapping[str, Value], job: Common, miss: Miss, unserved: Unserved | None
    ) -> Row[Value]:
        from instructor.jobs.asking import answer_row

        call = await self._call_awaited(model, miss.messages, keywords, unserved=unserved, job=job)
        return await drive_async(answer_row(call, miss), self._adapter)

    async def _call_awaited(
        self, response_model: ResponseModel, messages: Conversation, keywords: Mapping[str, Value], **details: Value
    ) -> Call[Value]:
        """`_call`. Where texts are to be looked up as files it runs in a thread, because a disk may be slow."""
        if not keywords.get("autodetect_images") or running_loop() is None:
            return self._call(response_model, messages, keywords, **details)
        import asyncio

        kept = copy_value(messages)  # another task may change them meanwhile
        return await asyncio.to_thread(self._call, response_model, kept, keywords, **details)

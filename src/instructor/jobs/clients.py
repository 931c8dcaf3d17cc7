"""The layer of the clients that answers many rows: `map`, over what answers a single call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from instructor.base_client import BaseClient
from instructor.cache.flight import running_loop
from instructor.cache.memory import AutoCache
from instructor.engine.call import Call
from instructor.engine.drive import drive, drive_async
from instructor.engine.reply import answer_with_reply
from instructor.exceptions import ArgumentError
from instructor.jobs.methods import map_keywords, typed_async_map, typed_map
from instructor.messages import Conversation, ResponseModel, Value, copy_values
from instructor.options import NOT_GIVEN

if TYPE_CHECKING:
    from instructor.engine.path import Unserved
    from instructor.engine.reply import Reply
    from instructor.jobs.asking import Question
    from instructor.jobs.job import AsyncJob, Job, Terms

_OWN = frozenset({"concurrency", "on_error", "ordered", "progress"})
_MOST_KEPT = 4_096
"""How many answers a job keeps in memory where its client keeps none."""


class _JobClient(BaseClient):
    """How both clients begin a job."""

    def _reply(
        self,
        response_model: ResponseModel,
        messages: Conversation,
        keywords: Mapping[str, Any],
        unserved: Unserved | None = None,
        *,
        is_row: bool = False,
    ) -> Any:
        """Answer a call with a `Reply`, or an awaitable of one."""
        raise NotImplementedError

    def _begin(self, model: ResponseModel, keywords: dict[str, Any]) -> tuple[Question[Any], Terms]:
        """Sort the keywords of a job into what it asks, and how it goes about it."""
        from instructor.jobs.asking import make_question
        from instructor.jobs.job import Terms
        from instructor.jobs.prompts import make_writer

        if keywords.get("stream"):
            raise ArgumentError("stream=True is for a single call. A job hands out whole answers; leave it out.")
        terms = Terms(**{name: keywords.pop(name) for name in _OWN & keywords.keys()})
        write = make_writer(keywords.pop("prompt", None), keywords.pop("messages", None))
        if self._find_path(keywords.get("cache", NOT_GIVEN)) is None:
            keywords["cache"] = AutoCache(_MOST_KEPT)

        def reply(messages: Conversation, unserved: Unserved | None) -> Any:
            return self._reply(model, messages, keywords, unserved, is_row=True)

        return make_question(self._make_asker(), self._place, model, keywords, write, reply), terms


class MapClient(_JobClient):
    """What `Instructor` inherits."""

    @typed_map(map_keywords)
    def map(self, rows: Any, response_model: ResponseModel = None, **keywords: Any) -> Job[Value]:
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
            ordered: Whether rows come in the order of the input, or as they are answered.
            progress: Whether a job that takes longer than half a second shows what it has done, and at what price: a bar
                on a terminal and in a notebook, elsewhere a line on standard error every ten seconds.
            **keywords: For each call, as in `create`; such as ``budget=``.

        Returns:
            A `Job`: an iterator of `Row`, and a context manager.

        Raises:
            InstructorError: As `create`, while rows are taken.

        Example:
            >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
            >>> rows = [{"id": 7, "text": "Anna is 25."}, {"id": 8, "text": "Ben is 31."}]
            >>> for row in client.map(rows, User, prompt="{{ text }} How old?"):
            ...     print(row.input["id"], row.value)
            7 name='Anna' age=25
            8 name='Ben' age=31
        """
        from instructor.jobs.job import Job

        question, terms = self._begin(response_model, keywords)
        return Job(question, rows, terms)

    def _reply(
        self,
        response_model: ResponseModel,
        messages: Conversation,
        keywords: Mapping[str, Any],
        unserved: Unserved | None = None,
        *,
        is_row: bool = False,
    ) -> Reply[Value]:
        call = self._call(response_model, messages, keywords, unserved=unserved)
        return drive(answer_with_reply(call._replace(is_row=is_row)), self._adapter)


class AsyncMapClient(_JobClient):
    """What `AsyncInstructor` inherits."""

    @typed_async_map(map_keywords)
    def map(self, rows: Any, response_model: ResponseModel = None, **keywords: Any) -> AsyncJob[Value]:
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

        question, terms = self._begin(response_model, keywords)
        return AsyncJob(question, rows, terms)

    async def _reply(
        self,
        response_model: ResponseModel,
        messages: Conversation,
        keywords: Mapping[str, Any],
        unserved: Unserved | None = None,
        *,
        is_row: bool = False,
    ) -> Reply[Value]:
        call = await self._call_awaited(response_model, messages, keywords, unserved=unserved)
        return await drive_async(answer_with_reply(call._replace(is_row=is_row)), self._adapter)

    async def _call_awaited(
        self, response_model: ResponseModel, messages: Conversation, keywords: Mapping[str, Any], **details: Any
    ) -> Call[Value]:
        """`_call`. Where texts are to be looked up as files it runs in a thread, because a disk may be slow."""
        if not keywords.get("autodetect_images") or running_loop() is None:
            return self._call(response_model, messages, keywords, **details)
        import asyncio

        kept = copy_values({"messages": messages})["messages"]  # another task may change them meanwhile
        return await asyncio.to_thread(self._call, response_model, kept, keywords, **details)

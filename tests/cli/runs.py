"""Runs of ``instructor extract`` in this process, over a client whose provider is a function of the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import BaseModel

from instructor import Instructor, Mode
from instructor.cli.command import map_records, write_answer
from instructor.cli.extract import Job, listen
from instructor.cli.inputs import Inputs
from instructor.cli.output import Output
from instructor.cli.run_stats import Outcome
from instructor.cli.settings import Settings
from instructor.jobs.prompts import make_prompt
from instructor.messages import Request
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT


class Number(BaseModel):
    number: int


def job_of(
    source: Inputs,
    output: Output,
    ask: Callable[[int], int],
    *,
    concurrency: int,
    report: Callable[[Outcome], None] = lambda _: None,
    announce: Callable[[str], None] = lambda _: None,
    cache: Any = None,
) -> Job:
    """Make the run of a source of numbers: `ask` answers each, as the provider."""

    def reply(request: Request) -> dict[str, int]:
        return {"number": ask(int(request["messages"][-1]["content"]))}

    client = Instructor(
        ScriptedAdapter(reply), wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="any", cache=cache
    )
    listen(client)
    settings = Settings(sources=[], response_model="", model="", out="")
    return Job(
        source=source,
        limit=None,
        prompt=make_prompt(None),
        write_answer=write_answer,
        output=output,
        concurrency=concurrency,
        report=report,
        announce=announce,
        map=partial(map_records, client, Number, settings),
    )


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise TimeoutError

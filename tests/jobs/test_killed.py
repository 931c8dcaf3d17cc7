"""A job that is killed and run again pays for one pass, and for what was under way when it was killed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forks import Template

ROWS = 200
AT_ONCE = 8
PROGRAM = f"""
import os, sys
from pydantic import BaseModel
from instructor import DiskCache, Instructor, Mode
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

class Answer(BaseModel):
    text: str

log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def reply(request):
    text = request["messages"][-1]["content"]
    os.write(log, text.encode() + b"\\n")
    return {{"text": text}}

cache = DiskCache(sys.argv[2], lease=0.2)  # how long the next process waits for what this one was asking
client = Instructor(ScriptedAdapter(reply), wires={{Mode.TOOLS: OPENAI_CHAT}}, mode=Mode.TOOLS, model="m", cache=cache)
with client.map((f"row {{number}}" for number in range({ROWS})), Answer, concurrency={AT_ONCE}, progress=False) as job:
    print([row.value.text for row in job] == [f"row {{number}}" for number in range({ROWS})])
"""


@pytest.fixture
def run_killed(template: Template, tmp_path: Path) -> Callable[[int], tuple[int, str]]:
    """Run the job until so many requests were made in all, and kill it; return their number, and what it wrote."""
    program, log = tmp_path / "job.py", tmp_path / "log"
    program.write_text(PROGRAM)

    def count() -> int:
        return log.read_bytes().count(b"\n") if log.exists() else 0

    def run(most: int) -> tuple[int, str]:
        process = template.start(program, log, tmp_path / "answers", cwd=tmp_path)
        while process.poll() is None and count() < most:
            time.sleep(0.001)
        process.kill()
        written, complaints = process.communicate()
        assert not complaints
        return count(), written.strip()

    return run


def test_a_killed_job_pays_for_no_answer_twice(run_killed: Callable[[int], tuple[int, str]]):
    for kills, most in enumerate((30, 90, 150), 1):
        spent, _ = run_killed(most)
        assert spent >= most
        assert spent <= ROWS + kills * AT_ONCE
    spent, written = run_killed(10 * ROWS)
    assert written == "True"
    assert spent <= ROWS + 3 * AT_ONCE


@pytest.mark.soak
def test_fifty_kills_cost_one_pass_and_what_was_under_way(run_killed: Callable[[int], tuple[int, str]]):
    spent, kills = 0, 0
    while kills < 50:
        spent, written = run_killed(spent + random.Random(kills).randint(1, 9))
        kills += 1
        assert not written or spent >= ROWS, "it ended by itself, because every row has its answer"
    spent, written = run_killed(100 * ROWS)
    assert written == "True"
    assert spent <= ROWS + kills * AT_ONCE

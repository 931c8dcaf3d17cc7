"""What is drawn by chance leaves the program's own generator alone, and differs from process to process."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from forks import Template
from instructor import Retries
from instructor.chance import draw
from instructor.engine.freshness import draw_chance

CHILDREN = """
import os, sys
from instructor.chance import draw
for _ in range(2):
    child = os.fork()
    if not child:
        print(draw(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
print(draw())
"""


@pytest.mark.parametrize("use", [draw, draw_chance, lambda: Retries(requests=1).wait_after(1, ConnectionError(), 1)])
def test_what_a_seed_of_the_users_leads_to_is_left_alone(use: Callable[[], float | None]):
    state = random.getstate()
    try:
        random.seed(1)
        first, drawn = random.random(), use()
        random.seed(1)
        assert random.random() == first
        assert use() != drawn, "and clients that are seeded alike don't come back at once"
        following = random.random()
        random.seed(1)
        assert [random.random(), random.random()] == [first, following]
    finally:
        random.setstate(state)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks on Windows")
def test_two_children_do_not_draw_the_same(template: Template, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(CHILDREN)
    drawn = template.run(program, cwd=tmp_path).stdout.split()
    assert len(set(drawn)) == len(drawn) == 3

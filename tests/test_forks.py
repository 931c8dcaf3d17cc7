"""A forked process is one of its own: it begins afresh, ends as it says, and leaves nothing to the next."""

from __future__ import annotations

import signal
import subprocess
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from forks import SOURCE, Template

PROGRAM = """
import os, pathlib, sys
import openai
print(getattr(openai, "left", "nothing"), os.environ.get("LEFT"), pathlib.Path.cwd().name, *sys.argv[1:], sys.stdin.read())
openai.left, os.environ["LEFT"] = "something", "something"
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


def test_a_process_sees_what_it_is_given_and_nothing_of_the_one_before(template: Template, program: Path):
    program.write_text(PROGRAM)
    for _ in range(2):
        done = template.run(program, "word", text="text", cwd=program.parent, env={})
        assert (done.stdout, done.stderr) == (f"nothing None {program.parent.name} word text\n", "")


@pytest.mark.parametrize(
    ("end", "status", "shown"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('bad')", 1, "bad\n"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("atexit.register(lambda: sys.stderr.write('late'))", 0, "late"),
        ("threading.Timer(0.01, sys.stderr.write, ['late']).start()", 0, "late"),
        ("os.kill(os.getpid(), 15)", -15, ""),
    ],
)
def test_a_process_ends_as_one_of_the_interpreter_does(
    template: Template, program: Path, end: str, status: int, shown: str
):
    program.write_text(f"import atexit, os, sys, threading\nprint('printed', flush=True)\n{end}\n")
    done = template.run(program, cwd=program.parent)
    assert (done.returncode, done.stdout) == (status, "printed\n")
    assert shown in done.stderr


def test_a_process_is_waited_for_and_killed(template: Template, program: Path):
    program.write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    process = template.start(program, cwd=program.parent)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.kill()
    process.communicate()
    assert process.poll() == process.returncode == -signal.SIGKILL


def test_a_new_process_need_not_compile_the_package():
    assert not [path for path in SOURCE.rglob("*.py") if not Path(cache_from_source(path)).exists()]

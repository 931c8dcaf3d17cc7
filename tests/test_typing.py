"""The types that users see: a wrong use is reported. What a right use infers is checked by `make check`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WRONG = """
from pydantic import BaseModel

from instructor import AsyncInstructor, Instructor
from instructor.cache import instructor_cache


class User(BaseModel):
    name: str


@instructor_cache
def extract(text: str) -> User:
    return User(name=text)


def use(client: Instructor) -> None:
    number: int = client.create(response_model=User, messages=[])
    one: User = client.create(response_model=list[User], messages=[])
    name: str = client.create_with_completion(response_model=User, messages=[])[0]
    extract(1)


async def use_later(client: AsyncInstructor) -> None:
    user: User = client.create(response_model=User, messages=[])
"""
WRONG_LINES = {18, 19, 20, 21, 25}


def test_a_wrong_use_is_reported_where_it_stands(tmp_path: Path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--no-error-summary", "--hide-error-context", str(wrong)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert {int(line.split("wrong.py:")[1].split(":")[0]) for line in errors} == WRONG_LINES, done.stdout + done.stderr

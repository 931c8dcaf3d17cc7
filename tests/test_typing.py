"""The types that users see: a wrong use is reported. What a right use infers is checked by `make check`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WRONG = """
from pydantic import BaseModel

from instructor import AsyncInstructor, Instructor, from_provider
from instructor.cache import DiskCache, instructor_cache


class User(BaseModel):
    name: str


@instructor_cache
def extract(text: str) -> User:
    return User(name=text)


def use(client: Instructor) -> None:
    number: int = client.create(response_model=User, messages=[])  # wrong
    positional: int = client.create(User, [])  # wrong
    one: User = client.create(response_model=list[User], messages=[])  # wrong
    name: str = client.create_with_completion(response_model=User, messages=[])[0]  # wrong
    client.create(response_model=User, messages=[], cache="redis://localhost")  # wrong
    client.create(response_model=User, messages=[], cache=DiskCache)  # wrong
    client.create(response_model=User, messages=[], cache_ttl="1 hour")  # wrong
    client.create(response_model=User, messages=[], cache_namespace=7)  # wrong
    client.create(response_model=User, messages="hi", max_retries="3")  # wrong
    from_provider("openai/gpt-6-luna", cache="redis://localhost")  # wrong
    from_provider("openai/gpt-6-luna", cache_ttl="1 hour")  # wrong
    from_provider("openai/gpt-6-luna", mode=7)  # wrong
    extract(1)  # wrong


async def use_later(client: AsyncInstructor) -> None:
    user: User = client.create(response_model=User, messages=[])  # wrong
    answer = await client.create(User, [])
    number: int = answer  # wrong
    await client.create(response_model=User, messages=[], cache="redis://localhost")  # wrong
"""
WRONG_LINES = {number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# wrong")}


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

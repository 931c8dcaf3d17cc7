"""The types that users see: a wrong use is reported. What a right use infers is checked by `make check`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from servers import find_node

ROOT = Path(__file__).resolve().parents[1]
WRONG = """
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

from instructor import AsyncInstructor, Instructor, Partial, from_provider
from instructor.cache import DiskCache, instructor_cache
from instructor.streams import Stream


class User(BaseModel):
    name: str


@instructor_cache
def extract(text: str) -> User:
    return User(name=text)


def use(client: Instructor) -> None:
    number: int = client.create(response_model=User, messages=[])  # wrong
    positional: int = client.create(User, [])  # wrong
    one: User = client.create(response_model=list[User], messages=[])  # wrong
    user: User = client.create(User | None, [])  # wrong
    word: int = client.create(Literal["red"], [])  # wrong
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
    users = client.create(list[User], [], stream=True)
    shown: Stream[int] = users  # wrong
    whole: User = client.create(Partial[User], [], stream=True)  # wrong
    items = client.create_iterable(Iterable[User], [])
    lists: Stream[list[User]] = items  # wrong
    client.create_partial(User, [], cache_ttl="1 hour")  # wrong


async def use_later(client: AsyncInstructor) -> None:
    user: User = client.create(response_model=User, messages=[])  # wrong
    answer = await client.create(User, [])
    number: int = answer  # wrong
    await client.create(response_model=User, messages=[], cache="redis://localhost")  # wrong
"""
WRONG_LINES = {number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# wrong")}


def run_mypy(folder: Path, name: str) -> set[int]:
    """The lines of a file that mypy strict reports."""
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--no-error-summary", "--hide-error-context", name],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}


def run_pyright(folder: Path, name: str) -> set[int]:
    """The lines of a file that pyright strict reports."""
    settings = {"typeCheckingMode": "strict", "include": [name], "extraPaths": [str(ROOT / "src")]}
    settings["reportUnusedVariable"] = False  # a mistake is shown by assigning its result
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [str(find_node()), str(ROOT / "node_modules" / "pyright" / "index.js"), "--outputjson"]
    done = subprocess.run(
        [*command, "--pythonpath", sys.executable, "--project", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return {one["range"]["start"]["line"] + 1 for one in json.loads(done.stdout)["generalDiagnostics"]}


checkers = pytest.mark.parametrize("check", [run_mypy, run_pyright], ids=["mypy", "pyright"])
Check = Callable[[Path, str], set[int]]


@checkers
def test_a_wrong_use_is_reported_where_it_stands(check: Check, tmp_path: Path):
    (tmp_path / "wrong.py").write_text(WRONG)
    assert check(tmp_path, "wrong.py") == WRONG_LINES


@checkers
def test_the_code_of_the_readme_is_right_under_strict_checkers(check: Check, tmp_path: Path):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "readme.py").write_text("\n".join(blocks))
    assert len(blocks) > 4
    assert not check(tmp_path, "readme.py")

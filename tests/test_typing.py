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
README = ROOT / "README.md"
FILES = ("wrong.py", "readme.py")
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


UNSEEN = ["anthropic", "google", "jinja2", "openai", "redis", "rich", "typer"]
"""What neither file uses, and mypy would read for half a minute."""
MYPY = f"""
[tool.mypy]
strict = true
python_version = "3.11"
[[tool.mypy.overrides]]
module = ["instructor.*"]
follow_imports = "silent"
[[tool.mypy.overrides]]
module = {[f"{name}.*" for name in UNSEEN]}
follow_imports = "skip"
"""


def run_mypy(folder: Path) -> list[tuple[str, int]]:
    """The places that mypy strict reports."""
    (folder / "mypy.toml").write_text(MYPY)
    options = ["--config-file", "mypy.toml", "--cache-dir", str(ROOT / ".mypy_cache" / "users")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--no-error-summary", "--hide-error-context", *FILES],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    errors = (line.split(":") for line in done.stdout.splitlines() if ": error:" in line)
    return [(name, int(line)) for name, line, *_ in errors]


def run_pyright(folder: Path) -> list[tuple[str, int]]:
    """The places that pyright strict reports."""
    settings = {"typeCheckingMode": "strict", "include": [*FILES], "extraPaths": [str(ROOT / "src")]}
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
    errors = json.loads(done.stdout)["generalDiagnostics"]
    return [(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in errors]


@pytest.mark.parametrize("check", [run_mypy, run_pyright], ids=["mypy", "pyright"])
def test_a_wrong_use_is_reported_where_it_stands_and_the_code_of_the_readme_is_right(
    check: Callable[[Path], list[tuple[str, int]]], tmp_path: Path
):
    """One run for both, because starting a checker takes longer than its work."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 4
    for name, text in zip(FILES, (WRONG, "\n".join(blocks)), strict=True):
        (tmp_path / name).write_text(text)
    assert set(check(tmp_path)) == {("wrong.py", line) for line in WRONG_LINES}

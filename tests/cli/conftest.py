"""The command line as a user starts it: a process of its own, in a directory of its own, without any key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from forks import Forked, Template
from replies import ReplyServer

SOURCE = Path(__file__).resolve().parents[2] / "src"
MODELS = """
from typing import Literal
from pydantic import BaseModel

class User(BaseModel):
    name: str
    age: int

class Outer:
    class Inner(BaseModel):
        age: int

Users = list[User]
Mood = Literal["happy", "sad"]
"""


@pytest.fixture(scope="session", autouse=True)
def hangup() -> Iterator[None]:
    """Heed SIGHUP, which a test run under ``nohup`` ignores, as would every command that it starts."""
    if hasattr(signal, "SIGHUP"):
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        yield
        signal.signal(signal.SIGHUP, before)
    else:
        yield


@dataclass
class CommandLine:
    """Starts ``python -m instructor`` in `folder`.

    Attributes:
        template: Starts the processes.
        folder: The current directory; ``shapes.py`` with a few response models is in it.
        environment: Its environment, without any provider's key.
    """

    template: Template
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def words(self, source: str, *options: str, model: str = "offline/demo", shape: str = "shapes:User") -> list[str]:
        """Return the words of ``instructor extract`` with the options that every run needs."""
        needed = ["--response-model", shape, "--model", model, "--cache", "kept", "--out", "out.jsonl"]
        return ["extract", source, *needed, *options]

    def start(self, *words: str, **options: Any) -> Forked:
        """Start the command, and do not wait for it."""
        return self.template.start("-m", "instructor", *words, cwd=self.folder, env=self.environment, **options)

    def run(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, with `given` as its standard input."""
        return self.template.run("-m", "instructor", *words, text=given, cwd=self.folder, env=self.environment)

    def write(self, name: str, text: str | bytes) -> str:
        """Write a file in the folder; return its name."""
        (self.folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    def read_lines(self, name: str = "out.jsonl") -> list[dict[str, Any]]:
        """Read an output."""
        return [json.loads(line) for line in (self.folder / name).read_text(encoding="utf-8").splitlines()]

    def read_report(self) -> dict[str, Any]:
        """Read the figures that ``--report figures.json`` wrote."""
        return json.loads((self.folder / "figures.json").read_text())


@pytest.fixture
def command_line(tmp_path: Path, template: Template) -> CommandLine:
    """The command line in a new directory."""
    (tmp_path / "shapes.py").write_text(MODELS)
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_TOKEN", "_BASE_URL"))}
    more = {"PYTHONPATH": str(SOURCE), "COLUMNS": "100", "PYTHONUTF8": "1", "NO_PROXY": "127.0.0.1,localhost"}
    return CommandLine(template, tmp_path, kept | more)


@pytest.fixture
def live(command_line: CommandLine, reply_server: ReplyServer) -> Iterator[Callable[..., list[str]]]:
    """Words that send the requests to `reply_server` with the openai SDK."""
    command_line.environment |= {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": reply_server.url}

    def words(source: str, *options: str) -> list[str]:
        return command_line.words(source, *options, model="openai/gpt-4.1-mini")

    yield words
    reply_server.release()

"""How a documented snippet is run: as it is written, in a process and an empty folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from forks import Template

HERE = Path(__file__).parent
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, template: Template) -> Run:
    """Run ``snippets/<page>/<name>.py`` and return what it prints.

    ``before`` supplies what the page itself defined above the snippet; ``after`` looks at what the snippet left.
    With ``fails`` the script must end in an error, which is returned instead.
    Runs of one test share a folder, so that a second run shows what outlives a process.
    """
    folder = tmp_path / "folder"
    folder.mkdir()

    def run_snippet(*names: str, before: str = "", after: str = "", fails: bool = False, **environment: str) -> str:
        parts = [tmp_path / "before.py", *(HERE / "snippets" / f"{name}.py" for name in names), tmp_path / "after.py"]
        parts[0].write_text(before)
        parts[-1].write_text(after)
        done = template.run(HERE / "execute.py", *parts, cwd=folder, env=os.environ | environment)
        assert bool(done.returncode) is fails, f"{' + '.join(names)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    return run_snippet

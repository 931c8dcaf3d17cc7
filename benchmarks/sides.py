"""The two sides as the run sees them: a worker process each, asked in turns."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
SOURCE = ROOT / "src"


class BrokenRunError(Exception):
    """The run cannot go on, or a side gave a wrong result. The message says which."""


class WorkerError(Exception):
    """A worker could not do what it was asked; the message is its traceback."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The environment variables by which Python imports one side's package, ``"ours"`` or ``"upstream"``."""

    name: str
    environment: Mapping[str, str]

    def time_process(self, *arguments: str) -> tuple[float, str]:
        """Run a new process to its end; return its seconds and what it printed."""
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments], env=self.environment, capture_output=True, text=True, cwd=FOLDER, check=False
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            raise WorkerError(f"{self.name}: {' '.join(arguments)} failed:\n{done.stderr}")
        return seconds, done.stdout


def make_installation(name: str, source: Path) -> Installation:
    """Describe a side. Keys, proxies and module paths of the caller's environment do not reach it."""
    kept = {"PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT"}
    environment = {key: value for key, value in os.environ.items() if key in kept}
    own = {"PYTHONPATH": str(source), "NO_PROXY": "127.0.0.1", "PYTHONWARNINGS": "ignore"}
    return Installation(name, {**environment, **own})


OURS = make_installation("ours", SOURCE)
REQUIREMENTS = ("instructor<1.99", "diskcache")


def find_upstream() -> tuple[Installation | None, str]:
    """Return upstream with all that it needs, installed in a folder if it's missing; or None, and why there is none."""
    folder = FOLDER / ".upstream"
    stamp = folder / ".complete"
    if not stamp.exists():
        print(f"Installing {' and '.join(REQUIREMENTS)} into {folder} ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]
        done = subprocess.run([*command, str(folder), *REQUIREMENTS], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
            return None, f"upstream could not be installed: {reason[-1]}"
        stamp.touch()
    return make_installation("upstream", folder), ""


class Side:
    """One side's worker. Its methods are those of `worker.Worker`, through `tell`."""

    def __init__(self, installation: Installation, address: str, short: bool) -> None:
        self.installation, self.name = installation, installation.name
        command = [sys.executable, "worker.py", address, installation.name, str(int(short))]
        self._process = start_process(command, installation.environment)

    def tell(self, do: str, **arguments: Any) -> Any:
        """Have the worker do something, and return what it found.

        Raises:
            WorkerError: It failed.
        """
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):  # the empty line below says it
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"the worker of {self.name} ended in {do}; its last output is above")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"{self.name}: {do}({arguments}) failed:\n{reply['error']}")
        return reply["result"]

    def close(self) -> None:
        end_process(self._process)


class Server:
    """The provider on loopback; see `server`."""

    def __init__(self) -> None:
        self._process = start_process([sys.executable, "server.py"], os.environ)
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            raise BrokenRunError("The loopback server did not start; its last output is above.")
        self.address = f"http://127.0.0.1:{port}"

    def count(self, test: str) -> int:
        """How many requests a test has made."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.address}/counts", timeout=10) as response:
            return int(json.load(response).get(test, 0))

    def close(self) -> None:
        end_process(self._process)


def start_process(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a process that reads commands from its input and answers on its output."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, cwd=FOLDER)


def end_process(process: subprocess.Popen[str]) -> None:
    """Close a process's input, which ends it; kill it if that takes too long."""
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()

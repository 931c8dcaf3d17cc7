"""Packages that are built on instructor 1.x, with this package in its place. `make test-dropin` runs them.

Each gets a virtual environment of its own, which takes minutes and the package index, so the suite leaves them out. What
they use of this package is called against answers that were written down, and atomic-agents runs its own tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
pytestmark = [
    pytest.mark.skipif(not os.environ.get("INSTRUCTOR_DROPIN"), reason="make test-dropin"),
    pytest.mark.timeout(1800),
]

PACKAGES = {
    "openinference": ["openinference-instrumentation-instructor==0.1.29", "opentelemetry-sdk==1.45.2"],
    "factories": ["groq==1.7.0", "cerebras-cloud-sdk==1.91.0", "together==3.1.1"],
    "ragas": [
        "ragas==0.4.3",
        *("langchain-community==0.3.31", "langchain-core==0.3.86", "langchain-openai==0.3.35"),
        *("anthropic==2.12.0", "google-genai==3.4.0", "litellm==1.106.2"),
    ],
    "distilabel": ["distilabel==1.5.3", "requests==2.34.2", "anthropic==2.12.0", "groq==1.7.0"],
    "extract_thinker": ["extract-thinker==0.1.14", "numpy==2.4.6"],
    "curator": ["bespokelabs-curator==0.1.31"],
}
"""What is installed for the script of each name, beside this package."""

ATOMIC = "atomic-agents==2.15.0"
ATOMIC_NEEDS = [
    ATOMIC,
    *("openai==3.3.0", "pytest==9.2.0", "pytest-asyncio==1.5.0"),
    *(
        "openinference-instrumentation==0.1.72",
        "openinference-semantic-conventions==0.1.42",
        "opentelemetry-instrumentation==0.66b2",
        "opentelemetry-sdk==1.45.2",
    ),
]
ATOMIC_LEFT_OUT = {
    "test_get_class_from_string": "fails with 1.17 too",
    "test_threaded_first_use_registers_once_and_uninstalls": "reads the private attribute Hooks._handlers",
    "test_partial_registration_is_rolled_back": "reads the private attribute Hooks._handlers",
    **dict.fromkeys(
        (
            "test_run_stream_yields_partials_then_the_complete_response",
            "test_run_stream_honors_a_caller_strict_setting",
            "test_run_async_stream_yields_the_complete_response",
            "test_run_async_stream_honors_a_caller_strict_setting",
        ),
        "streams an answer without a finish_reason, which can't be told from one that was cut off",
    ),
}
"""Its own tests that don't pass, and why."""


def make_environment(folder: Path, requirements: list[str], interpreter: str = sys.executable) -> Path:
    """Install packages, and this one over the instructor that they bring along."""
    subprocess.run([interpreter, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *requirements], check=True)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", ROOT], check=True)
    subprocess.run([*pip, ROOT], check=True)
    return python


def find_newer_python() -> str:
    """Atomic-agents asks for Python 3.12."""
    if sys.version_info >= (3, 12):
        return sys.executable
    for name in ("python3.12", "python3.13", "python3.14"):
        found = shutil.which(name)
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    pytest.skip("no Python 3.12 was found")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_works_with_ours_in_place(name: str, tmp_path: Path):
    python = make_environment(tmp_path / "venv", PACKAGES[name])
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    subprocess.run([python, SCRIPTS / f"use_{name}.py"], check=True, cwd=tmp_path, env=environment)


def test_atomic_agents_passes_its_own_tests(tmp_path: Path):
    python = make_environment(tmp_path / "venv", ATOMIC_NEEDS, find_newer_python())
    download = [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "atomic-agents", ATOMIC]
    subprocess.run(download, check=True, cwd=tmp_path)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("atomic_agents-*/")
    chosen = " and ".join(f"not {name}" for name in ATOMIC_LEFT_OUT)
    run = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, "atomic-agents/tests"]
    subprocess.run(run, check=True, cwd=source)


@pytest.mark.parametrize(
    "requirement", [ATOMIC, "ragas==0.4.3", "distilabel[instructor]==1.5.3", "bespokelabs-curator==0.1.31"]
)
def test_the_index_resolves_a_package_beside_ours(requirement: str, tmp_path: Path):
    interpreter = find_newer_python() if requirement == ATOMIC else sys.executable
    subprocess.run([interpreter, "-m", "venv", tmp_path / "venv"], check=True)
    report = tmp_path / "report.json"
    install = ["-m", "pip", "install", "-q", "--dry-run", "--report", report, ROOT, requirement]
    subprocess.run([tmp_path / "venv" / "bin" / "python", *install], check=True)
    found = {
        entry["metadata"]["name"]: entry["metadata"]["version"] for entry in json.loads(report.read_text())["install"]
    }
    assert found["instructor"] == "1.99.0"

"""Recorded answers for pytest: ``@pytest.mark.llm_cassette``, ``--llm-record`` and ``--llm-prune``. See ``docs/testing.md``.

pytest loads it wherever the package is installed, so it imports the rest of the package only for tests that ask for it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from instructor.cache.cassette import CassetteCache
    from instructor.cache_modes import ModeName

MODES: Final[dict[str, ModeName]] = {"none": "replay", "new": "use", "all": "refresh", "verify": "refresh"}
"""How calls use their cassette, for each value of ``--llm-record``."""

_MARKER = "llm_cassette(name=None): answer this test's model calls from a cassette, named after the test or shared"
_LONGEST_NAME = 100
_used_by = pytest.StashKey[dict[str, list[str]]]()
_passed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("instructor", "recorded answers of language models")
    group.addoption(
        "--llm-record",
        choices=list(MODES),
        default=None,
        help="none: replay only; new: record what isn't recorded; all: record everything anew; verify: ask, and compare "
        "with what is recorded. Default: none where the environment has CI, else new.",
    )
    group.addoption("--llm-prune", action="store_true", help="remove recorded answers that the tests no longer use")
    parser.addini("llm_redact", "regular expressions of secrets of your own, one a line", type="linelist", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and what reports at the end."""
    config.addinivalue_line("markers", _MARKER)
    if not hasattr(config, "workerinput"):  # under xdist, the process that the workers report to
        config.pluginmanager.register(_Unused(config), "instructor-unused-answers")


def record_of(config: pytest.Config) -> str:
    """What ``--llm-record`` is, or stands for."""
    chosen = config.getoption("llm_record")
    ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
    return str(chosen) if chosen else "none" if ci else "new"


@pytest.fixture(autouse=True)
def _llm_cassette_of_marked_tests(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("llm_cassette") is not None:
        request.getfixturevalue("llm_cassette")


@pytest.fixture
def llm_cassette(request: pytest.FixtureRequest) -> Generator[CassetteCache]:
    """The cassette of a test: all its calls are answered from it, or recorded in it, as ``--llm-record`` says."""
    from instructor.cache.cassette import CassetteCache
    from instructor.cache_modes import use_cache

    config, path = request.config, path_of(request.node)
    record = record_of(config)
    cassette = CassetteCache(path, redact=config.getini("llm_redact"), verify=record == "verify")
    with use_cache(cassette, MODES[record], everywhere=True):
        yield cassette
    unused = set(cassette.unused())
    request.node.stash[_used_by] = {str(path): [key for key in cassette.recorded() if key not in unused]}
    if cassette.differences:
        pytest.fail("\n".join(cassette.differences), pytrace=False)


def path_of(item: Any) -> Path:
    """The file of a test: named after it, in the folder of its module; or shared, under the marker's name."""
    folder: Path = item.path.parent / "cassettes"
    marker = item.get_closest_marker("llm_cassette")
    names = [*marker.args, *marker.kwargs.values()] if marker is not None else []
    if names and names[0] is not None:
        return folder / f"{str(names[0]).removesuffix('.jsonl')}.jsonl"
    classes = [part.name for part in item.listchain() if isinstance(part, pytest.Class)]
    name = ".".join((*classes, item.name))
    plain = re.sub(r"[^\w.\[\]-]", "_", name, flags=re.ASCII)
    if plain != name or len(plain) > _LONGEST_NAME:  # so that no two tests have one file
        plain = f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"
    return folder / str(item.path.stem) / f"{plain}.jsonl"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a test's last report which lines it has used; it may go to another process."""
    report = yield
    if call.when == "call":
        item.stash[_passed] = report.passed
    used = item.stash.get(_used_by, None)
    if call.when == "teardown" and used is not None:
        report.llm_used = used if report.passed and item.stash.get(_passed, False) else dict.fromkeys(used)  # type: ignore[attr-defined]
    return report


class _Unused:
    """Adds up which recorded answers the tests have used, and reports or removes the others.

    A cassette of which a test has failed, or was skipped half-way, is left out: that test may have asked for more.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._used: dict[str, set[str] | None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what one test has used."""
        used: dict[str, list[str] | None] = getattr(report, "llm_used", {})
        for path, keys in used.items():
            known = self._used.get(path, set())
            self._used[path] = None if keys is None or known is None else known | set(keys)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is unused; or remove it, if that is wanted."""
        found = {
            path: unused
            for path, used in sorted(self._used.items())
            if used is not None and (unused := find(path, used))
        }
        if not found:
            return
        prune = self._config.getoption("llm_prune")
        terminalreporter.section("recorded answers")
        for path, unused in found.items():
            shown = os.path.relpath(path)
            if prune:
                from instructor.cache.cassette import CassetteCache

                CassetteCache(path).delete_many(unused)
            terminalreporter.line(f"{shown}: {len(unused)} {'removed' if prune else 'unused'}")
        if not prune:
            terminalreporter.line(
                "No test asked for them. Remove them with --llm-prune, in a run of all tests that share the files."
            )


def find(path: str, used: set[str]) -> list[str]:
    """The keys of the lines of a file that aren't used."""
    from instructor.cache.cassette import CassetteCache

    return [key for key in CassetteCache(path).recorded() if key not in used]

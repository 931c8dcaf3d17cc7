"""The house rules: which room may know which, what a file may import when, and how long things may get."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "instructor"
FILES = sorted(PACKAGE.rglob("*.py"))
FILE_LINES = 500
FUNCTION_LINES = 60

# A file or a folder at the top of the package is a room; "providers.adapter" stands for a single file of one.
# The ground is for every room above it. In KNOWS stands what a room may import beside that and itself, and each of
# these grants is used; the rooms of the ground may import only what stands here.
GROUND = {
    *(
        "chance",
        "credentials",
        "daemon",
        "debug_log",
        "describing",
        "event_loop",
        "exceptions",
        "headers",
        "hooks",
        "interpreter_queue",
        "lazy",
        "locks",
        "messages",
        "received",
        "records",
    ),
    *("attempt", "cache_modes", "failures", "mode", "retries"),
    "budget",
    "prices",
    "row",
    "tables",
    "usage",
    "vendor_names",
}
KNOWS: dict[str, set[str]] = {
    "attempt": set(),
    "budget": {"exceptions", "locks", "prices", "usage"},
    "cache_modes": {"describing", "exceptions"},
    "chance": {"locks"},
    "credentials": set(),
    "daemon": set(),
    "debug_log": set(),
    "describing": {"exceptions"},
    "event_loop": set(),
    "exceptions": {"credentials", "messages", "usage"},
    "failures": {"exceptions"},
    "headers": set(),
    "hooks": {"debug_log", "describing", "exceptions", "messages", "usage"},
    "interpreter_queue": set(),
    "lazy": set(),
    "locks": set(),
    "messages": set(),
    "mode": {"describing", "exceptions"},
    "prices": {"usage"},
    "received": {"messages"},
    "records": set(),
    "retries": {"chance", "describing", "failures"},
    "row": {"prices", "usage"},
    "tables": set(),
    "usage": {"tables"},
    "vendor_names": set(),
    "old_attributes": set(),
    "templating": set(),
    "wires": set(),
    "cache": set(),
    "media": set(),
    "streaming": set(),
    "providers.adapter": {"wires"},
    "providers": {"wires", "media", "providers.adapter"},
    "offline": {"wires", "providers", "providers.adapter"},
    "engine": {"wires", "cache", "limits", "media", "options", "prompt_caching", "providers.adapter", "streaming"},
    "function": {"cache", "engine", "checks", "options"},
    "limits": set(),
    "options": {"cache", "limits", "media", "prompt_caching"},
    "prompt_caching": {"cache", "wires"},
    "streams": {"checks", "engine", "streaming"},
    "paths": {"cache", "engine", "checks"},
    "policies": {"cache", "checks", "engine", "options"},
    "methods": {"cache", "engine", "limits", "media", "options", "prompt_caching", "streams"},
    "checks": {"cache", "limits", "media", "engine", "options", "prompt_caching"},
    "base_client": {
        "wires",
        "cache",
        "providers.adapter",
        "providers",
        "engine",
        "media",
        "options",
        "checks",
        "templating",
        "streams",
        "paths",
        "policies",
        "old_attributes",
        "limits",
    },
    "batches": {"cache", "providers.adapter", "providers", "engine", "options"},
    "batch_methods": {"base_client", "batches", "cache", "engine", "jobs"},
    "engines": set(),
    "jobs": {
        *("cache", "checks", "engine", "engines", "base_client", "options", "batches", "providers"),
        *("limits", "prompt_caching"),
    },
    "client": {"batch_methods", "engine", "methods", "jobs", "streams"},
    "factory": {"cache", "providers.adapter", "providers", "offline", "client", "options"},
    "patching": {"client", "providers"},
    "dsl": {"cache", "client", "engine", "streaming", "wires"},
    "vendor_factories": {"client", "factory", "providers"},
    "distil": {"client", "factory", "dsl"},
    "batch": {"batches"},
    "observe": set(),
    # Import paths of 1.x.
    "core": {"client", "factory", "patching"},
    "processing": {"dsl", "engine", "wires", "media", "providers"},
    "multimodal": {"processing"},
    "validation": {"dsl", "engine"},
    "utils": {"dsl", "providers", "wires"},
    "auto_client": {"factory"},
    "function_calls": {"dsl"},
    "models": set(),
    "v2": set(),
    "__main__": {"cli"},
    "cli": {"batches", "cache", "client", "engines", "factory", "jobs", "providers", ""},
    # Recorded answers are a store. Scripted replies answer as the offline provider does; the contracts look at what they test.
    "testing": {"wires", "cache", "offline"},
}
# Public faces, which resolve their names when they are asked for: the package's, and the cache's, where users look for
# `instructor_cache` although it lives above the engine.
EXEMPT = {PACKAGE / "__init__.py", PACKAGE / "cache" / "__init__.py"}

STANDARD = frozenset(sys.stdlib_module_names) | {"instructor"}
AT_IMPORT = STANDARD | {"pydantic", "pydantic_core", "orjson", "typing_extensions", "annotated_types"}
# Rooms that are themselves loaded on first use may say at the top what they need.
ALSO_AT_IMPORT = {
    "observe": {"opentelemetry", "prometheus_client"},
    "cli": {"typer", "click", "rich"},
    "templating": {"jinja2"},
    "testing": {"pytest"},
}
SDKS = {
    "openai",
    "anthropic",
    "google",
    "redis",
    "diskcache",
    "boto3",
    "cohere",
    "mistralai",
    "groq",
    "httpx",
    "httpx2",
}


def name_of(path: Path) -> str:
    """``src/instructor/cache/key.py`` -> ``cache/key.py``."""
    return path.relative_to(PACKAGE).as_posix()


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a module, given its dotted path below the package."""
    return "providers.adapter" if parts[:2] == ("providers", "adapter") else parts[0] if parts else ""


class Import(NamedTuple):
    """A module that a file imports, by its absolute name.

    Attributes:
        module: The name.
        line: Where it stands.
        at_import: Whether it is imported when the file is.
    """

    module: str
    line: int
    at_import: bool


class Contents(NamedTuple):
    """What the rules look at in a file.

    Attributes:
        imports: Every module that it imports, anywhere in it.
        functions: The name and the length of each function.
        lines: How many lines it has.
    """

    imports: tuple[Import, ...]
    functions: tuple[tuple[str, int], ...]
    lines: int


@functools.cache
def read(path: Path) -> Contents:
    """Parse a file, once for all the rules."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = tuple((function.name, length_of(function)) for function in functions)
    return Contents(tuple(imports_of(path, tree)), lengths, len(text.splitlines()))


def imports_of(path: Path, tree: ast.Module) -> Iterator[Import]:
    package = ("instructor", *path.relative_to(PACKAGE).parent.parts)
    outer = {*outer_statements(tree.body)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, node in outer) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            # `from instructor import cache` names a room; `from instructor import Mode` a thing in the package.
            rooms = [f"instructor.{alias.name}" for alias in node.names if alias.name in KNOWS]
            names = rooms if module == "instructor" and rooms else [module]
            yield from (Import(name, node.lineno, node in outer) for name in names)


def outer_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported; what only type checkers read is left out."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from outer_statements(statement.orelse)
        elif isinstance(statement, (ast.If, ast.Try, ast.With, ast.ClassDef, ast.For)):
            for field in ("body", "orelse", "finalbody"):
                yield from outer_statements(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from outer_statements(handler.body)


def modules_below(path: Path) -> tuple[str, ...]:
    """A file's dotted path below the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def allowed_to(room: str) -> set[str]:
    """What a room may import."""
    return {room, *KNOWS[room], *(() if room in GROUND else GROUND)}


def rooms_used_by(room: str) -> set[str]:
    """The rooms that the files of a room import."""
    files = [path for path in FILES if path not in EXEMPT and room_of(modules_below(path)) == room]
    names = [one.module.split(".") for path in files for one in read(path).imports]
    return {room_of(tuple(rest)) for first, *rest in names if first == "instructor"}


def violations(path: Path) -> Iterator[str]:
    """Imports of a file that its room does not allow."""
    room = room_of(modules_below(path))
    for module, line, _ in read(path).imports:
        first, *rest = module.split(".")
        if first != "instructor":
            continue
        target = room_of(tuple(rest))
        if target not in allowed_to(room):
            yield f"{name_of(path)}:{line}: {room} may not know {target or 'the package'} ({module})"


def test_every_room_of_the_rules_exists():
    named = set(KNOWS).union(*KNOWS.values()) - {""}
    paths = {name: PACKAGE.joinpath(*name.split(".")) for name in named}
    assert not [name for name, path in paths.items() if not (path.is_dir() or path.with_suffix(".py").is_file())]


@pytest.mark.parametrize("room", KNOWS)
def test_every_grant_is_used(room: str):
    """A grant that no import uses would let an arrow grow back unseen."""
    assert rooms_used_by(room) >= KNOWS[room]


@pytest.mark.parametrize("path", [path for path in FILES if path not in EXEMPT], ids=name_of)
def test_nothing_imports_upward(path: Path):
    assert room_of(modules_below(path)) in KNOWS, "A new room: say in KNOWS what it may know."
    assert not list(violations(path))


@pytest.mark.parametrize("path", sorted((PACKAGE / "wires").glob("*.py")), ids=name_of)
def test_wires_import_no_sdk(path: Path):
    assert not {one.module.split(".")[0] for one in read(path).imports} & SDKS


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_light_modules_are_imported_at_import_time(path: Path):
    """What a hit does not need is imported on first use."""
    allowed = AT_IMPORT | ALSO_AT_IMPORT.get(room_of(modules_below(path)), set())
    early = (one for one in read(path).imports if one.at_import)
    assert not [f"{one.module} (line {one.line})" for one in early if one.module.split(".")[0] not in allowed]


def length_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, which may be as long as it is useful."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(function.body) > 1
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_short(path: Path):
    contents = read(path)
    assert not [name for name, length in contents.functions if length > FUNCTION_LINES]
    assert contents.lines <= FILE_LINES


ONE_PLACE = {
    r"class Call\b": {"engine/call.py"},
    r"\bClaim\(": {"engine/lookup.py"},
    r"(?<!class )\b(Read|Write)\(": {"engine/path.py"},
    r"def why_not_stored\b|\bNOT_WANTED = ": {"engine/lookup.py"},
    r"\bos\.register_at_fork\(": {"locks.py"},
    r"\brandom\.(?!seed)\w+\(": {"chance.py"},
    r"def running_loop\b": {"event_loop.py"},
}
"""What is written in one place, because two that do the same would drift apart, and where."""
PERFORMING = {"engine/effects.py", "engine/drive.py", "engine/drive_stream.py"}
"""The effects themselves, and the drivers, which match on them."""


@pytest.mark.parametrize("pattern", ONE_PLACE)
def test_what_is_done_in_one_place_is_done_there_only(pattern: str):
    found = {name_of(path) for path in FILES if re.search(pattern, path.read_text(encoding="utf-8"))}
    assert found - PERFORMING == ONE_PLACE[pattern]


def test_nothing_is_imported_to_compile_a_file():
    """Python imports `unicodedata` where a character is written by its name. A hit would, where no compiled files are."""
    assert not [name_of(path) for path in FILES if "\\N{" in path.read_text(encoding="utf-8")]


def test_no_files_need_each_other_to_be_imported():
    """Not even where Python would bear it: each file can be read, tested and moved without the ones that it serves."""
    modules = {".".join(("instructor", *modules_below(path))): path for path in FILES if path not in EXEMPT}
    needs = {name: {one.module for one in read(path).imports if one.at_import} for name, path in modules.items()}
    done: set[str] = set()
    while free := {name for name in needs if name not in done and not (needs[name] & needs.keys()) - done}:
        done |= free
    assert needs.keys() - done == set()


def test_the_rule_sees_an_upward_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The rule itself works: at the top, in a function, relative, for a type checker."""
    (tmp_path / "wires").mkdir()
    bad = tmp_path / "wires" / "bad.py"
    bad.write_text(
        "from instructor.client import Instructor\n"
        "def late():\n    from ..engine import flow\n"
        "from instructor import factory\n"
        "if TYPE_CHECKING:\n    import instructor.cache.store\n"
        "from instructor.usage import Usage\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert {line.split(" may not know ")[1].split(" ")[0] for line in violations(bad)} == {
        "client",
        "engine",
        "factory",
        "cache",
    }

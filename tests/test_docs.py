"""What the pages say is true: their code runs, their commands, files, links and names exist."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import itertools
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from batch_server import BatchServer
from forks import Template
from instructor import DiskCache, from_provider
from instructor.cache.store import Ability
from instructor.cli import main
from instructor.cli.models import load_response_model
from instructor.media.routes import ROUTES
from instructor.providers import table
from instructor.providers.capabilities import FAMILIES, Family, plain_name
from instructor.providers.sdks import SDKS
from servers import Valkey
from settings import clear_environment

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/batches.md",
        "docs/caching.md",
        "docs/jobs.md",
        "docs/ledger.md",
        "docs/cli.md",
        "docs/comparison.md",
        "docs/limits.md",
        "docs/media.md",
        "docs/observability.md",
        "docs/prompt-caching.md",
        "docs/providers.md",
        "docs/retries.md",
        "docs/scale.md",
        "docs/streaming.md",
        "docs/structured.md",
        "docs/teams.md",
        "docs/testing.md",
        "docs/migrating.md",
        "examples/README.md",
        "benchmarks/README.md",
    )
]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
MODEL = re.compile(r"\b(openai|anthropic|google)/[\w.-]+")
RETIRED = re.compile(r"gpt-(3|4)|\bo[134]-|claude-[1234]|claude-\w+-4|gemini-[12]")
GLOSSARY_TERMS = 25
SERVED = {"batches.md"}
"""Pages whose code asks a server of the test's own in place of the vendor, because the offline provider has no such API."""


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages; "" stands for a block without one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks, continued lines joined."""
    joined = "\n".join(blocks(page, "", "bash")).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in joined.splitlines() if line.strip()]


def quoted(page: Path) -> list[str]:
    """What stands in single backticks, outside of fenced blocks."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The registry of vendors, restored after the test."""
    monkeypatch.setattr(table, "_BY_NAME", dict(table._BY_NAME))
    known = {*SDKS, "offline"}  # the factory adds this one, perhaps during the test
    yield
    for name in set(SDKS) - known:
        del SDKS[name]


@pages
@pytest.mark.usefixtures("registry")
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: Valkey
):
    """In an empty folder, with the offline provider in place of each vendor, and a server of the test's own."""
    clear_environment(monkeypatch, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    with BatchServer() as server:
        server.polls, server.value = 0, {"topic": "billing", "urgent": True}
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.address}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        for number, block in enumerate(blocks(page, "python"), 1):
            source = block if page.name in SERVED else MODEL.sub("offline/demo", block)
            source = source.replace("redis://redis.internal:6379/0", valkey.url)
            exec(compile(source, f"{page.name} block {number}", "exec", dont_inherit=True), namespace)


@pages
def test_every_make_target_of_a_page_exists(page: Path):
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = [text.split()[1] for text in (*commands(page), *quoted(page)) if text.startswith("make ")]
    assert set(named) <= targets


@pages
def test_every_command_line_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: Template
):
    clear_environment(monkeypatch, str(tmp_path))
    (tmp_path / "models.py").write_text("from pydantic import BaseModel\nclass Ticket(BaseModel):\n    name: str\n")
    (tmp_path / "tickets.csv").write_text("text\nAnna is 25.\n")
    (tmp_path / "keys.log").write_text("a\nb\na\n")
    (tmp_path / "run.toml").write_text(MODEL.sub("offline/demo", "".join(blocks(page, "toml")[:1])))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    if page.name in SERVED:
        run_about_a_job(page, monkeypatch)
        return
    for command in commands(page):
        words = shlex.split(command if " models " in command else MODEL.sub("offline/demo", command))
        if words[:2] == ["instructor", "extract"]:
            done = template.run("-m", *words, cwd=tmp_path, env=dict(os.environ))
            assert done.returncode == 0, done.stderr
            assert (tmp_path / "tickets.jsonl").read_text()
        elif words[:1] == ["instructor"]:
            if words[1] == "batch":  # its jobs are at a vendor
                words = [*words[:3], "--help"]
            with pytest.raises(SystemExit) as ended:
                main(words[1:])
            assert ended.value.code == 0, command


def run_about_a_job(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of a page about a job that was submitted just now."""
    with BatchServer() as server, DiskCache() as store:
        server.polls, server.value = 0, {"name": "Anna"}
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.address}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        with from_provider("openai/gpt-5.4-mini", cache=store) as client:
            job = client.batch(["Anna is 25."], load_response_model("models.py:Ticket"))
        for command in commands(page):
            with pytest.raises(SystemExit) as ended:
                main(shlex.split(command.replace("3f2a", job.id[:4]))[1:])
            assert ended.value.code == 0, command


def headings(page: Path) -> set[str]:
    """The names under which the headings of a page are linked to."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pages
def test_every_link_of_a_page_leads_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            name, _, heading = target.partition("#")
            other = page.parent / name if name else page
            assert other.exists(), target
            assert not heading or heading in headings(other), target


def is_there(name: str, page: Path) -> bool:
    """Whether a path exists, seen from the page, the root, the package or the tests."""
    return any((base / name).exists() for base in (page.parent, ROOT, ROOT / "src/instructor", ROOT / "tests"))


@pages
def test_every_file_that_a_page_names_exists(page: Path):
    made_by_the_user = {"models.py", "tickets.csv", "tickets.jsonl", "answers.jsonl", "out/bench.json", "ticket.py"}
    written = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|md|toml|txt|json|csv|svg)|[\w.-]+(?:/[\w.-]+)*/")
    named = {text for text in quoted(page) if written.fullmatch(text)} - made_by_the_user
    assert not [name for name in sorted(named) if not is_there(name, page)]


def symbols() -> set[str]:
    """Every name that a file of the package defines: modules, classes, functions, attributes and parameters."""
    found: set[str] = set()
    for path in (ROOT / "src" / "instructor").rglob("*.py"):
        found |= {path.stem, path.parent.name}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    found.add(name)
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                    found.add(name)
                case ast.Attribute(attr=name, ctx=ast.Store()):
                    found.add(name)
                case ast.Constant(value=str(name)) if name.isidentifier():
                    found.add(name)
                case _:
                    pass
    return found


ELSEWHERE = {"PYTHONHASHSEED", "StrEnum", "WeakKeyDictionary", "marshal", "model_rebuild", *dir(builtins)}
"""Names of Python and of pydantic that the architecture mentions."""


def test_every_symbol_that_the_architecture_names_exists():
    page = ROOT / "docs" / "architecture.md"
    known = symbols() | ELSEWHERE
    names = [text.split("(")[0].rstrip("=") for text in quoted(page)]
    dotted = [name for name in names if re.fullmatch(r"[A-Za-z_][\w.]*", name) and not is_there(name, page)]
    assert not [name for name in dotted if not set(name.split(".")) <= known]


def test_every_arrow_of_the_architecture_is_an_import():
    (picture,) = blocks(ROOT / "docs" / "architecture.md", "mermaid")
    arrows = re.findall(r"^ +([\w &]+?) -->(?!.*\[) ([\w &]+)$", picture, re.MULTILINE)
    assert len(arrows) > 5
    for sources, targets in arrows:
        for source in sources.split(" & "):
            room = ROOT / "src" / "instructor" / source
            files = room.rglob("*.py") if room.is_dir() else [room.with_suffix(".py")]
            text = "".join(path.read_text(encoding="utf-8") for path in files)
            for target in map(str.strip, targets.split(" & ")):
                assert re.search(rf"from instructor(\.{target}\b| import .*\b{target}\b)", text), (
                    source,
                    target,
                )


def test_the_table_of_media_is_what_is_done():
    """Whether each wire is sent a URL of each kind of media, has it fetched, or doesn't take it."""
    text = (ROOT / "docs" / "media.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \(`(\w+)`\) \| (.+) \| (.+) \| (.+) \|$", text, re.MULTILINE)
    assert {wire: tuple(cells) for wire, *cells in rows} == {
        wire: tuple(
            "not taken" if kind not in routes else "sent" if "https://" in routes[kind].urls else "fetched"
            for kind in ("image", "audio", "PDF")
        )
        for wire, routes in ROUTES.items()
    }


def test_the_architecture_names_every_ability_of_stores():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"what it can do in `abilities` \((.+?)\)", text)
    assert named == ", ".join(f"`{ability}`" for ability in get_args(Ability))


def test_the_glossary_is_short():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", text.partition("## Glossary")[2], re.MULTILINE)
    assert 10 <= len(terms) <= GLOSSARY_TERMS
    assert terms == sorted(terms, key=str.lower)


def test_examples_name_models_that_stay():
    """Models that their vendors have retired, or retire within a year, are not what a newcomer should copy."""
    pages = [page for page in PAGES if page.name != "providers.md"]  # its table has the old ones too
    files = [*pages, ROOT / "examples" / "demo.py", *(ROOT / "src").rglob("*.py")]
    old = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if (path.suffix == ".md" or ">>>" in line or MODEL.search(line)) and RETIRED.search(line)
    ]
    assert not old


def provider_tables() -> ModuleType:
    """The module that writes the tables of docs/providers.md."""
    spec = importlib.util.spec_from_file_location("provider_tables", ROOT / "docs" / "provider_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_providers_are_todays():
    tables = provider_tables()
    page = tables.PAGE.read_text(encoding="utf-8")
    assert tables.write(page) == page, "Run `make tables`."
    assert all(table in page for table in tables.tables().values())


def test_the_table_of_models_shows_every_row_of_the_capabilities():
    shown: set[Family] = set()
    for name in provider_tables().MODELS:
        vendor, _, model = name.partition("/")
        scope = {vendor} if vendor in ("openai", "anthropic", "google") else {vendor, ""}
        rows = (row for row in FAMILIES if scope & {*row.vendors} and re.match(row.model, plain_name(model)))
        shown.update(itertools.islice(rows, 1))
    missing = [f"{row.vendors} {row.model}" for row in FAMILIES if row not in shown]
    assert not missing


def test_every_yes_of_the_comparison_leads_to_a_test() -> None:
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and "**here**" not in line]
    assert len(rows) > 80
    for feature, ours, *_ in rows:
        if ours.startswith("no: "):
            continue
        link = re.fullmatch(r'\[.+\]\(\.\./(tests/[\w/]+\.py) "(\w+)"\)', ours)
        assert link is not None, feature
        path, name = link.groups()
        assert re.search(
            rf"^(async def|def|class) {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE
        ), feature

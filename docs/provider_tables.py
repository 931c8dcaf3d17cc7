"""Writes the tables of docs/providers.md from the package's own. Run it with `make tables`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from instructor.providers import vendors
from instructor.providers.capabilities import capabilities_of
from instructor.providers.table import VENDORS, find_vendor
from instructor.wires.capabilities import Capabilities
from instructor.wires.responses_arguments import LACKING, PLACES

PAGE = Path(__file__).resolve().parent / "providers.md"
END = "<!-- end -->"
MODELS = (
    *(
        f"openai/gpt-{name}"
        for name in ("6.1-sol", "6-luna", "5.6-terra", "6-astra", "5.5", "5.4-mini", "5.2", "5-mini")
    ),
    *(f"openai/{name}" for name in ("gpt-5-chat-latest", "o3", "gpt-5.5-pro", "gpt-5.1-codex-max", "gpt-6-cyber")),
    *(f"openai/{name}" for name in ("gpt-4.1-mini", "gpt-4o", "gpt-4o-search-preview", "any-other-name")),
    "azure_openai/my-deployment",
    *(f"anthropic/claude-{name}" for name in ("opus-5-5", "fable-5", "opus-5", "opus-4-8", "sonnet-4-6", "3-5-haiku")),
    *(f"anthropic/anthropic.claude-{name}" for name in ("opus-5-5-v1:0",)),
    *(f"openrouter/anthropic/claude-{name}" for name in ("opus-5.5", "opus-5")),
    "google/gemini-3-pro",
    "deepseek/deepseek-v4-flash",
    "openrouter/deepseek/deepseek-v4-pro",
    "moonshot/kimi-k3",
    "moonshot/kimi-k2.6",
    "dashscope/qwen3.5-plus",
    "together/Qwen/Qwen3.5-397B",
    "zai/glm-5.2",
    "cohere/command-a",
    "minimax/minimax-m3",
    "perplexity/sonar",
    "ollama/any-model",
    "vllm/any-model",
    "lmstudio/any-model",
)
"""One name or more for each row of the table of capabilities."""


def tables() -> dict[str, str]:
    """Every table of the page, by the name that stands in the comment before it."""
    return {
        "vendors": _table(("vendor", "other names", "key", "base URL"), _vendor_rows()),
        "models": _table(("models", "modes, best first", "tool choice", "output limit", "not sent"), _model_rows()),
        "arguments": _table(("chat API", "Responses API"), _argument_rows()),
    }


def write(page: str) -> str:
    """Put today's tables into the page's text."""
    for name, table in tables().items():
        head, mark, rest = page.partition(f"<!-- table: {name} -->\n")
        page = f"{head}{mark}{table}\n{rest[rest.index(END) :]}"
    return page


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _quote(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _vendor_rows() -> Iterator[tuple[str, ...]]:
    known = {vendor.name for vendor in VENDORS}
    for vendor in (*VENDORS, *(find_vendor(name) for name in vendors.PLACES if name not in known)):
        if vendor.name != "offline":
            key = " or ".join(f"`{name}`" for name in vendor.key_variables) or "the cloud's own"
            place = vendor.base_url or _quote(vendor.base_url_variables[:1]) or "`base_url=`"
            yield f"[`{vendor.name}`]({vendor.docs})", _quote(vendor.aliases), key, place


def _model_rows() -> Iterator[tuple[str, ...]]:
    groups: dict[tuple[str, Capabilities], list[str]] = {}
    for name in MODELS:
        vendor, _, model = name.partition("/")
        groups.setdefault((vendor, capabilities_of(find_vendor(vendor), model)), []).append(name)
    for (_, capabilities), names in groups.items():
        modes = ", ".join(mode.name for mode in capabilities.modes)
        left_out = _quote(sorted(capabilities.refused))
        yield _quote(names), modes, capabilities.tool_choice, f"`{capabilities.output_limit}`", left_out


def _argument_rows() -> Iterator[tuple[str, ...]]:
    for name, (place, member) in PLACES.items():
        yield f"`{name}`", f'`{place}={{"{member}": ...}}`' if member else f"`{place}`"
    yield _quote(sorted(LACKING)), "left out, with a warning and an event"


if __name__ == "__main__":
    PAGE.write_text(write(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""What each vendor's prompt cache does and costs: a table by vendor and model family, with the source and date of each row."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_ANY_TURN = 1 << 30


@dataclass(frozen=True, slots=True)
class Rules:
    """One row: models with the same rules.

    Attributes:
        vendors: The vendors whose models are meant.
        model: A regular expression for the beginning of the model's plain name.
        minimum: The tokens below which a prefix isn't kept.
        most_marks: How many breakpoints a request may have; 0 where the vendor finds prefixes by itself.
        lookback: How many blocks before a breakpoint the vendor looks for an earlier one.
        lifetimes: Seconds that a prefix is kept at least, by the vendor's name for it, the shortest first.
        write: The price of writing, by lifetime, over that of plain input.
        read: The price of reading over that of plain input.
        writes_anyway: Whether the vendor writes, and charges, without being asked to, so that a breakpoint costs nothing.
        has_key: Whether requests take a ``prompt_cache_key`` that leads them to the machine with the prefix.
        source: Where this was published.
        date: When it was read, as year and month.
    """

    vendors: tuple[str, ...]
    model: str
    minimum: int
    most_marks: int = 4
    lookback: int = 20
    lifetimes: Mapping[str, float] = field(default_factory=lambda: {"5m": 300.0, "1h": 3600.0})
    write: Mapping[str, float] = field(default_factory=lambda: {"5m": 1.25, "1h": 2.0})
    read: float = 0.1
    writes_anyway: bool = False
    has_key: bool = False
    source: str = ""
    date: str = ""

    def snap(self, lifetime: str) -> str:
        """The vendor's own lifetime that is next to a wish, and not shorter where it has one."""
        wished = _SECONDS.get(lifetime, 0.0)
        longest = [*self.lifetimes][-1]
        return next((name for name, seconds in self.lifetimes.items() if seconds >= wished), longest)

    def seconds(self, lifetime: str) -> float:
        """How long a prefix is kept, of which a caller wants that it's kept for a lifetime."""
        return self.lifetimes[self.snap(lifetime)]


_SECONDS = {"auto": 0.0, "5m": 300.0, "1h": 3600.0}

_CLAUDE = r"(?:(?:us|eu|apac|global|jp|au)\.)?(?:anthropic\.)?claude-"
_CLAUDE_VENDORS = ("anthropic", "anthropic_bedrock", "anthropic_foundry", "anthropic_vertex")
_CLAUDE_SOURCE = "platform.claude.com/docs/en/build-with-claude/prompt-caching"
_OPENAI = ("openai", "azure_openai")
_OPENAI_SOURCE = "developers.openai.com/api/docs/guides/prompt-caching, openai 3.51 completion_create_params"
_GEMINI_SOURCE = "ai.google.dev/gemini-api/docs/caching; two other tables of Google's say 2,048"
_BEDROCK_SOURCE = "docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html, botocore 1.43 CachePointBlock"
_DAY = {"24h": 86400.0}
_FREE = {"24h": 1.0}

RULES: tuple[Rules, ...] = (
    Rules(
        _CLAUDE_VENDORS, rf"{_CLAUDE}opus-4[.-][56]|{_CLAUDE}haiku-4[.-]5", 4096, source=_CLAUDE_SOURCE, date="2026-11"
    ),
    Rules(_CLAUDE_VENDORS, rf"{_CLAUDE}(?:opus-4[.-]7|3-(?:5-)?haiku)", 2048, source=_CLAUDE_SOURCE, date="2026-11"),
    Rules(_CLAUDE_VENDORS, rf"(?:{_CLAUDE})?(?:opus-5|fable|mythos)", 512, source=_CLAUDE_SOURCE, date="2026-11"),
    Rules(_CLAUDE_VENDORS, _CLAUDE, 1024, source=_CLAUDE_SOURCE, date="2026-11"),
    Rules(
        _OPENAI,
        r"gpt-(?:5\.[6-9]|[6-9]|\d\d)(?!\d)",
        1024,
        most_marks=3,  # a fourth is the vendor's own
        lookback=_ANY_TURN,
        lifetimes={"30m": 1800.0},
        write={"30m": 1.25},
        writes_anyway=True,
        has_key=True,
        source=_OPENAI_SOURCE,
        date="2026-11",
    ),
    Rules(
        _OPENAI,
        r"gpt-|o\d|codex|chatgpt-",
        1024,
        0,
        _ANY_TURN,
        _DAY,
        _FREE,
        has_key=True,
        source=_OPENAI_SOURCE,
        date="2026-11",
    ),
    Rules(("google", "vertexai"), r"gemini-", 4096, 0, _ANY_TURN, _DAY, _FREE, source=_GEMINI_SOURCE, date="2026-11"),
    Rules(
        ("bedrock",), rf"{_CLAUDE}opus-4[.-][56]|{_CLAUDE}haiku-4[.-]5", 4096, source=_BEDROCK_SOURCE, date="2026-11"
    ),
    Rules(("bedrock",), rf"{_CLAUDE}3-(?:5-)?haiku", 2048, source=_BEDROCK_SOURCE, date="2026-11"),
    Rules(("bedrock",), _CLAUDE, 1024, source=_BEDROCK_SOURCE, date="2026-11"),
    Rules(
        ("bedrock",),
        r"(?:(?:us|eu|apac)\.)?(?:amazon\.)?nova-",
        1024,
        lifetimes={"5m": 300.0},
        write={"5m": 1.0},
        read=0.25,
        source=_BEDROCK_SOURCE,
        date="2026-11",
    ),
)


@functools.lru_cache(1024)
def find_rules(vendor: str, model: str) -> Rules | None:
    """Find the row of a model; None for a vendor or a model of which nothing is known, whose requests stay as they are."""
    plain = model.lower().rpartition("/")[2]
    return next((row for row in RULES if vendor in row.vendors and re.match(row.model, plain)), None)

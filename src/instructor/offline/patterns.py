"""A short text that matches a regular expression, for schemas with ``pattern``."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""\((?P<group>\?(?:P?<\w+>|[a-zA-Z-]*:|[a-zA-Z-]*(?=\))|<?[=!]))? (?P<open>)
    |(?P<close>\))|(?P<or>\|)|(?P<place>[\^$]|\\[bBAzZ])
    |(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\]|\\[dwsDWSntr]|\.)|\\(?P<escaped>.)|(?P<literal>.)""",
    re.VERBOSE | re.DOTALL,
)
_REPEAT = re.compile(r"(?:([*+?])|\{(\d*)(?:(,)(\d*))?\})[?+]?")
_REPEATS = {"*": (0, 1 << 16), "+": (1, 1 << 16), "?": (0, 1)}
_CANDIDATES = dict.fromkeys([*"a0A-_.@ \n\t\r", *map(chr, range(33, 0x250))])


def matches(pattern: str, text: str) -> bool:
    """Whether a part of the text matches; False for a pattern that Python can't read."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def sample_pattern(pattern: str, n: int = 0) -> str:
    """Make a text that most likely matches; the caller checks it, because look-arounds are skipped.

    `n` chooses among alternatives and characters, and repeats what may be repeated `n` times more than necessary.
    """
    return _write(pattern, 0, n)[0]


def _write(pattern: str, at: int, n: int) -> tuple[str, int]:
    """Write one of the alternatives up to the end of a group; return it, and where the group ends."""
    texts = [""]
    while token := _TOKEN.match(pattern, at):
        at, kind = token.end(), token.lastgroup
        if kind == "close":
            break
        if kind == "or":
            texts.append("")
            continue
        text = token["escaped"] or token["literal"] or ""
        if kind == "open":
            text, at = _write(pattern, at, n)
            text = "" if token["group"] and token["group"][-1] in "=!" else text
        elif kind == "class":
            allowed = [char for char in _CANDIDATES if matches(token["class"], char)]
            text = allowed[n % len(allowed)] if allowed else ""
        count, at = _read_repeat(pattern, at, n)
        texts[-1] += text * count
    return texts[n % len(texts)], at


def _read_repeat(pattern: str, at: int, n: int) -> tuple[int, int]:
    """How often the part before `at` is written, and where the text goes on."""
    found = _REPEAT.match(pattern, at)
    if not found:
        return 1, at
    least = int(found[2] or 0)
    most = int(found[4]) if found[4] else (1 << 16 if found[3] else least)
    least, most = _REPEATS.get(found[1], (least, most))
    return min(least + n, most), found.end()

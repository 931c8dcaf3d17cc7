r"""Regular expressions in a schema, written for engines that support less than Python's.

llama.cpp, and with it LM Studio and Ollama, compiles a pattern to a grammar. The pattern must begin with ``^``
and end with ``$``; groups, alternatives, quantifiers and plain character classes are supported. With ``\d``,
``(?:...)`` and the like the whole request is refused.
"""

from __future__ import annotations

import re

_SPACE = r" \t\n\r" + "\v\f"
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": _SPACE}
_NEGATED = {"D": "0-9", "S": _SPACE + "\x1c-\x1f"}  # which Python counts as space, and pydantic doesn't
r"""``\W`` is not among them: a class of ASCII letters would let letters through that Python counts as words."""
_CONTROLS = "tnr"
_SPECIAL_IN_CLASS = frozenset("\\[]")
_SPECIAL = frozenset(r"\^$.[](){}|*+?")
_TOKEN = re.compile(
    r"""
    \\(?P<escape>[^0-9])                                                    # an escape, but not a reference to a group
    | \[(?P<negation>\^?)(?P<members>\]?(?:[^\]\\\[]|\\[^0-9bBAZz])*)\]     # a character class
    | (?P<group>\((?!\?)|\(\?:)                                             # a group; look-arounds and flags don't match
    | (?P<lazy>[*+?]\??|\{\d+(?:,\d*)?\}\??)                                 # a quantifier, perhaps a lazy one
    | (?P<other>[^\\\[(*+?{^$])
    """,
    re.VERBOSE | re.DOTALL,
)
_MEMBER = re.compile(r"\\(.)|(.)", re.DOTALL)


def anchor_pattern(pattern: str) -> str | None:
    r"""Write a pattern so that it matches a whole string, with nothing but plain character classes.

    JSON Schema looks for a pattern anywhere in a string. What matches from beginning to end is found by such a search
    too, so a model that is held to the result gives no answer that validation then refuses.

    Returns None if it can't be expressed in plain classes.

    Example:
        >>> anchor_pattern(r"\d{5}|x\.[\w-]+")
        '^([0-9]{5}|x\\.[A-Za-z0-9_-]+)$'
        >>> anchor_pattern("(?i)abc") is None
        True
    """
    body = pattern.removeprefix("^")
    if body.endswith("$") and (len(body) - len(body[:-1].rstrip("\\"))) % 2:
        body = body[:-1]
    plain = _write_plain(body)
    if plain is None or (not plain and pattern != "^$"):  # an empty pattern is found in any string
        return None
    return f"^({plain})$" if "|" in plain else f"^{plain}$"


def _write_plain(body: str) -> str | None:
    written: list[str] = []
    position = 0
    while position < len(body):
        token = _TOKEN.match(body, position)
        piece = _write_token(token) if token else None
        if token is None or piece is None:
            return None
        written.append(piece)
        position = token.end()
    return "".join(written)


def _write_token(token: re.Match[str]) -> str | None:
    if token.lastgroup == "escape":
        return _write_escape(token["escape"])
    if token.lastgroup == "members":
        members = _write_members(token["members"])
        return None if members is None else f"[{token['negation']}{members}]"
    if token.lastgroup == "group":
        return "("
    return token[0].removesuffix("?") if token.lastgroup == "lazy" and len(token[0]) > 1 else token[0]


def _write_escape(letter: str) -> str | None:
    if letter in _CLASSES:
        return f"[{_CLASSES[letter]}]"
    if letter in _NEGATED:
        return f"[^{_NEGATED[letter]}]"
    if letter in _SPECIAL or letter in _CONTROLS:
        return f"\\{letter}"
    return None if letter.isalnum() else letter


def _write_members(members: str) -> str | None:
    r"""Write the members of a character class. A hyphen that isn't a range goes last, where it needs no escape."""
    written: list[str] = []
    has_hyphen = after_class = False
    for escaped, plain in _MEMBER.findall(members):
        if escaped == "-" or (plain == "-" and after_class):
            has_hyphen = True
        elif escaped in _CLASSES:
            written.append(_CLASSES[escaped])
        elif escaped and escaped not in _CONTROLS and escaped.isalnum():
            return None
        else:
            member = escaped or plain
            needs_escape = member in _SPECIAL_IN_CLASS or (escaped and escaped in _CONTROLS)
            written.append(f"\\{member}" if needs_escape else member)
        after_class = escaped in _CLASSES
    if written and written[0] == "^":
        written.append(written.pop(0))
    return "".join(written) + ("-" if has_hyphen else "")

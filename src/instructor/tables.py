"""Tables for notebooks."""

from __future__ import annotations

from collections.abc import Iterable


def as_table(members: Iterable[tuple[str, object]], caption: str = "") -> str:
    """Write what ``rich`` shows of an object as a table, for notebooks.

    Example:
        >>> as_table([("hits", 3000), ("cache", None)], "a <b>")
        '<table><caption>a &lt;b&gt;</caption><tr><th>hits</th><td>3,000</td></tr></table>'
    """
    from html import escape  # notebooks alone need it

    numbers = (int, float)
    shown = (
        (name, f"{value:,}" if isinstance(value, numbers) else str(value))
        for name, value in members
        if value is not None
    )
    rows = "".join(f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in shown)
    return f"<table>{f'<caption>{escape(caption)}</caption>' if caption else ''}{rows}</table>"

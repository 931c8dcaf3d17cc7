"""How long a request is, before it is sent."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any

from instructor.limits.sizes import Ruler, Size


class Counted(dict[str, Any]):
    read = 0

    def items(self) -> ItemsView[str, Any]:
        self.read += 1
        return super().items()


def test_what_requests_have_in_common_is_measured_once() -> None:
    tool, ruler = Counted(name="User", parameters={"type": "object"}), Ruler()
    for text in ("four", "four and more"):
        request = {"messages": [{"content": text}], "tools": [tool], "max_tokens": 9}
        assert (
            ruler.measure(request) == Ruler().measure(request) == Size(8 + 7 + len(text) + 5 + 4 + 4 + 20 + 10 + 1, 9)
        )
    assert tool.read == 3  # once by the ruler of both, and by each new one

"""For tests of your own: a scripted provider, made-up answers, and the contracts that stores and wires keep.

Each name is imported from its file when it is asked for. ``from_provider("offline/anything")`` needs nothing from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instructor.offline.reader import fill_schema
    from instructor.testing.scripted import ScriptedAdapter, ScriptedReply
    from instructor.testing.stores import StoreContract
    from instructor.testing.wires import WireContract
else:
    from instructor.lazy import resolve_names

    __getattr__, __dir__ = resolve_names(
        __name__,
        {
            "ScriptedAdapter": "instructor.testing.scripted",
            "ScriptedReply": "instructor.testing.scripted",
            "StoreContract": "instructor.testing.stores",
            "WireContract": "instructor.testing.wires",
            "fill_schema": "instructor.offline.reader",
        },
    )

__all__ = ["ScriptedAdapter", "ScriptedReply", "StoreContract", "WireContract", "fill_schema"]

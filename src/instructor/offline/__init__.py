"""The offline provider: ``from_provider("offline/anything")``. It is not a language model.

It needs no key, no network and no server: it fills the schema of a request from the user's last message by plain rules.
The answer is valid and the same in every process, which is what demos and tests need. Whether it is true is luck.
"""

from __future__ import annotations

from instructor.offline.adapter import OfflineAdapter

__all__ = ["OfflineAdapter"]

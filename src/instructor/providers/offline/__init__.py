"""The offline provider: ``from_provider("offline/anything")``. It is no language model.

It needs no key, no network and no server. It reads the schema and the last user message of a request, and fills the
schema from the text by rules: shared words for enums, patterns for numbers, dates, amounts, names and addresses,
negations for booleans. The same request gives the same answer in every process, which is what demos, tests and
continuous integration need. What it answers is valid; how true it is, is luck.
"""

from __future__ import annotations

from instructor.providers.offline.adapter import OfflineAdapter

__all__ = ["OfflineAdapter"]

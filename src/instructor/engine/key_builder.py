"""The keys of one client's calls: what never changes about them is written once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from instructor.cache.key import FORMAT, MARK_TEXT, canonical_text, digest, keyed_arguments
from instructor.messages import Messages
from instructor.mode import Mode
from instructor.providers.adapter import Adapter
from instructor.wires.wire import Wire

if TYPE_CHECKING:
    from instructor.engine.plan import Plan


class KeyBuilder:
    """Makes keys, exactly as `make_cache_key` would of the same parts."""

    def __init__(self, adapter: Adapter, wire: Wire, mode: Mode) -> None:
        self._adapter = adapter
        self._wire = wire
        self._mode = mode

    @cached_property
    def _fixed(self) -> dict[str, str]:
        fixed = {
            "format": FORMAT,
            "mode": self._mode.name,
            "provider": self._adapter.provider,
            "wire": self._wire.name,
            "endpoint": dict(self._adapter.endpoint) or None,
        }
        return {name: canonical_text(value, name) for name, value in fixed.items() if value is not None}

    def key(
        self,
        plan: Plan,
        model: str,
        messages: Messages,
        context: Mapping[str, Any] | None,
        strict: bool,
        namespace: str | None,
        arguments: Mapping[str, Any],
    ) -> tuple[str, bool]:
        """Make the key of a call.

        Returns:
            The key, and whether all that was said is plain JSON data, so that a `KeyMemo` may lead to the key.

        Raises:
            NoCanonicalFormError: A value in the call has no form that is the same in every process.
        """
        said = {
            "arguments": keyed_arguments(arguments) or None,
            "context": context,
            "messages": messages,
            "model": model,
            "namespace": namespace,
            "strict": None if strict else False,
        }
        texts = {name: canonical_text(value, name) for name, value in said.items() if value is not None}
        plain = not any(MARK_TEXT in text for text in texts.values())
        return digest({**self._fixed, "schema": plan.schema_text, "shape": plan.shape_text, **texts}), plain

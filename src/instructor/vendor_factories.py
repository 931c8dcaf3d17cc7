"""The factories of 1.x that bear a vendor's name. `from_provider` does the same for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from instructor.client import AsyncInstructor, Instructor
from instructor.exceptions import ConfigurationError
from instructor.factory import assemble, from_provider
from instructor.mode import Mode
from instructor.providers.callables import is_async, method_of
from instructor.providers.handover import wrap_client

AnyClient = Instructor | AsyncInstructor
Factory = Callable[..., Any]
"""``from_groq(client, mode=None, model=None, async_client=False, **kwargs)``; ``use_async`` is ``async_client``."""


def _factory(vendor: str) -> Factory:
    def make(
        client: Any,
        mode: Mode | str | None = None,
        model: str | None = None,
        async_client: bool = False,
        *,
        use_async: bool = False,
        **kwargs: Any,
    ) -> AnyClient:
        """Make a client from VENDOR's own, or from another whose method is like OpenAI's.

        Args:
            client: The SDK's client; or the name of a model, for which `from_provider` makes the client.
            mode: How the model is asked for an answer of a type. Default: the best way for the model.
            model: The model of calls that name none.
            async_client: Whether the client is asynchronous, where it doesn't show that itself.
            use_async: The same.
            **kwargs: ``cache``, ``cache_ttl``, ``cache_namespace`` and ``hooks`` as in `from_provider`; any other keyword
                is a default for each call.

        Raises:
            ClientError: It isn't a client that can be asked.
            ModeError: The vendor doesn't speak the mode.

        Example:
            >>> instructor.from_VENDOR("some-model", cache=instructor.AutoCache())
            <Instructor model=VENDOR/some-model ...>
        """
        is_async_wanted = async_client or use_async
        if isinstance(client, str):
            return from_provider(f"{vendor}/{client}", is_async_wanted, mode=mode, **kwargs)
        wrapped = wrap_client(client, asynchronous=is_async_wanted, vendor=vendor)
        if wrapped is not None:
            return assemble(wrapped[1], wrapped[0], mode, model, kwargs)
        method = method_of(client)
        kind = AsyncInstructor if is_async_wanted or is_async(method) else Instructor
        return kind(client, method, mode, vendor, model=model, **kwargs)

    return _named(make, vendor, (make.__doc__ or "").replace("VENDOR", vendor))


def _refusal(vendor: str, ended: str, instead: str) -> Factory:
    def refuse(*args: object, **kwargs: object) -> AnyClient:
        del args, kwargs
        raise ConfigurationError(f"from_{vendor}() is not here, because its {ended} has ended. Use {instead}.")

    return _named(refuse, vendor, f"Not here, because its {ended} has ended. Use {instead}.")


def _named(function: Factory, vendor: str, purpose: str) -> Factory:
    function.__name__ = function.__qualname__ = f"from_{vendor}"
    function.__doc__ = purpose
    return function


from_bedrock = _factory("bedrock")
from_cerebras = _factory("cerebras")
from_cohere = _factory("cohere")
from_databricks = _factory("databricks")
from_deepseek = _factory("deepseek")
from_fireworks = _factory("fireworks")
from_groq = _factory("groq")
from_mistral = _factory("mistral")
from_openrouter = _factory("openrouter")
from_perplexity = _factory("perplexity")
from_together = _factory("together")
from_writer = _factory("writer")
from_xai = _factory("xai")

from_anyscale = _refusal("anyscale", "service", "from_openai(client) with a client of the service's successor")
from_gemini = _refusal(
    "gemini", "SDK", 'from_provider("google/model"), or from_genai(client) with the SDK google-genai'
)
from_vertexai = _refusal(
    "vertexai", "SDK", 'from_provider("vertexai/model"), or from_genai(client) with the SDK google-genai'
)

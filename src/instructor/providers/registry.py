"""Vendors that this package does not know: `register_provider`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace as replaced
from typing import Any, cast

from instructor.describing import refuse
from instructor.exceptions import ConfigurationError
from instructor.mode import Mode
from instructor.providers.adapter import Adapter
from instructor.providers.function_adapter import CompletedAdapter, FunctionAdapter
from instructor.providers.handover import Handover, WrapClient, add_handover
from instructor.providers.identity import describe_endpoint, read_url
from instructor.providers.sdks import SDKS, MakeAdapter, Sdk
from instructor.providers.table import VENDORS, Vendor, add_vendor
from instructor.wires.capabilities import Capabilities
from instructor.wires.wire import Wire


def register_provider(
    name: str,
    *,
    wires: Mapping[Mode, Wire],
    make_adapter: MakeAdapter | None = None,
    wrap_client: WrapClient | None = None,
    packages: Iterable[str] = (),
    options: Iterable[str] = (),
    aliases: Iterable[str] = (),
    key_variables: Iterable[str] = (),
    base_url: str = "",
    base_url_variables: Iterable[str] = (),
    docs: str = "",
    capabilities: Callable[[str], Capabilities] | Capabilities | None = None,
    takes_key_function: bool = False,
    replace: bool = False,
) -> None:
    """Add a vendor, so that ``from_provider("name/model")`` finds it.

    Use it in a package of your own, or at the start of a program. Caching, retries, hooks and both clients then work
    as for the vendors that are built in. A vendor that speaks OpenAI's chat API needs none of this: use
    ``from_provider("openai/model", base_url=...)``.

    Args:
        name: The part of the model string before its first ``/``: lower-case letters, digits, ``.``, ``-`` and ``_``.
        wires: The wire of each mode, best mode first. `instructor.testing.WireContract` tests a wire.
        make_adapter: Called as ``make_adapter(vendor, asynchronous=, base_url=, api_key=, options=)`` for each client;
            returns an `Adapter`, such as a `FunctionAdapter`, or any object with ``send(operation, request)``:
            whatever else an `Adapter` has is optional. It should import no SDK and need no key: the first request may.
            None for a vendor that is asked through clients alone that a program hands over; its name may then be that
            of a built-in vendor, which ``from_provider`` goes on finding.
        wrap_client: Called as ``wrap_client(vendor, client, asynchronous=)`` with a client of the vendor's own SDK that a
            program hands over, to ``Instructor(client)`` or `patch`; returns what `make_adapter` may return, with an
            ``endpoint`` if it is to be cached apart from other clients. Default: no client is taken.
        packages: The packages of that SDK, by which its clients are known: ``["acme_sdk"]``.
        options: Keywords of ``from_provider`` that are passed to `make_adapter` in ``options``. Every other keyword
            is a default for each call.
        aliases: Other names for the vendor.
        key_variables: Environment variables that may hold the key, for `find_key`.
        base_url: Where requests go by default. `make_adapter` is passed the one in force: that of ``from_provider``,
            of the first variable that is set, or this one.
        base_url_variables: Environment variables that may hold another base URL.
        docs: Where the vendor documents keys and models, for error messages.
        capabilities: What each model can do, by its name, or what all of them can do. Default: functions can be
            called by name, and whatever else `Capabilities` has as default.
        takes_key_function: Whether ``api_key=`` may be a function. Default False.
        replace: Whether the vendor may take the place of one of the same name. Default False.

    Raises:
        ConfigurationError: A name is malformed or taken, there is no wire, or one under a mode that it doesn't speak.

    Example:
        >>> from instructor import Mode, from_provider, register_provider
        >>> from instructor.providers.function_adapter import CompletedAdapter, FunctionAdapter
        >>> from instructor.testing import ScriptedAdapter
        >>> from instructor.wires.openai_chat import OPENAI_CHAT
        >>> register_provider(
        ...     "acme",
        ...     wires={Mode.TOOLS: OPENAI_CHAT},
        ...     make_adapter=lambda vendor, **settings: ScriptedAdapter([{"content": 25}], provider=vendor.name),
        ...     replace=True,
        ... )
        >>> from_provider("acme/any").create(int, messages=[{"role": "user", "content": "Anna is 25."}])
        25
    """
    _check_adapter(name, wires, make_adapter, wrap_client)
    names = {"options": options, "aliases": aliases, "key_variables": key_variables, "packages": packages}
    options, aliases, key_variables, packages = (_read_names(argument, value) for argument, value in names.items())
    own = Capabilities(tuple(wires)) if capabilities is None else capabilities
    vendor = Vendor(
        name=name,
        sdk=f"registered:{name}",
        docs=docs,
        aliases=aliases,
        key_variables=key_variables,
        needs_key=bool(key_variables),
        base_url=base_url,
        base_url_variables=tuple(base_url_variables),
        modes=tuple(wires),
        capabilities=own if callable(own) else lambda _: own,
    )
    if make_adapter is not None:
        add_vendor(vendor, replace=replace)
    else:
        vendor = _describe_built_in(vendor, capabilities is None)
    SDKS[vendor.sdk] = Sdk(wires, _settle_adapter(make_adapter), frozenset(options), takes_key_function)
    if wrap_client is not None:
        add_handover(Handover(vendor, packages, _settle_wrapped(wrap_client)))


def _read_names(argument: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise refuse(f"{argument}=", names, "a list of names")
    return tuple(names)


def _describe_built_in(vendor: Vendor, is_open: bool) -> Vendor:
    """Take over what the table knows of a vendor of the same name, and of its models where that `is_open`."""
    known = next((row for row in VENDORS if row.name == vendor.name), None)
    if known is None:
        return vendor
    own = known.capabilities if is_open else vendor.capabilities
    return replaced(known, sdk=vendor.sdk, modes=vendor.modes, capabilities=own)


def _check_adapter(name: str, wires: Mapping[Mode, Wire], make_adapter: object, wrap_client: object) -> None:
    if not wires:
        raise ConfigurationError(f"{name} has no wire. Pass wires={{Mode.TOOLS: ...}}, best mode first.")
    misplaced = [mode for mode, wire in wires.items() if mode not in wire.modes]
    if misplaced:
        raise ConfigurationError(
            f"{name} has a wire that doesn't speak {misplaced[0]!r}. Pass one that lists this Mode."
        )
    for argument, value in {"make_adapter=": make_adapter, "wrap_client=": wrap_client}.items():
        if not callable(value) and (value is not None or (make_adapter is wrap_client is None)):
            raise refuse(argument, value, "a function that makes an adapter")


def _settle_adapter(make: MakeAdapter | None) -> MakeAdapter:
    """Pass `make` the base URL in force, and give what it makes the members that it lacks.

    An adapter that names no endpoint is keyed by that URL: otherwise two clients with different base URLs would share
    their answers.
    """

    def make_adapter(
        vendor: Vendor, *, asynchronous: bool, base_url: str | None, api_key: Any, options: Mapping[str, Any]
    ) -> Adapter:
        url = base_url or read_url(vendor.base_url_variables) or vendor.base_url or None
        if make is None:  # `from_provider` doesn't find such a vendor
            raise ConfigurationError(f"{vendor.name} is asked through clients of its SDK only.")
        adapter = make(vendor, asynchronous=asynchronous, base_url=url, api_key=api_key, options=options)
        return _complete(adapter, vendor, asynchronous, url)

    return make_adapter


def _settle_wrapped(wrap: WrapClient) -> WrapClient:
    def wrap_client(vendor: Vendor, client: Any, *, asynchronous: bool) -> Adapter:
        return _complete(wrap(vendor, client, asynchronous=asynchronous), vendor, asynchronous, None)

    return wrap_client


def _complete(adapter: Any, vendor: Vendor, asynchronous: bool, url: str | None) -> Adapter:
    endpoint = describe_endpoint(url)
    if isinstance(adapter, FunctionAdapter) and not adapter.endpoint:
        adapter.endpoint = endpoint
    if all(_has(adapter, name) for name in _MEMBERS):
        return cast("Adapter", adapter)
    if not _has(adapter, "send"):
        raise refuse("What makes the adapter returned", adapter, "an adapter with send(operation, request)")
    completed: Any = CompletedAdapter(adapter, vendor, asynchronous=asynchronous, endpoint=endpoint)
    return cast("Adapter", completed)


_MEMBERS = [name for name in vars(Adapter) if not name.startswith("_")]


def _has(adapter: object, name: str) -> bool:
    """Whether an adapter has a member. Its properties aren't read: some make a client."""
    return inspect.getattr_static(adapter, name, None) is not None

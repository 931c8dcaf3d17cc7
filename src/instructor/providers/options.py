"""What a caller may pass as keywords of an SDK's client, checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import TIMEOUT_MAX
from typing import Any, cast

from instructor.describing import refuse
from instructor.providers.table import Vendor

_SDK_PACKAGES = frozenset({"openai", "anthropic", "httpx", "httpx2"})


def check_flag(name: str, value: Any) -> bool:
    """Return a value that is ``True`` or ``False``.

    ``"false"`` would count as true.
    """
    if isinstance(value, bool):
        return value
    raise refuse(f"{name}=", value, "True or False")


def check_options(vendor: Vendor, options: Mapping[str, Any]) -> None:
    """Check the keywords of a vendor's SDK client that are read before there is one. None stands for an option that was left out."""
    for name, check in _CHECKS_BY_SDK.get(vendor.sdk, {}).items():
        if options.get(name) is not None:
            check(vendor.name, f"{name}=", options[name])


def check_headers(vendor: str, name: str, headers: Any) -> None:
    """Check headers: a mapping of names to text, bytes, None or an SDK's marker for "leave it out"."""
    if headers is None:
        return
    _check_mapping(vendor, name, headers, 'headers by name, such as {"x-tenant": "a"}')
    for header, value in cast("Mapping[str, Any]", headers).items():
        if value is not None and not isinstance(value, (str, bytes)) and not _is_of_sdk(value):
            raise refuse(f"{vendor}: the value of {header!r} in {name}", value, "it as text")


def check_members(vendor: str, name: str, value: Any) -> None:
    """Check a mapping of names to anything."""
    if value is not None:
        _check_mapping(vendor, name, value, 'the members by name, such as {"a": 1}')


def _check_query(vendor: str, name: str, query: Any) -> None:
    _check_mapping(vendor, name, query, 'the members of a query by name, such as {"tier": "flex"}')


def _check_mapping(vendor: str, name: str, value: Any, advice: str) -> None:
    if not isinstance(value, Mapping):
        raise refuse(f"{vendor}: {name}", value, f"a dict of {advice}")
    wrong = next((key for key in cast("Iterable[Any]", value) if not isinstance(key, str)), None)
    if wrong is not None:
        raise refuse(f"{vendor}: a name in {name}", wrong, f"a dict of {advice}")


def _check_http_options(vendor: str, name: str, value: Any) -> None:
    if isinstance(value, dict):
        _check_mapping(vendor, name, value, 'the members by name, such as {"api_version": "v1"}')
    elif isinstance(value, type) or not isinstance(getattr(value, "model_fields_set", None), set):
        raise refuse(f"{vendor}: {name}", value, "a dict or a google.genai.types.HttpOptions")


def _check_text(vendor: str, name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise refuse(f"{vendor}: {name}", value, "text")


def _check_flag(vendor: str, name: str, value: Any) -> None:
    check_flag(f"{vendor}: {name.rstrip('=')}", value)


def _check_retries(vendor: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refuse(f"{vendor}: {name}", value, "a whole number from 0 on")


def _check_timeout(vendor: str, name: str, value: Any) -> None:
    if not _is_timeout(value):
        advice = f"seconds, above 0 and at most {TIMEOUT_MAX:.0f}, or a Timeout of the SDK's HTTP library"
        raise refuse(f"{vendor}: {name}", value, advice)


def _is_timeout(value: Any) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0 < value <= TIMEOUT_MAX
    return isinstance(value, tuple) or _is_of_sdk(value)


def _is_of_sdk(value: Any) -> bool:
    """Whether a value is an object that an SDK or its HTTP library made, seen without importing either."""
    return any(kind.__module__.partition(".")[0] in _SDK_PACKAGES for kind in type(value).__mro__)


_Check = Callable[[str, str, Any], None]
_COMMON_CHECKS: dict[str, _Check] = {
    "default_headers": check_headers,
    "default_query": _check_query,
    "max_retries": _check_retries,
    "timeout": _check_timeout,
}
_OPENAI_CHECKS: dict[str, _Check] = {
    **_COMMON_CHECKS,
    "api_version": _check_text,
    "azure_deployment": _check_text,
    "azure_endpoint": _check_text,
    "data_residency": _check_text,
    "organization": _check_text,
    "project": _check_text,
}
_CHECKS_BY_SDK: Mapping[str, dict[str, _Check]] = {
    "openai": _OPENAI_CHECKS,
    "azure": _OPENAI_CHECKS,
    "anthropic": _COMMON_CHECKS,
    "genai": {
        **_COMMON_CHECKS,
        "enterprise": _check_flag,
        "http_options": _check_http_options,
        "location": _check_text,
        "project": _check_text,
        "vertexai": _check_flag,
    },
}

"""Small functions under the path that upstream's users import them from."""

from __future__ import annotations

import os
from typing import Any

from typing_extensions import is_typeddict as is_typed_dict

from instructor.dsl.schema import classproperty
from instructor.dsl.simple_type import is_simple_type
from instructor.providers.callables import is_async
from instructor.providers.table import recognise_vendor
from instructor.vendor_names import Provider, name_vendor
from instructor.wires.reader import find_json

__all__ = [
    "Provider",
    "classproperty",
    "disable_pydantic_error_url",
    "dump_message",
    "extract_json_from_codeblock",
    "get_provider",
    "is_async",
    "is_simple_type",
    "is_typed_dict",
]


def disable_pydantic_error_url() -> None:
    """Leave the links to pydantic's pages out of the text of its errors, and so out of what models are shown."""
    os.environ["PYDANTIC_ERRORS_INCLUDE_URL"] = "0"


def dump_message(message: Any) -> dict[str, Any]:
    """Turn a message of the openai SDK into the dict that the next request takes."""
    dumped: dict[str, Any] = message.model_dump(exclude_none=True)
    return {"content": "", **dumped}


def extract_json_from_codeblock(content: str) -> str:
    """Return the JSON in a text: in a fence, or with prose around it; the text itself where there is none.

    Example:
        >>> extract_json_from_codeblock('Here it is: {"age": 25}.')
        '{"age": 25}'
    """
    return find_json(content) or content


def get_provider(base_url: str) -> str:
    """Return the vendor behind a base URL, as `from_openai` recognises it."""
    return name_vendor(recognise_vendor(str(base_url)).name)

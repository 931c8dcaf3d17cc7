"""The library's messages in the words of the command line: its users write options, not Python."""

from __future__ import annotations

import re

_WORDS: tuple[tuple[str, str], ...] = (
    (r"base_url= and api_key= have no use\. Leave them out", "--base-url has no use. Leave it out"),
    (r",? or pass api_key=|\bapi_key=, or ", ""),
    (r"\bbase_url\b=?", "--base-url"),
    (r"\bresponse_model(?: <class '([^']+)'>)?", r"--response-model \1"),
    (r"\bsize_limit\b=?", "--cache-size"),
    (r"\bPass a longer timeout=", "Write a longer -o timeout="),
    (r"\bPass max_retries=Retries\(.*\) to wait", "Run the same command again after that"),
    (r"\bmax_retries\b=?", "--max-retries"),
    (r"\bmode= ", "--mode "),
    (r"\bkeyword (\w+)=", r"argument -o \1="),
    (r"Did you mean (\w+)=\?", r"Did you mean -o \1=?"),
    (r"\bprompt= ", "--prompt "),
    (r", a dask\.distributed\.Client, the module ray or a concurrent\.futures\.Executor\b", ""),
    (r'\bbatch="always"', "--batch"),
    (r"\bengine= (is|needs|asks)\b", r"--engine \1"),
    (r'\bengine="(\w+)" needs\b', r"--engine \1 needs"),
    (r": from_provider\(.*\), or a list that ends with one", ", such as --cache redis://host:6379/0"),
    (r"^The model string ", "--model "),
    (r"^([a-z_]+)( is (?:an? \w+|'\w+')\. Pass )", r"-o \1=\2"),
    (r"Check the arguments of the call and of the factory", "Check what -o names"),
    (r"Budget\([^)]*\)", "--budget"),
    (r"\bprice_as=", "--price-as "),
    (r"\[Errno -?\d+\] ", ""),
    (r" {2,}", " "),
)
"""Patterns of what a message of the library may say, and what the command line says in its place, in this order."""


def use_option_names(message: str) -> str:
    """Write a message of the library with the command's options in place of Python's arguments.

    Example:
        >>> use_option_names("Set OPENAI_API_KEY, or pass api_key=. For another server pass base_url=.")
        'Set OPENAI_API_KEY. For another server pass --base-url.'
    """
    for pattern, words in _WORDS:
        message = re.sub(f"(?<!-o )(?:{pattern})", words, message)
    return message

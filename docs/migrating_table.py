"""Writes the table of docs/migrating.md: every public name of instructor 1.17, and what it is here. Run `make tables`.

The names stand in tests/upstream_names.json. A name that isn't in `NOTES` is here under its old path and does the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE / "migrating.md"
NAMES = HERE.parent / "tests" / "upstream_names.json"
BEGIN, END = "<!-- table: names -->\n", "<!-- end -->"

_OUT, _BETTER = "left out", "better"
_TYPES = (_OUT, "a type variable or an alias of its own annotations; write your own")
_INSIDE = (_OUT, "an inner step of its engine, which this package doesn't have; `create` does the whole")
_BATCH = (_OUT, "`client.batch` does the whole; see [batches](batches.md)")
_CALLED = "can be imported; raises a `ConfigurationError` when it is called: "
_GEMINI = (_OUT, "for an SDK that Google has ended; `from_genai` and `from_provider` speak google-genai")
_ASYNC = (
    _BETTER,
    "1.17 refuses models that have one; here they run. See [retries](retries.md)",
)
_VENDOR = (_BETTER, "also streams and caches; the completion is of the SDK's own class on a hit too")

NOTES: Mapping[str, tuple[str, str]] = {
    "AsyncInstructor": (_BETTER, "the same constructor; streams, shares calls under way, closes"),
    "BatchJob": (
        _BETTER,
        "what `client.batch` returns; it submits, waits, reads and stores. See [batches](batches.md)",
    ),
    "BatchStatus": (_BETTER, "what `BatchJob.status()` returns"),
    "BatchProcessor": (_OUT, _CALLED + "use `client.batch`; see [batches](batches.md)"),
    "BatchRequest": (_OUT, _CALLED + "use `client.batch`; see [batches](batches.md)"),
    "CitationMixin": (_BETTER, "finds the nearest passage in time linear in the text"),
    "Instructions": (
        _BETTER,
        "its lines need no `logging.basicConfig`; a client is made when a model is asked, not before",
    ),
    "Instructor": (_BETTER, "the same constructor; streams, shares calls under way, closes"),
    "Mode": (_BETTER, "`mode=None` is the best mode of the model; the older names warn once for each line"),
    "Partial": (_BETTER, "a value that is shown never changes afterwards, and no default is shown as an answer"),
    "Provider": ("same", "members are also text; `GENAI`, `GEMINI` and `GENERATIVE_AI` are names of `GOOGLE`"),
    "apatch": ("same", "deprecated: `patch` takes asynchronous clients too"),
    "from_anyscale": (_OUT, _CALLED + "the service has ended"),
    "from_bedrock": (_BETTER, "also streams, and caches; clients of aiobotocore are awaited"),
    "from_cerebras": _VENDOR,
    "from_cohere": _VENDOR,
    "from_fireworks": _VENDOR,
    "from_gemini": (_OUT, _CALLED + "its SDK has ended; use `from_genai`"),
    "from_groq": _VENDOR,
    "from_litellm": (_BETTER, "caches LiteLLM's own completions"),
    "from_mistral": _VENDOR,
    "from_together": _VENDOR,
    "from_vertexai": (_OUT, _CALLED + 'use `from_provider("vertexai/model")` or `from_genai`'),
    "from_writer": _VENDOR,
    "from_xai": (_BETTER, "also retries, streams and caches; the completion is of OpenAI's class"),
    "v2": (_OUT, "the inside of another implementation; `register_provider` adds a vendor"),
    "KnownModelName": ("same", "any text: vendors bring out models faster than a list can follow"),
    "ParallelModel": ("same", "returns `list[A | B]`, which `create` takes as it is"),
    "llm_validator": (
        "same",
        "asks its client's model, where 1.x has a default of its own; a client without one needs `model=`",
    ),
    "retry_async": (_BETTER, "what `patch` does"),
    "retry_sync": (_BETTER, "what `patch` does"),
    "make_cache_key": (_BETTER, "covers all that can change the answer"),
    **dict.fromkeys(
        (
            *("BatchError", "BatchErrorInfo", "BatchFiles", "BatchJobInfo", "BatchModel", "BatchRequestCounts"),
            *("BatchResult", "BatchSuccess", "BatchTimestamps", "Function", "RequestBody", "Tool"),
            *("extract_results", "filter_errors", "filter_successful", "get_results_by_custom_id"),
        ),
        _BATCH,
    ),
    "AsyncValidationContext": (_OUT, "such a validator gets an `instructor.AsyncValidationInfo`"),
    **dict.fromkeys(("async_field_validator", "async_model_validator"), _ASYNC),
    **dict.fromkeys(
        (
            *("convert_to_genai_messages", "extract_genai_multimodal_content", "extract_genai_system_message"),
            "map_to_gemini_function_schema",
            *("transform_to_gemini_prompt", "update_gemini_kwargs", "update_genai_kwargs", "verify_no_unions"),
            *("VertexAIParallelModel",),
        ),
        _GEMINI,
    ),
    **dict.fromkeys(
        (
            *("CompletionErrorHandler", "CompletionKwargsHandler", "CompletionResponseHandler"),
            *("CompletionUsageHandler", "ParseErrorHandler", "T_Model", "T_ParamSpec", "T_Retval", "Model"),
            *("ImageParams", "ImageParamsBase", "OpenAIChatKwargs"),
        ),
        _TYPES,
    ),
    **dict.fromkeys(
        ("Response", "AsyncResponse"), (_OUT, "`client.responses` is the client itself in `RESPONSES_TOOLS`")
    ),
    **dict.fromkeys(
        (
            *("ASYNC_MODEL_VALIDATOR_KEY", "ASYNC_VALIDATOR_KEY"),
            *("AdapterBase", "AnthropicParallelModel", "MakeFieldsOptional", "ModelAdapter", "ParallelBase"),
            *("SystemMessage", "combine_system_messages", "extract_json_from_stream", "extract_json_from_stream_async"),
            *("extract_messages", "extract_system_messages", "format_function", "get_message_content"),
            *("get_signature_from_fn", "handle_anthropic_parallel_model", "handle_parallel_model"),
            *("handle_reask_kwargs", "is_return_type_base_model_or_instance", "merge_consecutive_messages"),
            *("patch_v2", "prepare_response_model", "process_potential_object", "remove_control_chars"),
            *("reset_deprecated_mode_warnings", "retry_async_v2", "retry_sync_v2", "update_total_usage"),
            "validateIsSubClass",
        ),
        _INSIDE,
    ),
}
"""What isn't simply the same: the verdict, and why or what to use. By name, whatever path it stands under."""


def upstream_names() -> Iterator[tuple[str, str]]:
    """Every public name of 1.17, as its module and itself."""
    modules: dict[str, list[str]] = json.loads(NAMES.read_text(encoding="utf-8"))
    return ((module, name) for module, names in modules.items() for name in names)


def verdict_of(name: str) -> tuple[str, str]:
    """What a name is here, and a note."""
    return NOTES.get(name, ("same", ""))


def rows() -> Iterator[str]:
    """The lines of the table: each name once, with the paths that it stands under."""
    paths: dict[str, list[str]] = {}
    for module, name in upstream_names():
        paths.setdefault(name, []).append(module)
    yield "| name | under | here | |"
    yield "|---|---|---|---|"
    for name, modules in paths.items():
        verdict, note = verdict_of(name)
        yield f"| `{name}` | {', '.join(f'`{module}`' for module in modules)} | {verdict} | {note} |"


def write(page: str) -> str:
    """Put today's table into the page's text."""
    head, mark, rest = page.partition(BEGIN)
    return f"{head}{mark}{chr(10).join(rows())}\n{rest[rest.index(END) :]}"


if __name__ == "__main__":
    PAGE.write_text(write(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

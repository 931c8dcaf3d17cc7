"""Amazon Bedrock, through boto3 or aiobotocore."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

from instructor.exceptions import ClientError, ConfigurationError
from instructor.messages import Request
from instructor.mode import Mode
from instructor.providers.adapter import Adapter
from instructor.providers.capabilities import capabilities_of, plain_name
from instructor.providers.clients import SharedClient
from instructor.providers.completions import DataCodec
from instructor.providers.function_adapter import MOST_THREADS, Threads
from instructor.providers.handover import package_of
from instructor.providers.identity import describe_endpoint, read_variable
from instructor.providers.registry import register_provider
from instructor.providers.sdk_adapter import SdkAdapter, construct, forbid_both, hold_client, import_sdk
from instructor.providers.table import Vendor, find_vendor
from instructor.wires.bedrock_converse import BEDROCK_CONVERSE, join_turns
from instructor.wires.capabilities import Capabilities
from instructor.wires.text import get_path

_DEFAULT_REGION = "us-east-1"
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_OPTIONS = (*_CREDENTIALS, "config", "profile_name", "region_name", "session", "verify")
_OWN_HOST = re.compile(r"https://bedrock-runtime(?:-fips)?\.[\w-]+\.(?:amazonaws\.com(?:\.cn)?|api\.aws)/?")
_TAG = "__bytes__"
_UNSTORED = "HTTPHeaders"
_MODES = (Mode.TOOLS, Mode.JSON_SCHEMA, Mode.MD_JSON)


def register() -> None:
    """Register the vendor."""
    register_provider(
        "bedrock",
        wires=dict.fromkeys(_MODES, BEDROCK_CONVERSE),
        make_adapter=make_adapter,
        wrap_client=wrap_client,
        packages=("botocore", "aiobotocore"),
        options=_OPTIONS,
        key_variables=("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID"),
        base_url_variables=("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL"),
        docs="https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html",
        capabilities=_find_capabilities,
        replace=True,
    )


def make_adapter(
    vendor: Vendor, *, asynchronous: bool, base_url: str | None, api_key: Any, options: Mapping[str, Any]
) -> Adapter:
    """Make the adapter. boto3 has no asynchronous client, so that one asks in threads."""
    forbid_both(vendor, api_key=api_key, aws_access_key_id=options.get("aws_access_key_id"))
    known = {name: value for name, value in options.items() if value is not None}
    forbid_both(vendor, session=known.get("session"), profile_name=known.get("profile_name"))
    region = known.get("region_name")
    # A profile and a session may bring a region of their own, and so may boto3's file where no variable names one.
    if region is None and not {"session", "profile_name"} & known.keys() and not read_variable(["AWS_PROFILE"]):
        region = read_variable(_REGIONS)
    return BedrockAdapter(
        vendor=vendor,
        asynchronous=asynchronous,
        clients=SharedClient(partial(_make_client, vendor, region, base_url, api_key, known)),
        describe=describe_client,
        codec=CODEC,
        endpoint=_describe(region, base_url) if region else None,
    )


def wrap_client(vendor: Vendor, client: Any, *, asynchronous: bool) -> Adapter:
    """Make the adapter over a client of boto3, which an asynchronous one asks in threads, or of aiobotocore."""
    model = getattr(getattr(client, "meta", None), "service_model", None)
    if getattr(model, "service_name", None) != "bedrock-runtime":
        raise ClientError(
            f"The client is {type(client).__module__}.{type(client).__qualname__}. from_bedrock() takes a client of the "
            'service "bedrock-runtime", such as boto3.client("bedrock-runtime").'
        )
    is_native = package_of(client) == "aiobotocore"
    return BedrockAdapter(
        vendor=vendor,
        asynchronous=is_native or asynchronous,
        clients=hold_client(client),
        describe=describe_client,
        codec=CODEC,
        endpoint=describe_client(client),
    )


def describe_client(client: Any) -> dict[str, Any]:
    """Read the endpoint off a client."""
    return _describe(client.meta.region_name, client.meta.endpoint_url)


def _describe(region: str | None, url: str | None) -> dict[str, Any]:
    return describe_endpoint(None if url is None or _OWN_HOST.fullmatch(url) else url, region=region)


class BedrockAdapter(SdkAdapter):
    """An adapter that sends through botocore, whose methods take no timeout and return dicts."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._threads = Threads(self.provider)

    def _find_method(self, client: Any, operation: str) -> Callable[..., Any]:
        send = partial(_send, super()._find_method(client, operation))
        if not self.asynchronous:
            return send
        if package_of(client) == "aiobotocore":
            return partial(_send_async, super()._find_method(client, operation))
        return partial(self._send_in_thread, send)

    def _send_in_thread(self, send: Callable[..., Any], **request: Any) -> Any:
        return self._threads.run(partial(send, **request))

    def _limit(self, client: Any, request: Request, seconds: float | None) -> tuple[Any, Request]:
        """Make a client that doesn't retry. Its timeouts are those of its configuration: botocore has no other."""
        del seconds
        return _without_retries(client), request


def _send(method: Callable[..., Any], **request: Any) -> Any:
    try:
        answer = method(**_settle_turns(request))
    except Exception as error:  # noqa: BLE001 - it is raised again
        raise _explain(error) from error.__cause__
    return answer.get("stream", answer)


async def _send_async(method: Callable[..., Any], **request: Any) -> Any:
    try:
        answer = await method(**_settle_turns(request))
    except Exception as error:  # noqa: BLE001 - it is raised again
        raise _explain(error) from error.__cause__
    return answer.get("stream", answer)


def _settle_turns(request: Request) -> Request:
    return {**request, "messages": join_turns(request["messages"])}


def _explain(error: Exception) -> Exception:
    """Say in the other SDKs' way what botocore's error is: with a status, or as a fault of the request."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "ParamValidationError" in names:
        return TypeError(str(error))
    if names & {"NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError"}:
        return ConfigurationError(
            f"bedrock needs credentials to send a request: {error}. Set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, or pass api_key= or profile_name=."
        )
    status = get_path(getattr(error, "response", None), "ResponseMetadata", "HTTPStatusCode")
    if isinstance(status, int):
        error.status_code = status  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    return error


def _without_retries(client: Any) -> Any:
    """A client like another, over the same connections, that sends once. botocore has no public way to make one."""
    endpoint = getattr(client, "_endpoint", None)
    if endpoint is None:
        return client
    service = client.meta.service_model.service_id.hyphenize()
    once, quiet = _copy(client), _copy(endpoint)
    quiet._event_emitter = client.meta.events.__copy__()  # noqa: SLF001 - see above
    quiet._event_emitter.unregister(f"needs-retry.{service}", unique_id=f"retry-config-{service}")  # noqa: SLF001
    once._endpoint = quiet  # noqa: SLF001
    return once


def _copy(value: Any) -> Any:
    copied: Any = object.__new__(value.__class__)  # copy.copy asks a client for attributes before it has any
    copied.__dict__.update(value.__dict__)
    return copied


def _make_client(vendor: Vendor, region: str | None, url: str | None, api_key: Any, options: Mapping[str, Any]) -> Any:
    boto3 = import_sdk("boto3", vendor)
    botocore = import_sdk("botocore.config", vendor)
    session = options.get("session")
    if session is None:
        names = ("profile_name", *_CREDENTIALS)
        known = {name: options[name] for name in names if name in options}
        session = construct(vendor, boto3.Session, {**known, **({"region_name": region} if region else {})})
    config = botocore.Config(max_pool_connections=MOST_THREADS)
    if api_key is not None:
        _use_token(session, vendor, api_key)
        config = config.merge(botocore.Config(signature_version="bearer"))
    if "config" in options:
        config = config.merge(options["config"])
    settings = {"config": config, "endpoint_url": url, "verify": options.get("verify")}
    settings["region_name"] = region or session.region_name or _DEFAULT_REGION
    return construct(vendor, partial(session.client, "bedrock-runtime"), settings)


def _use_token(session: Any, vendor: Vendor, api_key: str) -> None:
    """Let a session sign with a key of Bedrock's, which botocore itself reads from its variable only."""
    token = import_sdk("botocore.tokens", vendor).FrozenAuthToken(api_key)

    class Provider:
        def load_token(self, **_: Any) -> Any:
            return token

    session._session.register_component("token_provider", Provider())  # noqa: SLF001 - boto3 has no public way


class ConverseCodec(DataCodec):
    """Writes Converse's answers, which hold bytes where the reasoning is hidden, and no HTTP headers."""

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON."""
        return super().dump(_pack(completion))

    def load(self, text: str) -> Any:
        """Make the completion that `dump` wrote."""
        return _unpack(super().load(text))


CODEC = ConverseCodec()


def _pack(value: Any) -> Any:
    if isinstance(value, bytes):
        return {_TAG: base64.b64encode(value).decode()}
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {name: _pack(member) for name, member in members if name != _UNSTORED}
    return [_pack(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        if members.keys() == {_TAG}:
            return base64.b64decode(members[_TAG])
        return {name: _unpack(member) for name, member in members.items()}
    return [_unpack(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _find_capabilities(model: str) -> Capabilities:
    """What a model can do: Claude as elsewhere, except that Converse enforces a schema for the newest on Bedrock too.

    Which models take a tool choice: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolChoice.html;
    a schema: https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html (2026-10).
    """
    name = re.sub(r"^(?:[a-z-]+\.)?(?=[a-z0-9]+\.)", "", plain_name(model))
    if "claude" in name:
        # Under its own name, because the table knows what Claude can do through Anthropic's SDK on Bedrock.
        own = capabilities_of(find_vendor("anthropic"), name.rpartition("anthropic.")[2])
        schema = Mode.JSON_SCHEMA in own.modes
        return replace(own, modes=_MODES if schema else (Mode.TOOLS, Mode.MD_JSON))
    for maker, choice in _CHOICES.items():
        if name.startswith(maker):
            return Capabilities((Mode.TOOLS, Mode.JSON_SCHEMA, Mode.MD_JSON), tool_choice=choice)
    return Capabilities((Mode.TOOLS, Mode.JSON_SCHEMA, Mode.MD_JSON), tool_choice="auto")


_CHOICES: Mapping[str, Any] = {"amazon.nova": "named", "nova-": "named", "mistral.mistral-large": "required"}

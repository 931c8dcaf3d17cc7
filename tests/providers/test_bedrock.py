"""What is Bedrock's own: credentials, regions, errors of botocore, and completions with bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

import instructor
from converse import converse, tool_use
from instructor import Instructor, Mode
from instructor.exceptions import ClientError, ConfigurationError, InstructorRetryException
from instructor.providers.capabilities import capabilities_of
from instructor.providers.table import find_vendor
from instructor.providers.vendors.bedrock import CODEC
from replies import Reply, ReplyServer

boto3 = pytest.importorskip("boto3")
CLAUDE = "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ASKED = [{"role": "user", "content": "Anna is 25."}]
LOADER = boto3.Session()._session.get_component("data_loader")
"""It keeps the descriptions of services that it has read."""
KEYS = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret"}
ANSWER = Reply(converse(tool_use("Response", {"content": 25}), reason="tool_use"))


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """An environment without AWS in it."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("botocore.session.create_loader", lambda path=None: LOADER)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def ask(server: ReplyServer, **settings: Any) -> Any:
    server.script(ANSWER)
    client = instructor.from_provider(CLAUDE, base_url=server.url.removesuffix("/v1"), **settings)
    try:
        return client.create(int, ASKED)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        (KEYS | {"region_name": "eu-west-1"}, "AWS4-HMAC-SHA256 Credential=AKIATEST/"),
        ({"api_key": "bedrock-key"}, "Bearer bedrock-key"),
        ({"session": boto3.Session(**KEYS, region_name="eu-west-1")}, "AWS4-HMAC-SHA256 Credential=AKIATEST/"),
    ],
)
def test_credentials_reach_the_server(settings, begins, reply_server: ReplyServer):
    assert ask(reply_server, **settings) == 25
    [received] = reply_server.requests
    assert received.path == "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    assert received.headers["Authorization"].startswith(begins)
    assert received.body["toolConfig"]["toolChoice"] == {"tool": {"name": "Response"}}


def test_a_key_and_an_access_key_contradict_each_other():
    with pytest.raises(ConfigurationError, match="api_key and aws_access_key_id"):
        instructor.from_provider(CLAUDE, api_key="k", **KEYS)


def test_missing_credentials_are_named_at_the_first_request(reply_server: ReplyServer):
    with pytest.raises(ConfigurationError, match="AWS_BEARER_TOKEN_BEDROCK"):
        ask(reply_server)


def test_an_argument_that_botocore_does_not_know_is_the_callers(reply_server: ReplyServer):
    with pytest.raises(ConfigurationError, match="temprature"):
        ask(reply_server, temprature=1, **KEYS)


def test_a_region_is_part_of_the_key_and_read_where_boto3_reads_it(monkeypatch: pytest.MonkeyPatch):
    def endpoint(**settings: Any) -> Any:
        return dict(instructor.from_provider(CLAUDE, **settings)._adapter.endpoint)

    assert endpoint(region_name="eu-west-1") == {"region": "eu-west-1"}
    assert endpoint(session=boto3.Session(region_name="eu-north-1")) == {"region": "eu-north-1"}
    assert endpoint(**KEYS) == {"region": "us-east-1"}
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    assert endpoint() == {"region": "eu-south-1"}
    assert endpoint(base_url="https://vpc.example") == {"region": "eu-south-1", "base_url": "https://vpc.example"}
    sdk = boto3.client("bedrock-runtime", region_name="eu-west-1", **KEYS)
    assert instructor.from_bedrock(sdk, model="m")._adapter.endpoint == {"region": "eu-west-1"}
    sdk.close()


def test_a_client_of_boto3_is_known_and_one_of_another_service_is_refused():
    sdk, other = (boto3.client(name, region_name="eu-west-1", **KEYS) for name in ("bedrock-runtime", "sts"))
    assert Instructor(sdk, model="m").provider == "bedrock"
    assert Instructor(sdk, model="m").client is sdk
    with pytest.raises(ClientError, match="bedrock-runtime"):
        instructor.from_bedrock(other)
    sdk.close()
    other.close()


def test_hidden_reasoning_is_stored_and_headers_are_not():
    completion = {
        "ResponseMetadata": {"RequestId": "r", "HTTPHeaders": {"set-cookie": "secret"}},
        "output": {"message": {"content": [{"reasoningContent": {"redactedContent": b"\x00\xff"}}]}},
    }
    text = CODEC.dump(completion)
    assert "secret" not in text
    assert CODEC.load(text) == completion | {"ResponseMetadata": {"RequestId": "r"}}


@pytest.mark.parametrize(
    ("model", "first", "choice"),
    [
        ("us.anthropic.claude-opus-5-5-v1:0", (Mode.TOOLS, Mode.JSON_SCHEMA, Mode.MD_JSON), "auto"),
        ("anthropic.claude-3-haiku-20240307-v1:0", (Mode.TOOLS, Mode.MD_JSON), "named"),
        ("us.amazon.nova-pro-v1:0", (Mode.TOOLS, Mode.JSON_SCHEMA, Mode.MD_JSON), "named"),
        ("meta.llama3-1-8b-instruct-v1:0", (Mode.TOOLS, Mode.JSON_SCHEMA, Mode.MD_JSON), "auto"),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.mistral.mistral-large-2407-v1:0", (Mode.TOOLS,), "required"),
    ],
)
def test_what_a_model_can_do(model, first, choice):
    found = capabilities_of(find_vendor("bedrock"), model)
    assert found.modes[: len(first)] == first
    assert found.tool_choice == choice


def test_a_tool_choice_that_the_model_refuses_is_weakened_and_sent_once_more(reply_server: ReplyServer):
    refusal = "This model doesn't support the toolConfig.toolChoice.tool field. Remove it and try again."
    reply_server.script(
        Reply({"message": refusal}, status=400, headers={"x-amzn-errortype": "ValidationException"}), ANSWER
    )
    client = instructor.from_provider(CLAUDE, base_url=reply_server.url, region_name="us-east-1", **KEYS)
    assert client.create(int, ASKED) == 25
    client.close()
    first, second = (received.body["toolConfig"]["toolChoice"] for received in reply_server.requests)
    assert (first, second) == ({"tool": {"name": "Response"}}, {"auto": {}})


def test_a_throttled_request_says_what_the_provider_said(reply_server: ReplyServer):
    reply_server.script(
        Reply({"message": "Too many tokens"}, status=429, headers={"x-amzn-errortype": "ThrottlingException"})
    )
    client = instructor.from_provider(CLAUDE, base_url=reply_server.url, region_name="us-east-1", **KEYS)
    with pytest.raises(InstructorRetryException, match="Too many tokens"):
        client.create(int, ASKED, max_retries=instructor.Retries(requests=0))
    client.close()
    assert len(reply_server.requests) == 1
    assert json.dumps(reply_server.requests[0].body)


def test_a_model_without_tools_is_asked_in_another_way(reply_server: ReplyServer):
    kind = {"x-amzn-errortype": "ValidationException"}
    reply_server.script(
        Reply({"message": "This model doesn't support tool use."}, status=400, headers=kind),
        Reply(converse({"text": '{"content": 25}'})),
    )
    client = instructor.from_provider(CLAUDE, base_url=reply_server.url, region_name="us-east-1", **KEYS)
    assert client.create(int, ASKED) == 25
    client.close()
    assert "toolConfig" not in reply_server.requests[1].body


def test_the_roles_that_are_sent_alternate(reply_server: ReplyServer):
    reply_server.script(ANSWER)
    client = instructor.from_provider(CLAUDE, base_url=reply_server.url, region_name="us-east-1", **KEYS)
    assert client.create(int, [{"role": "user", "content": "How old is she?"}, *ASKED]) == 25
    client.close()
    [turn] = reply_server.requests[0].body["messages"]
    assert turn["content"] == [{"text": "How old is she?"}, {"text": "Anna is 25."}]

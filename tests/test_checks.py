"""A mistake in an argument is answered with what to write instead, and never with what the argument holds."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import diskcache
import pytest
import redis
import redis.asyncio

from instructor import AutoCache, DiskCache, Image, RedisCache, Retries, from_provider
from instructor.checks import check_cache, check_cache_settings
from instructor.describing import describe_value, refuse, warn_caller
from instructor.exceptions import ArgumentError, ConfigurationError
from instructor.options import suggest_keyword


@pytest.mark.parametrize(
    ("mistake", "advice"),
    [
        (DiskCache, r"cache is the class DiskCache\. Pass an instance: DiskCache\(\)\."),
        (RedisCache, r"Pass an instance: RedisCache\(\)\."),
        ("redis://:secret@localhost:6379", r"Pass RedisCache\(url=\.\.\.\)"),
        ("./answers", r'Pass DiskCache\("directory"\)'),
        (Path("answers"), r'Pass DiskCache\("directory"\)'),
        (redis.Redis(), r"Pass RedisCache\(client=\.\.\.\) around it"),
        (redis.asyncio.Redis(), r"Pass RedisCache\(async_client=\.\.\.\) around it"),
        ({}, r"cache is a dict\. Pass AutoCache\(\)"),
        (True, r"cache is True\. Pass AutoCache\(\)"),
        (False, r"BaseCache, or None\."),
        (dict, r"cache is the class dict\. Pass an instance of AutoCache"),
        (object(), r"cache is an object\. Pass an instance of AutoCache"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_a_store_is_answered_with_what_to_write(mistake: Any, advice: str):
    with pytest.raises(ConfigurationError, match=advice) as caught:
        check_cache(mistake)
    assert "secret" not in str(caught.value)


def test_a_cache_of_the_diskcache_package_is_answered_with_ours(tmp_path: Path):
    with diskcache.Cache(tmp_path) as theirs, pytest.raises(ConfigurationError, match=r'Pass DiskCache\("directory"\)'):
        check_cache(theirs)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ((5, None), "cache_ttl= has"),
        ((None, "tenant"), "cache_namespace= has"),
        ((5, "a"), "cache_ttl= and cache_namesp"),
    ],
)
def test_settings_without_a_cache_warn_at_the_callers_line(settings: tuple[Any, Any], named: str):
    with pytest.warns(UserWarning, match=named) as caught:
        check_cache_settings(None, *settings)
    assert caught[0].filename == __file__
    check_cache_settings(AutoCache(), *settings)
    check_cache_settings(None, None, None)


def test_a_warning_is_shown_once_for_a_line():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            warn_caller("shown once")
    assert [str(warning.message) for warning in caught] == ["shown once"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ttl", "cache_ttl"),
        ("namespace", "cache_namespace"),
        ("respone_model", "response_model"),
        ("temprature", "temperature"),
        ("cache_tll", "cache_ttl"),
        ("temperature", None),
        ("frequency_penalty", None),
    ],
)
def test_a_misspelt_keyword_is_answered_with_the_one_meant(written: str, meant: str | None):
    assert suggest_keyword(written) == meant


def test_an_error_does_not_quote_what_may_be_a_secret():
    assert describe_value("sk-secret") == "a str"
    assert describe_value(["sk-secret"]) == "a list"
    assert describe_value("") == "''"
    assert describe_value(10**5000) == "an int", "Python refuses to write numbers of this length"
    error = refuse("strict", {}, "True or False")
    assert isinstance(error, ArgumentError)
    assert str(error) == "strict is a dict. Pass True or False."


@pytest.mark.parametrize("message", [Image.from_url("https://example.com/a.png"), Retries])
def test_a_message_is_something_with_a_role(message: Any):
    with pytest.raises(ArgumentError, match=r"messages\[0\] is (an Image|the class Retries)\. Pass a dict.*role"):
        from_provider("offline/demo").create(str, [message])


def test_bytes_in_a_message_are_answered_with_how_to_send_them():
    client = from_provider("openai/m", api_key="sk-test")
    with pytest.raises(
        ConfigurationError, match=r"not JSON serializable\. Pass bytes and files as media, such as Image"
    ):
        client.create(str, [{"role": "user", "content": ["What is this?", b"bytes"]}])

"""The vendors' rows, and the lists of the SDK clients' keywords."""

from __future__ import annotations

import inspect
from urllib.parse import urlsplit

import anthropic
import openai
import pytest
from google import genai

from instructor.exceptions import ConfigurationError
from instructor.providers.openai import RESIDENCIES
from instructor.providers.sdks import SDKS, find_wires
from instructor.providers.table import VENDORS, Vendor, find_vendor, recognise_vendor

PARTS = {"self", "api_key", "base_url"}
# What google-genai keeps in http_options, and the other SDKs name so.
OURS_FOR_GENAI = {"default_headers", "http_client", "max_retries", "timeout"}
# Accepted by AzureOpenAI, which says itself that it does nothing there.
vendors = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)


def keywords_of(client_class: type) -> set[str]:
    return set(inspect.signature(client_class.__init__).parameters) - PARTS


@vendors
def test_a_row_is_complete(vendor: Vendor):
    assert vendor.name == vendor.name.lower()
    assert vendor.docs
    assert vendor.modes
    assert len(set(vendor.modes)) == len(vendor.modes)
    assert vendor.key_variables or not vendor.needs_key
    assert vendor.base_url or vendor.base_url_variables or vendor.sdk == "offline"
    if vendor.base_url:
        assert urlsplit(vendor.base_url).scheme == ("https" if vendor.needs_key else "http")
        assert not vendor.base_url.endswith("/")


def test_every_name_leads_to_one_row():
    names = [name for vendor in VENDORS for name in (vendor.name, *vendor.aliases)]
    assert len(set(names)) == len(names)
    assert all(name in (find_vendor(name).name, *find_vendor(name).aliases) for name in names)


@vendors
def test_every_mode_of_a_row_is_spoken_by_its_wire(vendor: Vendor):
    wires = find_wires(vendor)
    assert tuple(wires) == vendor.modes
    assert all(mode in wire.modes for mode, wire in wires.items())


@pytest.mark.newest_sdks
@pytest.mark.parametrize(
    ("sdk", "classes", "ours"),
    [
        ("openai", (openai.OpenAI, openai.AsyncOpenAI), set()),
        ("azure", (openai.AzureOpenAI, openai.AsyncAzureOpenAI), set()),
        ("anthropic", (anthropic.Anthropic, anthropic.AsyncAnthropic), set()),
        ("genai", (genai.Client,), OURS_FOR_GENAI),
    ],
)
def test_the_lists_of_client_keywords_are_those_of_the_installed_sdk(sdk, classes, ours):
    """An SDK that grows a keyword fails here; without it the keyword would leak into every call."""
    for client_class in classes:
        assert SDKS[sdk].options - ours == keywords_of(client_class)


@pytest.mark.newest_sdks
def test_the_places_of_data_residency_are_those_of_the_installed_sdk():
    from openai._data_residency import _DATA_RESIDENCY_BASE_URLS

    assert dict(RESIDENCIES) == _DATA_RESIDENCY_BASE_URLS


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("OpenAI", "openai"),
        (" groq ", "groq"),
        ("azure-openai", "azure_openai"),
        ("gemini", "google"),
        ("kimi", "moonshot"),
    ],
)
def test_names_are_found_however_they_are_written(written, name):
    assert find_vendor(written).name == name


def test_an_unknown_vendor_names_near_ones():
    with pytest.raises(ConfigurationError, match="Did you mean openai"):
        find_vendor("opnai")


def test_a_vendor_whose_service_has_ended_is_not_offered():
    with pytest.raises(ConfigurationError, match="No vendor is called 'anyscale'"):
        find_vendor("anyscale")


def test_a_vendor_like_no_other_gets_the_whole_list():
    with pytest.raises(ConfigurationError, match=r"Use one of openai, .*base_url="):
        find_vendor("zzzzzz")


@pytest.mark.parametrize("vendor", [v for v in VENDORS if v.sdk == "openai" and v.base_url], ids=lambda v: v.name)
def test_a_client_made_elsewhere_is_recognised_by_its_base_url(vendor: Vendor):
    assert recognise_vendor(vendor.base_url) is vendor
    assert recognise_vendor(vendor.base_url + "/") is vendor


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://eu.api.openai.com/v1/", "openai"),
        ("https://adb-1.2.azuredatabricks.net/serving-endpoints", "databricks"),
        ("https://user:secret@API.groq.com/openai/v1", "groq"),
        ("https://api.groq.com.example.org/v1", "openai"),
        ("https://proxy.example.org/v1", "openai"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://localhost:11435/v1", "openai"),
    ],
)
def test_recognition_goes_by_the_whole_host(url, name):
    assert recognise_vendor(url).name == name

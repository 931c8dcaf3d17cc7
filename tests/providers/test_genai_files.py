"""PDFs in Google's Files API, over the real SDK and a server that speaks the API's upload protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instructor import PDF, AutoCache, Instructor, Mode
from instructor.exceptions import MultimodalError, ProviderError
from instructor.providers.genai_files import PDFWithGenaiFile
from instructor.testing import ScriptedAdapter
from instructor.wires.genai import GENAI
from instructor.wires.openai_chat import OPENAI_CHAT
from replies import Reply, ReplyServer
from samples import PDF_BYTES

URI = "https://generativelanguage.googleapis.com/v1beta/files/"


def file(name: str = "abc", state: str = "ACTIVE", mime_type: str = "application/pdf") -> dict[str, Any]:
    return {"name": f"files/{name}", "uri": URI + name, "mimeType": mime_type, "state": state}


@pytest.fixture
def google(reply_server: ReplyServer, monkeypatch: pytest.MonkeyPatch) -> ReplyServer:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", reply_server.url.removesuffix("/v1"))
    monkeypatch.setenv("GOOGLE_API_KEY", "test")
    return reply_server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.pdf").write_bytes(PDF_BYTES)
    return tmp_path / "a.pdf"


def upload(google: ReplyServer, path: Path, *files: dict[str, Any], **options: Any) -> PDFWithGenaiFile:
    """Upload a file; the API answers with the first of `files`, and says the others when it is asked again."""
    begun = Reply({}, headers={"X-Goog-Upload-URL": f"{google.url}/upload"})
    ended = Reply({"file": files[0]}, headers={"X-Goog-Upload-Status": "final"})
    google.script(begun, ended, *(Reply(one) for one in files[1:]))
    return PDFWithGenaiFile.from_new_genai_file(path, retry_delay=0, **options)


def key_of(pdf: PDF) -> str:
    return repr(pdf.frozen().__cache_key__())


def test_what_is_uploaded_is_keyed_by_its_bytes_and_sent_by_its_name(google: ReplyServer, path: Path) -> None:
    one, other = upload(google, path, file("one")), upload(google, path, file("two"))
    assert (one.source, other.source) == (f"{URI}one", f"{URI}two")
    assert key_of(one) == key_of(other) == key_of(PDF.from_path(path))
    assert one.to_genai() == {"file_data": {"file_uri": f"{URI}one", "mime_type": "application/pdf"}}
    assert one.to_anthropic()["source"]["type"] == "base64", "another vendor can't read Google's file"


def test_a_second_upload_of_a_document_hits(google: ReplyServer, path: Path) -> None:
    adapter = ScriptedAdapter(lambda request: {"content": {"what": "a bill"}})
    client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, model="m", cache=AutoCache())
    for name in ("one", "two"):
        client.create(dict[str, str], [{"role": "user", "content": [upload(google, path, file(name))]}])
    assert len(adapter.requests) == 1


def test_a_file_that_is_read_slowly_is_waited_for(google: ReplyServer, path: Path) -> None:
    waiting = file(state="PROCESSING")
    assert upload(google, path, waiting, waiting, file()).source == f"{URI}abc"
    assert [request.method for request in google.requests] == ["POST", "POST", "GET", "GET"]


@pytest.mark.parametrize("state", ["PROCESSING", "FAILED"])
def test_a_file_that_does_not_get_ready_is_an_error(google: ReplyServer, path: Path, state: str) -> None:
    with pytest.raises(ProviderError, match=state):
        upload(google, path, file(state=state), file(state=state), max_retries=1)


def test_what_is_not_a_pdf_is_not_uploaded(google: ReplyServer, path: Path) -> None:
    path.write_bytes(b"<html>")
    with pytest.raises(MultimodalError, match="no known type"):
        upload(google, path, file())
    assert not google.requests


def test_a_file_that_the_caller_names_is_keyed_by_its_name(google: ReplyServer) -> None:
    found = []
    for name in ("one", "two"):
        google.script(Reply({**file(name), "source": "UPLOADED"}))
        found.append(PDFWithGenaiFile.from_existing_genai_file(f"files/{name}"))
    assert key_of(found[0]) != key_of(found[1])
    request = GENAI.write([{"role": "user", "content": [found[0].to_genai()]}], None, "gemini-3-pro", {})
    assert request["contents"][0]["parts"] == [{"file_data": {"file_uri": f"{URI}one", "mime_type": "application/pdf"}}]


def test_a_file_of_another_type_is_refused(google: ReplyServer) -> None:
    google.script(Reply(file(mime_type="text/plain")))
    with pytest.raises(MultimodalError, match="text/plain"):
        PDFWithGenaiFile.from_existing_genai_file("files/abc")

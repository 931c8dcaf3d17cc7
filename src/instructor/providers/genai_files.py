"""PDFs in the Files API of Google's SDK."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any, ClassVar, Self

from instructor.exceptions import ConfigurationError, MultimodalError, ProviderError
from instructor.media.encoding import decode_base64
from instructor.media.medium import PDF


class PDFWithGenaiFile(PDF):
    """A PDF that Google's Files API keeps for Gemini.

    One that was uploaded here is keyed by its bytes and not by the name that Google gave the file, so that a second
    upload of the same document hits. One that is named by the caller is keyed by its name.

    Attributes:
        source: The file's URI at Google.
        data: Its bytes, where it was uploaded here; providers other than Google are sent these.
    """

    is_upload: ClassVar[bool] = True

    @classmethod
    def from_new_genai_file(cls, file_path: str | Path, retry_delay: float = 10, max_retries: int = 20) -> Self:
        """Upload a file, and wait until Google has read it. Blocks meanwhile.

        Args:
            file_path: The PDF.
            retry_delay: Seconds between two looks.
            max_retries: How often to look.

        Raises:
            OSError: The file can't be read.
            MultimodalError: It isn't a PDF.
            ProviderError: Google couldn't read it, or not in time.
        """
        pdf = PDF.from_path(file_path)
        client = _make_client()
        content = io.BytesIO(decode_base64(pdf.data or ""))  # the bytes that are keyed, though the file may change
        file = client.files.upload(file=content, config={"mime_type": pdf.media_type})
        for _ in range(max_retries):
            if _state_of(file) != "PROCESSING":
                break
            time.sleep(retry_delay)
            file = client.files.get(name=file.name)
        return cls(source=_check_file(file), media_type=pdf.media_type, data=pdf.data)

    @classmethod
    def from_existing_genai_file(cls, file_name: str) -> Self:
        """Take a file that was uploaded before, by its name, such as ``"files/abc"``.

        Raises:
            ProviderError: It isn't ready.
            MultimodalError: It isn't a PDF.
        """
        client = _make_client()  # which closes its connections as soon as nothing refers to it
        file = client.files.get(name=file_name)
        if file.mime_type != "application/pdf":
            raise MultimodalError(f"The file {file_name} is {file.mime_type}, not a PDF.", content_type=file.mime_type)
        return cls(source=_check_file(file), media_type=file.mime_type)


def _make_client() -> Any:
    try:
        from google import genai
    except ImportError as error:
        raise ConfigurationError('The SDK is missing. Run: pip install "instructor[google]"') from error
    return genai.Client()


def _state_of(file: Any) -> str:
    return str(getattr(file.state, "name", file.state))


def _check_file(file: Any) -> str:
    state = _state_of(file)
    if state != "ACTIVE" or not file.uri:
        raise ProviderError("google", f"The file {file.name} is {state}, not ready. Wait, or upload it again.")
    return str(file.uri)

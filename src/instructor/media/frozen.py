"""A medium as a conversation holds it: immutable, and keyed by its content."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from instructor.media.encoding import decode_base64
from instructor.media.kinds import Kind, check_bytes, plain_type
from instructor.media.policy import FetchPolicy

_GS = "gs://"
_GS_WEB = "https://storage.googleapis.com/"


@dataclass(frozen=True, slots=True)
class FrozenMedium:
    """What a request needs of a medium.

    Attributes:
        kind: What it is.
        media_type: Its type, as far as known.
        data: Its bytes in base64; empty where only its URL is known.
        url: Where the provider finds it: an ``http``, ``https`` or ``gs`` URL, or a file that it keeps. Beside `data`
            it is a copy of the data at the provider.
        cache_control: For Anthropic's prompt cache.
        digest: The SHA-256 of `data`.
    """

    kind: Kind
    media_type: str
    data: str = field(default="", repr=False)
    url: str = ""
    cache_control: Mapping[str, str] | None = None
    digest: str = ""

    def __deepcopy__(self, memo: object) -> Self:
        return self  # nothing in it can be changed

    def __cache_key__(self) -> list[object]:
        """The content, whatever its file is called; without it the URL, because what it leads to may change."""
        content = ["sha256", self.digest] if self.data else ["url", self.url]
        control = dict(self.cache_control) if self.cache_control else None
        return [self.kind.name, plain_type(self.media_type), *content, control]

    @property
    def data_uri(self) -> str:
        """The data as a ``data:`` URI."""
        return f"data:{self.media_type};base64,{self.data}"

    @property
    def web_url(self) -> str:
        """The URL under which anyone finds it; a public object of Google Cloud Storage has one, too."""
        return _GS_WEB + self.url[len(_GS) :] if self.url.startswith(_GS) else self.url

    def load(self, policy: FetchPolicy) -> Self:
        """Fetch what the URL leads to."""
        from instructor.media.fetch import fetch  # with ssl, which takes a while to import

        data = fetch(self.web_url, policy, self.kind.most_bytes)
        media_type = check_bytes(self.kind, data, "", f"at {self.web_url.partition('?')[0]}")
        return replace(self, media_type=media_type, data=b64encode(data).decode("ascii"), url="")

    def check(self) -> Self:
        """Make sure that the data are what they are declared to be; name their type as everybody does."""
        if not self.data:
            return replace(self, media_type=plain_type(self.media_type))
        data = decode_base64(self.data, f"The data of the {self.kind.name}")
        media_type = check_bytes(self.kind, data, self.media_type, "in the messages")
        return replace(self, media_type=media_type)

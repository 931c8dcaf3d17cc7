"""What users put into messages: `Image`, `Audio` and `PDF`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self, cast

from pydantic import BaseModel, Field

from instructor.exceptions import MultimodalError
from instructor.media.encoding import decode_base64, encode_base64, is_data_uri, read_data_uri
from instructor.media.frozen import FrozenMedium
from instructor.media.kinds import (
    AUDIO,
    DOCUMENT,
    IMAGE,
    Kind,
    check_bytes,
    check_size,
    guess_type,
    kind_of,
    plain_type,
)
from instructor.media.policy import DEFAULT_POLICY, FetchPolicy
from instructor.media.routes import Written, write_medium
from instructor.mode import Mode

Source = str | Path | bytes

_URLS = ("http://", "https://", "gs://")
_LONGEST_PATH = 4096


class Medium(BaseModel):
    """What `Image`, `Audio` and `PDF` have in common. It never changes.

    Make one with a method such as `from_path`, which reads and checks the bytes at once. A URL isn't fetched then, but
    when a request is sent to a provider that can't fetch it itself.

    Attributes:
        source: Where it comes from: a path, a URL, a data URI or base64.
        media_type: Its type, such as ``"image/png"``; empty where it isn't known yet.
        data: Its bytes in base64; None where only its URL is known.
    """

    kind: ClassVar[Kind]
    is_upload: ClassVar[bool] = False
    """Whether `source` is a copy of the data that the provider keeps."""

    source: Source = Field(description="A URL, a path, a data URI, or base64")
    media_type: str = Field(default="", description="The media type")
    data: str | None = Field(default=None, description="The bytes in base64", repr=False)

    @classmethod
    def from_path(cls, path: str | Path) -> Self:
        """Read a file. Its first bytes, and not its name, decide about its type.

        Raises:
            OSError: It can't be read, such as a FileNotFoundError.
            MultimodalError: It is something else, or empty, or too large.
        """
        with Path(path).open("rb") as file:
            data = file.read(cls.kind.most_bytes + 1)
        return cls._make(Path(path), data, "", f"in {path}")

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str = "") -> Self:
        """Take bytes.

        Args:
            data: All of them.
            media_type: What they are; found out where it is left out.

        Raises:
            MultimodalError: They are something else, or there are none or too many.
        """
        if not isinstance(cast("object", data), (bytes, bytearray, memoryview)):
            raise MultimodalError(f"A {type(data).__name__} isn't bytes. autodetect() takes a path, a URL or base64.")
        made = cls._make("", bytes(data), media_type, "from bytes")
        return made.model_copy(update={"source": made.data})

    @classmethod
    def from_base64(cls, data_uri: str) -> Self:
        """Take base64 or a data URI.

        Raises:
            MultimodalError: It can't be read, or is something else than it says, or is empty or too large.

        Example:
            >>> Image.from_base64("R0lGODlhAQABAAAAACw=").media_type
            'image/gif'
        """
        check_size(cls.kind, len(data_uri) * 3 // 4 - 128, "in base64")  # before it is decoded
        media_type, data = read_data_uri(data_uri) if is_data_uri(data_uri) else ("", decode_base64(data_uri))
        return cls._make(data_uri, data, media_type, "in base64")

    from_raw_base64 = from_base64

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Take a URL: ``https``, ``http``, ``gs`` or ``data``. Nothing is fetched.

        A call is then keyed by the URL. To key it by what the URL leads to, use ``from_url(url).fetch()``.

        Raises:
            MultimodalError: It isn't such a URL, or by its suffix it leads to something else.

        Example:
            >>> Image.from_url("https://example.com/a.png")
            Image(source='https://example.com/a.png', media_type='image/png')
        """
        if is_data_uri(url):
            return cls.from_base64(url)
        if not is_url(url):
            raise MultimodalError(
                "The URL begins with none of https://, http://, gs:// and data:. Use from_path for files."
            )
        guessed = guess_type(url)
        if guessed and guessed not in cls.kind.types:
            raise MultimodalError(
                f"By its suffix the URL leads to {guessed}, not to {cls.kind.name}. Use the class for that type.",
                content_type=guessed,
            )
        return cls(source=url, **({"media_type": guessed} if guessed else {}))

    @classmethod
    def from_gs_url(cls, data_uri: str) -> Self:
        """Take an object of Google Cloud Storage, ``gs://bucket/name``. Vertex AI reads it; others need it to be public.

        Raises:
            MultimodalError: It is another URL, or by its suffix it leads to something else.
        """
        if not data_uri.startswith("gs://"):
            raise MultimodalError("The URL doesn't begin with gs://. Use from_url for other URLs.")
        return cls.from_url(data_uri)

    @classmethod
    def autodetect(cls, source: Source) -> Self:
        """Find out what a source is: a data URI, a URL, the path of a file, base64, or bytes.

        Raises:
            MultimodalError: It is none of them, or the medium can't be used.
        """
        if isinstance(source, Path):
            return cls.from_path(source)
        if not isinstance(source, str):
            return cls.from_bytes(source)
        if is_data_uri(source) or is_url(source):
            return cls.from_url(source)
        if guess_type(source) and not is_file(source):  # base64 has no suffix
            raise MultimodalError(f"There is no file {source:.200}. Correct the path, or pass bytes.")
        return cls.from_path(source) if is_file(source) else cls.from_base64(source)

    @classmethod
    def autodetect_safely(cls, source: Source) -> Self | str | bytes:
        """As `autodetect`, but return the source where it isn't such a medium."""
        try:
            return cls.autodetect(source)
        except ValueError:
            return str(source) if isinstance(source, Path) else source

    @classmethod
    def is_base64(cls, s: str) -> bool:
        """Whether a text begins as a data URI of this kind.

        Example:
            >>> Image.is_base64("data:image/png;base64,aGk="), Image.is_base64("data:audio/wav;base64,aGk=")
            (True, False)
        """
        return is_data_uri(s) and kind_of(plain_type(s[5:].partition(",")[0])) is cls.kind

    @classmethod
    def _make(cls, source: Source, data: bytes, media_type: str, origin: str) -> Self:
        found = check_bytes(cls.kind, data, media_type, origin)
        return cls(source=source, media_type=found, data=encode_base64(data))

    def fetch(self, policy: FetchPolicy = DEFAULT_POLICY) -> Self:
        """Fetch what the URL leads to now, so that calls are keyed by its content. Blocks while it does.

        Returns:
            A new medium with the data; this one where it has them.

        Raises:
            MultimodalError: The policy forbids it, it fails, or it isn't such a medium.
        """
        frozen = self.frozen()
        if frozen.data:
            return self
        loaded = frozen.load(policy)
        return self.model_copy(update={"media_type": loaded.media_type, "data": loaded.data})

    def frozen(self) -> FrozenMedium:
        """What a request needs of it. A file that isn't read yet is read."""
        url = self.source if isinstance(self.source, str) and is_url(self.source) else ""
        control: Mapping[str, str] | None = getattr(self, "cache_control", None)
        data, media_type = self.data or "", self.media_type
        if not data and not url:
            read = type(self).autodetect(self.source)
            data, media_type = read.data or "", media_type or read.media_type
        kept = url if self.is_upload or not data else ""
        digest = self._digests.get(data) or self._digests.setdefault(data, hashlib.sha256(data.encode()).hexdigest())
        return FrozenMedium(self.kind, media_type, data, kept, dict(control) if control else None, digest)

    @cached_property
    def _digests(self) -> dict[str, str]:
        """The digest of the data, worked out once. By data, because a copy with other data gets this dict too."""
        return {}

    def __deepcopy__(self, memo: object = None) -> Self:
        return self  # it never changes, and may be large

    def to_openai(self, mode: Mode = Mode.TOOLS) -> Written:
        """Write it as a part of an OpenAI message, of the chat API or, in `Mode.RESPONSES_TOOLS`, the Responses API."""
        return self._write("openai_responses" if mode is Mode.RESPONSES_TOOLS else "openai_chat")

    def to_anthropic(self) -> Written:
        """Write it as a block of an Anthropic message."""
        return self._write("anthropic_messages")

    def to_genai(self) -> Written:
        """Write it as a part of a Gemini content."""
        return self._write("genai")

    def _write(self, wire: str) -> Written:
        return write_medium(self.frozen(), wire, load=DEFAULT_POLICY)

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        """Show a long source, such as a data URI, by its beginning."""
        for name, value in super().__repr_args__():
            yield name, value[:60] + "..." if isinstance(value, str) and len(value) > _SHOWN else value


_SHOWN = 200


class Image(Medium):
    """An image in a message: PNG, JPEG, GIF or WebP, and HEIC or HEIF for Gemini.

    Example:
        >>> image = Image.from_base64("data:image/gif;base64,R0lGODlhAQABAAAAACw=")
        >>> client.create(int, [{"role": "user", "content": ["How old is she? Anna is 25.", image]}])
        25
    """

    kind = IMAGE


class Audio(Medium):
    """A sound in a message: WAV or MP3, and further types for Gemini.

    Example:
        >>> Audio.from_bytes(b"ID3...").media_type
        'audio/mpeg'
    """

    kind = AUDIO

    @classmethod
    def from_path(cls, path: str | Path) -> Self:
        """As `Image.from_path`, but the path is kept as a text: as in 1.x, so that a dump reads back equal."""
        audio = super().from_path(path)
        audio.source = str(path)
        return audio


class PDF(Medium):
    """A PDF document in a message.

    Example:
        >>> PDF.from_bytes(b"%PDF-1.7 ...").to_anthropic()["type"]
        'document'
    """

    kind = DOCUMENT

    media_type: str = Field(default="application/pdf", description="The media type")


class ImageWithCacheControl(Image):
    """An image with a mark for Anthropic's prompt cache; other providers get the image alone."""

    cache_control: Mapping[str, str] | None = Field(default=None, description="Anthropic's cache_control")

    @classmethod
    def from_image_params(cls, image_params: Mapping[str, object]) -> Self:
        """Make one of a dict with ``source``, and ``cache_control`` if wanted.

        Raises:
            MultimodalError: The source isn't an image.
        """
        if "source" not in image_params:
            raise MultimodalError('The image has no source. Pass {"source": "https://..."} or a path, base64 or bytes.')
        image = cls.autodetect(cast("Source", image_params["source"]))
        return image.model_copy(update={"cache_control": image_params.get("cache_control")})


class PDFWithCacheControl(PDF):
    """A PDF with a mark for Anthropic's prompt cache; other providers get the PDF alone."""

    cache_control: Mapping[str, str] | None = Field(
        default={"type": "ephemeral"}, description="Anthropic's cache_control"
    )


def is_url(text: str) -> bool:
    """Whether a text begins as a URL does that can lead to a medium."""
    return text[:8].lower().startswith(_URLS)


def is_file(text: str) -> bool:
    """Whether a text is the path of a file."""
    try:
        return len(text) < _LONGEST_PATH and Path(text).is_file()
    except (OSError, ValueError):  # a null character, or a name that is too long
        return False

"""What the formats without a header of their own have in common: a file is one message, its keys are where the channel
says they are, and nobody waits for an acknowledgement in the format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import model_validator

from hcsyncd.errors import FormatError
from hcsyncd.formats.format import Answer, Document
from hcsyncd.message import Keys
from hcsyncd.options import Options, option


class BodyOptions(Options):
    """Options that these formats share."""

    type_path: str = option("", "Where the message says what it is; becomes the key `type`.")
    control_id_path: str = option("", "Where it says its own number; becomes the key `control_id`.")
    sender_path: str = option("", "Where it says who sent it; becomes the key `sender`.")
    receiver_path: str = option("", "Where it says whom it is for; becomes the key `receiver`.")
    max_bytes: int = option(64 * 1024 * 1024, "The largest file that is taken.", unit="bytes", ge=1024)

    @model_validator(mode="after")
    def _readable_paths(self) -> Self:
        for path in filter(None, self.key_paths):
            try:
                self.check_path(path)
            except FormatError as error:
                raise ValueError(str(error)) from error
        return self

    @classmethod
    @abstractmethod
    def check_path(cls, path: str) -> None:
        """Raise FormatError when ``path`` is not a path of this format."""

    @property
    def key_paths(self) -> tuple[str, str, str, str]:
        """In the order of `Keys`."""
        return self.type_path, self.control_id_path, self.sender_path, self.receiver_path


@dataclass(frozen=True, slots=True)
class BodyPeek:
    """Implements `hcsyncd.formats.format.Peek`: keys, and no reply."""

    keys: Keys
    tolerated: tuple[str, ...] = ()

    def accept_reply(self, answer: Answer) -> bytes:  # noqa: ARG002 - the format has no reply
        return b""

    def application_reply(self, answer: Answer) -> bytes:  # noqa: ARG002 - the format has no reply
        return b""


class BodyFormat(ABC):
    """Implements `hcsyncd.formats.format.Format` but for `parse`."""

    name: ClassVar[str]
    content_type: ClassVar[str]

    def __init__(self, options: BodyOptions) -> None:
        self._options = options

    @abstractmethod
    def parse(self, body: bytes) -> Document: ...

    def check(self, body: bytes) -> None:
        """Raise FormatError when ``body`` is not of this format."""
        self.parse(body)

    def peek(self, body: bytes) -> BodyPeek:
        """Parses as far as it takes to know that the body is of this format, and to find its keys."""
        if not any(self._options.key_paths):
            self.check(body)
            return BodyPeek(Keys())
        document = self.parse(body)
        return BodyPeek(Keys(*((document.get(path) or "") if path else "" for path in self._options.key_paths)))

    def refusal(self, body: bytes, error: FormatError, answer: Answer) -> bytes:  # noqa: ARG002 - there is no reply
        return b""

    def check_path(self, path: str) -> None:
        self._options.check_path(path)

    def split(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The whole file. Raises FormatError (``too-large``) over ``max_bytes``."""
        held = bytearray()
        for chunk in chunks:
            held += chunk
            if len(held) > self._options.max_bytes:
                text = f"the file is larger than {self._options.max_bytes} bytes (max_bytes of the format)"
                raise FormatError("too-large", text)
        yield bytes(held)


UTF_8_MARK = b"\xef\xbb\xbf"


def decode_text(body: bytes, charset: str) -> tuple[bytes, str]:
    """A byte order mark, where there is one, and the text behind it. Raises FormatError (``not-decodable``)."""
    mark = UTF_8_MARK if body.startswith(UTF_8_MARK) and charset.lower().replace("-", "") == "utf8" else b""
    try:
        return mark, body[len(mark) :].decode(charset)
    except UnicodeDecodeError as error:
        text = f"the body is not in {charset}; set the format's charset to what the sender uses"
        raise FormatError("not-decodable", text, len(mark) + error.start) from error


def encode_text(text: str, charset: str) -> bytes:
    """Raises FormatError (``not-encodable``) when the character set lacks a character."""
    try:
        return text.encode(charset)
    except UnicodeEncodeError as error:
        code = f"U+{ord(text[error.start]):04X}"
        raise FormatError(
            "not-encodable", f"{charset} cannot write {code}; set the format's charset to utf-8"
        ) from error


def known_charset(charset: str) -> str:
    """``charset`` when Python has a codec for text by that name; raises ValueError, as option validators do."""
    try:
        "".encode(charset)
    except LookupError as error:
        raise ValueError(
            f"{charset!r} is no character set; write utf-8, latin-1, cp1252, shift_jis or the like"
        ) from error
    return charset
